#!/usr/bin/env python3
"""Bytes per key after loading fixed data sets, per server.

    tests/peers.sh start valkey 7001
    target/release/troupe --port 7002 --shards 1 --save ''
    tests/measure/memory.py valkey=7001 troupe=7002

The servers must be disposable: FLUSHALL is sent. Printed, for each data set and server, are the
growth of INFO's used_memory and of the resident memory per key, and the ratio of the last server's
used_memory to the first's. Resident memory that an earlier data set left behind is used again, so
only in a fresh server (--only) is its growth a figure of its own.
"""

import argparse
import re
import time

from servers import Client, pid_of, rss_bytes

N = 1_000_000


def key(i):
    return f"key:{i:012d}"


# Name: how many keys, and the commands that make them.
DATA_SETS = {
    "64": (N, "16 B key, 64 B value", lambda i: ("SET", key(i), "x" * 64)),
    "8": (N, "16 B key, 8 B value", lambda i: ("SET", key(i), f"v{i % 10**7:07d}")),
    "ttl": (N, "16 B key, integer, TTL", lambda i: ("SET", key(i), i, "EX", 100000)),
    "1k": (N // 5, "16 B key, 1 KB value", lambda i: ("SET", key(i), "x" * 1024)),
}
# How long a server may take to let go of what it flushed, in seconds.
SETTLE = 0.3


def used_memory(client):
    return int(re.search(rb"used_memory:(\d+)", client.call("INFO", "memory")).group(1))


def grown(port, count, command):
    """Growth of used and of resident memory per key."""
    client, pid = Client(port), pid_of(port)
    client.call("FLUSHALL")
    time.sleep(SETTLE)
    used, resident = used_memory(client), rss_bytes(pid)
    client.pipeline(command(i) for i in range(count))
    time.sleep(SETTLE)
    grown = (used_memory(client) - used) / count, (rss_bytes(pid) - resident) / count
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
    for count, title, command in DATA_SETS.values():
        if options.only not in title:
            continue
        row = [grown(port, count, command) for _, port in servers]
        cells = [f"{used:.1f} | {resident:.1f}" for used, resident in row]
        print(f"| {title} | " + " | ".join(cells) + f" | {row[-1][0] / row[0][0]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
