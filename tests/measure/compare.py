#!/usr/bin/env python3
"""Server CPU per command and throughput of two servers, side by side in one run.

    tests/peers.sh start valkey 7001                    # prints its process id
    taskset -pca 0 PID                                  # all of its threads on core 0
    taskset -c 0 target/release/troupe --port 7002 --shards 1 --save ''
    tests/measure/compare.py 7001 7002

With a journal, start both with it (the peer's directory has to be one that its `chroot` can see, and
empty); with --shards 2, ours on the same core:

    tests/peers.sh start valkey 7001 --appendonly yes --appendfsync everysec --dir /tmp/peer
    taskset -c 0 target/release/troupe --port 7002 --shards 1 --appendonly yes \\
        --appendfsync everysec --dir /tmp/ours
    tests/measure/compare.py 7001 7002 --only set --pipelines 1,16 --rounds 5

Both servers run on loopback, pinned to the same cores; the load (redis-benchmark, 50 clients) comes
from another core. Round after round the two are measured in turn; what is printed is the median of
each and their ratio: user + system time of the server process, from /proc, divided by the commands,
and the throughput. The ratio of CPU holds on a noisy machine; the throughput is bounded by the load
generator. Both servers are emptied (FLUSHALL) and filled with the same data: a million strings, a
thousand of 10 KB and of 100 KB each, a list of 100, a hash of 10 and a sorted set of 1,000. The loads
leave what they write: lists, sets and sorted sets of up to a million elements, a million counters.
Only after those that insert new keys, whose names end in -new, both are emptied and filled again.

`connect` is a client that comes, says PING and goes; `info` and `clientlist` ask with 50 clients
connected. These three have no pipeline worth measuring.

Ends with 1 when a workload failed, or when --most is given and a ratio of CPU is over it.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys

from servers import Client, cpu_seconds, opponents, pid_of

KEYS = 1_000_000
CLIENTS = "50"
# redis-benchmark writes 12 random digits below KEYS in place of __rand_int__.
KEY = "key:__rand_int__"
# Large values have so many keys, or memory would be what is measured.
LARGE_KEYS = 1_000
LARGE = {"10k": 10 * 1024, "100k": 100 * 1024}
# Two numbers: hardly a key is met twice.
NEW = "new:__rand_int__:__rand_int__"
# The collections that are only read.
RANGE, SMALL, BOARD = "range", "small", "board"
WORKLOADS = {
    "set": ["SET", KEY, "x" * 64],
    "get": ["GET", KEY],
    "incr": ["INCR", "counter:__rand_int__"],
    "mset10": ["MSET"] + [word for i in range(10) for word in (f"m{i}:__rand_int__", "x" * 16)],
    "mget10": ["MGET"] + [KEY] * 10,
    "expire": ["EXPIRE", KEY, "1000"],
    "lpush": ["LPUSH", "list", "item:__rand_int__"],
    "rpop": ["RPOP", "list"],
    "lrange100": ["LRANGE", RANGE, "0", "99"],
    "sadd": ["SADD", "set", "member:__rand_int__"],
    "hset": ["HSET", "hash:__rand_int__", "field", "value"],
    "hgetall10": ["HGETALL", SMALL],
    "zadd": ["ZADD", "zset", "__rand_int__", "member:__rand_int__"],
    "zrange10": ["ZRANGE", BOARD, "100", "109", "WITHSCORES"],
    **{f"set{size}": ["SET", f"{size}:__rand_int__", "x" * LARGE[size]] for size in LARGE},
    **{f"get{size}": ["GET", f"{size}:__rand_int__"] for size in LARGE},
    "connect": ["PING"],
    "info": ["INFO"],
    "clientlist": ["CLIENT", "LIST"],
    "xadd": ["XADD", "stream", "MAXLEN", "~", "100000", "*", "temperature", "20", "humidity", "50"],
    "set-new": ["SET", NEW, "x" * 64],
    "incr-new": ["INCR", NEW],
    "hset-new": ["HSET", NEW, "field", "value"],
    "sadd-new": ["SADD", NEW, "member"],
    "lpush-new": ["LPUSH", NEW, "item"],
    "zadd-new": ["ZADD", NEW, "1", "member"],
    "xadd-new": ["XADD", NEW, "*", "temperature", "20"],
}
# Commands a second that one core serves, roughly, by pipeline: how many make up --seconds.
RATES = {1: 80_000, 16: 700_000}
RATE_ABOVE = 1_000_000
# A command whose name says how many keys or elements it touches counts for so many.
HEAVY = 8
# The same of those that take long with a pipeline or without.
HEAVIER = {"10k": 2, "100k": 8, "connect": 4, "info": 4, "clientlist": 4}
# Workloads that are measured without pipeline only.
ALONE = ("connect", "info", "clientlist")


def weight(name, pipeline):
    """For how many simple commands one of this workload counts."""
    if name.endswith("0") and pipeline > 1:
        return HEAVY
    heavier = HEAVIER.get(name, HEAVIER.get(name[3:], 1))
    return heavier * (HEAVY if heavier > 1 and pipeline > 1 else 1)


def benchmark(port, count, pipeline, name, core):
    """Runs a workload; how many requests a second were answered."""
    load = ["redis-benchmark", "-p", str(port), "-c", CLIENTS, "-n", str(count), "-P", str(pipeline)]
    load += ["-r", str(LARGE_KEYS if name[3:] in LARGE else KEYS), "-k", str(int(name != "connect"))]
    load += ["-q", *WORKLOADS[name]]
    done = subprocess.run(["taskset", "-c", core, *load], capture_output=True, text=True)
    rates = re.findall(r"([\d.]+) requests per second", done.stdout)
    if not rates:
        raise RuntimeError(done.stdout[-300:] + done.stderr[-300:])
    return float(rates[-1])


def fill(port):
    client = Client(port)
    client.call("FLUSHALL")
    client.pipeline(("SET", f"key:{i:012d}", "x" * 64) for i in range(KEYS))
    for size in LARGE:
        keys = (f"{size}:{i:012d}" for i in range(LARGE_KEYS))
        client.pipeline((("SET", key, "x" * LARGE[size]) for key in keys), depth=16)
    client.call("RPUSH", RANGE, *[f"item:{i:012d}" for i in range(100)])
    client.call("HSET", SMALL, *[word for i in range(10) for word in (f"field{i}", f"value{i}")])
    client.call("ZADD", BOARD, *[word for i in range(1000) for word in (i, f"player:{i}")])


def measure(ports, name, pipeline, options):
    """The medians of one workload: CPU microseconds a command, commands a second."""
    count = int(RATES.get(pipeline, RATE_ABOVE) * options.seconds / weight(name, pipeline))
    got = {who: [] for who in ports}
    for _ in range(options.rounds):
        for who, port in ports.items():
            pid = pid_of(port)
            before = cpu_seconds(pid)
            rate = benchmark(port, count, pipeline, name, options.client_core)
            got[who].append(((cpu_seconds(pid) - before) / count * 1e6, rate))
    if NEW in WORKLOADS[name]:
        for port in ports.values():
            fill(port)
    micros = {who: statistics.median(cpu for cpu, _ in runs) for who, runs in got.items()}
    rates = {who: statistics.median(rate for _, rate in runs) for who, runs in got.items()}
    return {
        "workload": name,
        "pipeline": pipeline,
        "peer_us": micros["peer"],
        "ours_us": micros["ours"],
        "cpu_ratio": micros["ours"] / max(micros["peer"], 1e-9),
        "peer_rate": rates["peer"],
        "ours_rate": rates["ours"],
        "rate_ratio": rates["ours"] / rates["peer"],
    }


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", type=int, help="port of the server to compare with")
    parser.add_argument("ours", type=int, help="port of Troupe")
    parser.add_argument("--pipelines", default="1,16,64")
    parser.add_argument("--only", default=",".join(WORKLOADS), help="workloads, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a measurement, about")
    parser.add_argument("--client-core", default="1", help="where the load comes from")
    parser.add_argument("--most", type=float, help="a ratio of CPU over this is a failure")
    parser.add_argument("--json", help="write the figures to this file too")
    return parser.parse_args()


def main():
    options = arguments()
    ports = opponents(options)
    for port in ports.values():
        fill(port)
    rows, failed = [], False
    print(
        "| workload | pipeline | peer us | ours us | CPU ratio | peer /s | ours /s | rate ratio |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for pipeline in map(int, options.pipelines.split(",")):
        for name in options.only.split(","):
            if name in ALONE and pipeline > 1:
                continue
            try:
                row = measure(ports, name, pipeline, options)
            except RuntimeError as error:
                print(f"{name} with {pipeline} failed: {error}", flush=True)
                failed = True
                continue
            rows.append(row)
            failed |= options.most is not None and row["cpu_ratio"] > options.most
            print(
                f"| {name} | {pipeline} | {row['peer_us']:.2f} | {row['ours_us']:.2f} "
                f"| {row['cpu_ratio']:.2f} | {row['peer_rate']:.0f} | {row['ours_rate']:.0f} "
                f"| {row['rate_ratio']:.2f} |",
                flush=True,
            )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)
    sys.exit(failed)


if __name__ == "__main__":
    main()
