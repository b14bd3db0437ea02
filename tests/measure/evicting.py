#!/usr/bin/env python3
"""What eviction costs: memory over the limit under a flood, and CPU and latency of SET while keys go.

    tests/peers.sh start valkey 7001             # prints its process id: taskset -pca 0 PID
    taskset -c 0 target/release/troupe --port 7002 --shards 1 --save ''
    taskset -c 1 tests/measure/evicting.py 7001 7002

The first server is the peer, the second is ours. They must be disposable: FLUSHALL is sent, `maxmemory` and
its policy (--policy) are set and set back. The parts, each for one server after the other, --rounds times:

    flood     eight clients SET values of 64 KiB to new keys, as fast as they can, for --seconds; another
              client asks INFO all the while. Printed is by how much `used_memory`, without
              `mem_not_counted_for_evict`, was over the limit at most, in per cent of it.
    SET       one client fills the server with values of --bytes bytes, then pipelines SETs of new keys,
              each of which makes another go. Printed is the server's CPU time a SET.
    latency   one client sends --rate SETs a second, one at a time, of the same kind. Printed are median,
              p99, p99.9 and the longest, in microseconds.

Each figure is the median of the rounds; ratios are ours by the peer's.
"""

import argparse
import statistics
import time

from servers import Child, Client, cpu_seconds, encode, opponents, pid_of, quantile

MIB = 1 << 20
FLOODING = 8
FLOOD_BYTES = 64 * 1024
# SETs of one pipeline.
DEPTH = 200


def figures(client):
    """What counts for the limit, and how many keys have gone."""
    lines = client.call("INFO", "everything").decode().split("\r\n")
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    used = int(info["used_memory"]) - int(info["mem_not_counted_for_evict"])
    return used, int(info["evicted_keys"])


def prepare(port, options):
    """An empty server with a limit."""
    client = Client(port)
    client.call("CONFIG", "SET", "maxmemory", 0)
    client.call("FLUSHALL")
    client.call("CONFIG", "SET", "maxmemory-policy", options.policy)
    client.call("CONFIG", "SET", "maxmemory", options.maxmemory * MIB)
    return client


def set_back(client):
    client.call("CONFIG", "SET", "maxmemory", 0)
    client.call("FLUSHALL")
    client.call("CONFIG", "SET", "maxmemory-policy", "noeviction")


def flooding(pipe, port, number, seconds):
    """SETs large values until the time is over; says how many."""
    client, value, count = Client(port), b"v" * FLOOD_BYTES, 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        client.call("SET", f"flood:{number}:{count}", value)
        count += 1
    pipe.send(count)


def flood(port, options):
    """By how much more than the limit is in use at most, in per cent of it."""
    client, limit = prepare(port, options), options.maxmemory * MIB
    children = [Child(flooding, port, number, options.seconds) for number in range(FLOODING)]
    most = 0
    while not all(child.has_said() for child in children):
        most = max(most, figures(client)[0])
    sets = sum(child.hear() for child in children)
    evicted = figures(client)[1]
    for child in children:
        child.end()
    set_back(client)
    if sets * FLOOD_BYTES < 2 * limit or evicted == 0:
        raise RuntimeError(f"only {sets} values were set: ask for more --seconds")
    return max(0.0, 100 * (most - limit) / limit)


def commands(options, start, count):
    """Encoded SETs of new keys."""
    value = b"v" * options.bytes
    return [encode(["SET", b"key:%012d" % number, value]) for number in range(start, start + count)]


def fill(port, options):
    """Fills the server until keys go. Returns a client, and the number of the next key."""
    client, number = prepare(port, options), 0
    while figures(client)[1] < 1000:
        client.flush(commands(options, number, DEPTH * 10))
        number += DEPTH * 10
    return client, number


def cpu(port, options):
    """CPU time of a SET that makes another key go, in microseconds."""
    client, number = fill(port, options)
    pid, before = pid_of(port), figures(client)[1]
    batches = [commands(options, number + at, DEPTH) for at in range(0, options.sets, DEPTH)]
    started = cpu_seconds(pid)
    for batch in batches:
        client.flush(batch)
    used = cpu_seconds(pid) - started
    evicted = figures(client)[1] - before
    set_back(client)
    if evicted < options.sets // 2:
        raise RuntimeError(f"of {options.sets} SETs only {evicted} made a key go")
    return 1e6 * used / options.sets


def latency(port, options):
    """Round trips of SETs that make other keys go, in microseconds, sorted."""
    client, number = fill(port, options)
    count = int(options.rate * options.seconds)
    sets, took = commands(options, number, count), []
    due = time.perf_counter()
    for command in sets:
        while time.perf_counter() < due:
            pass
        start = time.perf_counter()
        client.socket.sendall(command)
        client.read()
        took.append(1e6 * (time.perf_counter() - start))
        due += 1 / options.rate
    set_back(client)
    return sorted(took)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", type=int)
    parser.add_argument("ours", type=int)
    parser.add_argument("--policy", default="allkeys-lru")
    parser.add_argument("--maxmemory", type=int, default=100, help="MiB")
    parser.add_argument("--bytes", type=int, default=1000)
    parser.add_argument("--sets", type=int, default=200_000)
    parser.add_argument("--rate", type=float, default=5_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    servers = opponents(options)
    rows = {}
    for _ in range(options.rounds):
        for name, port in servers.items():
            rows.setdefault(("flood, % over the limit", name), []).append(flood(port, options))
            rows.setdefault(("SET, us of CPU", name), []).append(cpu(port, options))
            took = latency(port, options)
            for text, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1)):
                rows.setdefault((f"SET, {text} in us", name), []).append(quantile(took, share))
    print("| what | peer | ours | ratio |")
    print("| --- | --- | --- | --- |")
    for what in dict.fromkeys(what for what, _ in rows):
        peer, ours = (statistics.median(rows[what, name]) for name in ("peer", "ours"))
        ratio = f"{ours / peer:.2f}" if peer else ""
        print(f"| {what} | {peer:.2f} | {ours:.2f} | {ratio} |")


if __name__ == "__main__":
    main()
