#!/usr/bin/env python3
"""What servers keep in memory while values of many sizes come and go, and once all is flushed.

    tests/peers.sh start valkey 7001
    target/release/troupe --port 7002 --shards 2 --save ''
    tests/measure/churn.py valkey=7001 troupe=7002

The servers must be disposable: FLUSHALL is sent. All get the same commands, chunk by chunk in turn.
Most are SETs with deadlines of different lengths; the others delete, append and write small
collections. The sizes of the values are 20 to 900 bytes, most of them from a range that is another one
in each round. Printed are INFO's used_memory and the resident memory after each round, and after
FLUSHALL and --quiet seconds; and of a server that shows it (INFO actors) the longest time that a
shard held its thread meanwhile.

Ends with 1 when the last server is resident with more than the first one, at any of these times.
"""

import argparse
import random
import re
import sys
import time

from servers import Client, encode, pid_of, rss_bytes

CLIENTS = 4
CHUNK = 400
SIZES = 20, 900
# Of the sizes of a round, so many in ten are from its range; the others are from all.
OF_RANGE = 8
# Milliseconds; none: the value stays until it is overwritten or deleted.
DEADLINES = [1_500, 4_000, 10_000, 30_000, None]
MB = 1 << 20


def ranges(rounds):
    """The ranges of sizes: each a quarter of all, from the bottom to the top and back."""
    low, high = SIZES
    width = (high - low) // 4
    for number in range(rounds):
        place = abs((number / max(rounds - 1, 1) * 2 + 1) % 2 - 1)
        start = low + int(place * (high - low - width))
        yield start, start + width


def command(chance, sizes, keys, blob):
    key = f"key:{chance.randrange(keys):09d}"
    size = chance.randint(*(sizes if chance.randrange(10) < OF_RANGE else SIZES))
    start = chance.randrange(len(blob) - size)
    value = blob[start : start + size]
    kind = chance.random()
    if kind < 0.70:
        deadline = chance.choice(DEADLINES)
        return ("SET", key, value, *(("PX", deadline) if deadline else ()))
    if kind < 0.85:
        return ("DEL", key)
    part = value[: max(size // 8, 8)]
    group = chance.randrange(keys // 20)
    if kind < 0.91:
        return ("APPEND", f"long:{group}", part) if chance.random() < 0.9 else ("DEL", f"long:{group}")
    if chance.random() < 0.06:
        name = chance.choice(["hash", "list", "zset"])
        return ("DEL", f"{name}:{group}")
    if kind < 0.94:
        return ("HSET", f"hash:{group}", f"field:{chance.randrange(40)}", part)
    if kind < 0.97:
        return ("RPUSH", f"list:{group}", part)
    return ("ZADD", f"zset:{group}", chance.randrange(1_000), part[:40])


class Server:
    def __init__(self, word):
        self.name, port = word.split("=")
        self.pid = pid_of(port)
        self.clients = [Client(int(port)) for _ in range(CLIENTS)]
        self.info = self.clients[0]

    def send(self, number, chunk):
        self.clients[number % CLIENTS].flush(list(chunk))

    def figures(self):
        """Used and resident memory in MB."""
        used = re.search(rb"used_memory:(\d+)", self.info.call("INFO", "memory"))
        return int(used.group(1)) / MB, rss_bytes(self.pid) / MB

    def longest_slice_us(self):
        found = re.findall(rb"longest_slice_us=(\d+)", self.info.call("INFO", "actors"))
        return max(map(int, found), default=None)


def row(title, servers):
    """Prints a line; whether the last server is resident with no more than the first."""
    cells, resident = [], []
    for server in servers:
        used, rss = server.figures()
        resident.append(rss)
        slice_us = server.longest_slice_us()
        cells += [f"{used:.0f}", f"{rss:.0f}", f"{rss / used:.2f}"]
        cells += [f"{slice_us}"] if slice_us is not None else []
    print(f"| {title} | " + " | ".join(cells) + f" | {resident[-1] / resident[0]:.2f} |", flush=True)
    return resident[-1] <= resident[0]


def head(servers):
    columns = ["round, bytes"]
    for server in servers:
        columns += [f"{server.name} {what}" for what in ("used MB", "RSS MB", "RSS / used")]
        if server.longest_slice_us() is not None:
            columns.append(f"{server.name} longest slice us")
    columns.append("RSS, last / first")
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="+", metavar="NAME=PORT")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--commands", type=int, default=400_000, help="in a round")
    parser.add_argument("--keys", type=int, default=400_000)
    parser.add_argument("--quiet", type=float, default=15, help="seconds after FLUSHALL")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    options = arguments()
    servers = [Server(word) for word in options.servers]
    for server in servers:
        server.info.call("FLUSHALL")
        server.info.call("CONFIG", "RESETSTAT")
    chance = random.Random(options.seed)
    blob = bytes(chance.randrange(256) for _ in range(1 << 16))
    head(servers)
    row("start", servers)
    is_within = True
    for number, sizes in enumerate(ranges(options.rounds)):
        for chunk_number in range(options.commands // CHUNK):
            words = (command(chance, sizes, options.keys, blob) for _ in range(CHUNK))
            chunk = [encode(each) for each in words]
            for server in servers:
                server.send(chunk_number, chunk)
        is_within &= row(f"{number + 1}, {sizes[0]} to {sizes[1]}", servers)
    for server in servers:
        server.info.call("FLUSHALL")
    time.sleep(options.quiet)
    is_within &= row(f"FLUSHALL and {options.quiet:g} s", servers)
    sys.exit(not is_within)


if __name__ == "__main__":
    main()
