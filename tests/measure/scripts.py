#!/usr/bin/env python3
"""Scripts in several servers, side by side in one run.

    tests/peers.sh start valkey 7001                    # prints its process id
    taskset -pca 0 PID
    taskset -c 0 target/release/troupe --port 7002 --shards 1 --save ''
    tests/measure/scripts.py valkey=7001 troupe=7002

`get` is EVAL of one GET of its key. `limit` is EVALSHA of a sliding window, a rate limiter of some
20 lines, over 1,000 users. Without a pipeline and with one of 16, from one client. Round after round
the servers are measured in turn. Printed are the medians: user + system time of the server's process
a call, in microseconds, from /proc, and its ratio to the first server's. The load comes from this
program, on another core, and bounds the rate.
"""

import argparse
import os
import random
import statistics

from servers import Client, cpu_seconds, pid_of

GET = "return redis.call('GET', KEYS[1])"

LIMIT = """
local key, limit, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local first = now - window
redis.call('ZREMRANGEBYSCORE', key, '-inf', first)
local used = redis.call('ZCARD', key)
local allowed, retry = 0, 0
if used < limit then
  allowed = 1
  redis.call('ZADD', key, now, now .. ':' .. ARGV[3])
  used = used + 1
else
  local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if oldest[2] then
    retry = tonumber(oldest[2]) + window - now
  end
end
redis.call('PEXPIRE', key, window)
local left = math.max(0, limit - used)
return {allowed, left, retry}
"""


def calls_of(load, client, count):
    rng = random.Random(1)
    if load == "get":
        for number in range(1_000):
            client.call("SET", f"key:{number}", "x" * 64)
        return [["EVAL", GET, 1, f"key:{rng.randrange(1_000)}"] for _ in range(count)]
    sha = client.call("SCRIPT", "LOAD", LIMIT)
    users = [rng.randrange(1_000) for _ in range(count)]
    return [["EVALSHA", sha, 1, f"limit:{user}", 10, 1_000, at] for at, user in enumerate(users)]


def measured(port, load, depth, count):
    """Microseconds of the server a call."""
    client = Client(port)
    client.call("FLUSHALL")
    calls, pid = calls_of(load, client, count), pid_of(port)
    before = cpu_seconds(pid)
    client.pipeline(calls, depth)
    micros = (cpu_seconds(pid) - before) / count * 1e6
    client.close()
    return micros


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="+", help="NAME=PORT")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=50_000, help="calls a round")
    parser.add_argument("--client-core", type=int, default=1, help="where the load comes from")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.client_core})
    ports = {name: int(port) for name, port in (each.split("=") for each in options.servers)}
    print("| load, pipeline | " + " | ".join(f"{name} us, ratio" for name in ports) + " |")
    print("| --- |" + " --- |" * len(ports))
    for load in ("get", "limit"):
        for depth in (1, 16):
            rounds = {name: [] for name in ports}
            for _ in range(options.rounds):
                for name, port in ports.items():
                    rounds[name].append(measured(port, load, depth, options.count))
            medians = {name: statistics.median(each) for name, each in rounds.items()}
            first = next(iter(medians.values()))
            columns = [f"{each:.2f}, {each / first:.2f}" for each in medians.values()]
            print(f"| {load}, {depth} | " + " | ".join(columns) + " |")


if __name__ == "__main__":
    main()
