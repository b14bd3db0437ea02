#!/usr/bin/env python3
"""Bytes per key or element after loading fixed data sets, per server.

    tests/peers.sh start valkey 7001
    target/release/troupe --port 7002 --shards 1 --save ''
    tests/measure/memory.py valkey=7001 troupe=7002

The servers must be disposable: FLUSHALL is sent. Printed, for each data set and server, are the
growth of INFO's used_memory and of the resident memory per key
or element, and the ratio of the last server's
used_memory to the first's. Resident memory that an earlier data set left behind is used again, so
only in a fresh server (--only) is its growth a figure of its own.
"""

import argparse
import re
import time

from servers import Client, pid_of, rss_bytes

N = 1_000_000


# Elements in a collection that fills one key, by a command of its own.
SMALL = 10
# Elements in a command that fills one large collection.
BATCH = 50


def key(i):
    return f"key:{i:012d}"


def small(name, element):
    """Many collections of a few elements: the command that makes number `i`."""
    return lambda i: (name, key(i), *[word for j in range(SMALL) for word in element(i, j)])


def large(name, element):
    """One collection: the command that brings its batch number `i`."""
    start = lambda i: i * BATCH
    return lambda i: (name, "c", *[w for n in range(start(i), start(i) + BATCH) for w in element(n)])


# Each: title; how many keys or elements; how many commands make them, and which.
DATA_SETS = [
    ("16 B key, 64 B value", N, N, lambda i: ("SET", key(i), "x" * 64)),
    ("16 B key, 8 B value", N, N, lambda i: ("SET", key(i), f"v{i % 10**7:07d}")),
    ("16 B key, integer, TTL", N, N, lambda i: ("SET", key(i), i, "EX", 100000)),
    ("16 B key, 1 KB value", N // 5, N // 5, lambda i: ("SET", key(i), "x" * 1024)),
    ("hash of 10 (a hash)", N // SMALL, N // SMALL,
     small("HSET", lambda i, j: (f"field{j}", f"value{i % 1000:05d}{j}"))),
    ("large hash (a field)", N, N // BATCH,
     large("HSET", lambda n: (f"field:{n:010d}", f"value:{n:010d}"))),
    ("set of 10 integers (a set)", N // SMALL, N // SMALL,
     small("SADD", lambda i, j: (i * 13 + j,))),
    ("large set (a member)", N, N // BATCH, large("SADD", lambda n: (f"member:{n:010d}",))),
    ("sorted set of 10 (a sorted set)", N // SMALL, N // SMALL,
     small("ZADD", lambda i, j: (j * 3 + i, f"m{j}"))),
    ("large sorted set (a member)", N, N // BATCH,
     large("ZADD", lambda n: (n * 7919 % N, f"member:{n:010d}"))),
    ("large list (an element)", N, N // BATCH, large("RPUSH", lambda n: (f"item:{n:010d}",))),
    ("stream (an entry)", N // 2, N // 2,
     lambda i: ("XADD", "c", f"{i + 1}-0", "temp", i % 100, "hum", i % 77)),
]
# Seconds between two looks at a server that lets go of what it flushed in the background.
LOOK = 0.3


def used_memory(client):
    return int(re.search(rb"used_memory:(\d+)", client.call("INFO", "memory")).group(1))


def settled(client):
    """Used memory, once it stands still."""
    before, now = None, used_memory(client)
    while before is None or before - now > 1 << 16:
        time.sleep(LOOK)
        before, now = now, used_memory(client)
    return now


def grown(port, count, commands, command):
    """Growth of used and of resident memory per key or element."""
    client, pid = Client(port), pid_of(port)
    client.call("FLUSHALL")
    used, resident = settled(client), rss_bytes(pid)
    client.pipeline(command(i) for i in range(commands))
    grown = (settled(client) - used) / count, (rss_bytes(pid) - resident) / count
    client.call("FLUSHALL")
    return grown


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="+", metavar="NAME=PORT")
    parser.add_argument("--only", default="", help="data sets whose title contains this")
    options = parser.parse_args()
    servers = [(name, int(port)) for name, port in (s.split("=") for s in options.servers)]
    titles = [f"{name} used | {name} RSS" for name, _ in servers]
    print("| data set | " + " | ".join(titles) + " | last / first |")
    print("| --- |" + " --- | --- |" * len(servers) + " --- |")
    for title, count, commands, command in DATA_SETS:
        if options.only not in title:
            continue
        row = [grown(port, count, commands, command) for _, port in servers]
        cells = [f"{used:.1f} | {resident:.1f}" for used, resident in row]
        print(f"| {title} | " + " | ".join(cells) + f" | {row[-1][0] / row[0][0]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
