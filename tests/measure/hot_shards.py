#!/usr/bin/env python3
"""What it brings that slots move from busy shards to idle ones.

    target/release/troupe --port 7001 --shards 2 --save '' --enable-debug-command yes
    tests/measure/hot_shards.py --port 7001

The server must be disposable: FLUSHALL is sent. Each law of load runs for --seconds with `rebalance
dry-run`, which measures and moves nothing, and then for --seconds with `rebalance yes`; of each the
second half counts. Printed are commands a second, for which share of the time the busiest and the
idlest shard had something to do (INFO shards), and how many slots have moved in how many moves.

even    keys at random
half    some hot keys, all at the first shard
zipf    a law of Zipf (0.99) over 3,000 keys
tag     one hash tag
shift   hot keys at one shard, at another one each five seconds
"""

import argparse
import bisect
import contextlib
import itertools
import random
import re
import socket
import time

from servers import Child, Client, encode, setting

CLIENTS = 2
PIPELINE = 64
# Pipelines that a client has ready.
READY = 200
# Keys of `half` and `shift` at each shard.
HOT = 40
SHIFT_SECONDS = 5
# Each command writes at this offset, which takes a shard longer than a reply takes a client.
OFFSET = 5000
LAWS = ["even", "half", "zipf", "tag", "shift"]


def slots_of(port, keys):
    client = Client(port)
    return [int(client.call("CLUSTER", "KEYSLOT", key)) for key in keys]


def drawn(law, chance):
    """Keys by a law; by that of `shift`, a list a shard."""
    weights = list(itertools.accumulate(1 / rank**0.99 for rank in range(1, 3001)))
    count = PIPELINE * READY
    if law == "even":
        return [[f"k{chance.randrange(100_000)}" for _ in range(count)]]
    if law == "zipf":
        return [[f"k{bisect.bisect(weights, chance.random() * weights[-1])}" for _ in range(count)]]
    if law == "tag":
        return [[f"{{hot}}{chance.randrange(1000)}" for _ in range(count)]]
    groups = 1 if law == "half" else 2
    return [[f"hot{group}:{chance.randrange(HOT)}" for _ in range(count)] for group in range(groups)]


def load(pipe, port, law, number):
    """Sends without end; says how many commands were answered when it is asked."""
    chance = random.Random(number)
    connection = socket.create_connection(("127.0.0.1", port))
    groups = []
    for keys in drawn(law, chance):
        commands = [encode(("SETRANGE", key, OFFSET, "y")) for key in keys]
        groups.append([b"".join(commands[at : at + PIPELINE]) for at in range(0, len(commands), PIPELINE)])
    answered = 0
    begin = time.monotonic()
    for turn in itertools.count():
        group = groups[int((time.monotonic() - begin) / SHIFT_SECONDS) % len(groups)]
        connection.sendall(group[turn % len(group)])
        left = PIPELINE
        while left > 0:
            left -= connection.recv(1 << 16).count(b"\n")
        answered += PIPELINE
        if pipe.poll():
            pipe.recv()
            pipe.send(answered)


def info(client):
    text = client.call("INFO", "shards").decode()
    busy = [float(share) for share in re.findall(r"busy_percent=([\d.]+)", text)]
    figure = lambda name: int(re.search(rf"rebalance_{name}:(\d+)", text)[1])
    return busy, figure("moves"), figure("moved_slots")


def run(client, children, seconds):
    """Commands a second and shares of time, over the second half; and what has moved in all."""
    _, moves, slots = info(client)
    time.sleep(seconds / 2)
    before, begin, shares = sum(child.ask() for child in children), time.monotonic(), []
    for _ in range(max(int(seconds / 4), 1)):
        time.sleep(2)
        shares.append(sorted(info(client)[0]))
    rate = (sum(child.ask() for child in children) - before) / (time.monotonic() - begin)
    least = sum(share[0] for share in shares) / len(shares)
    most = sum(share[-1] for share in shares) / len(shares)
    _, all_moves, all_slots = info(client)
    return rate, most, least, all_moves - moves, all_slots - slots


def place(client, port, law):
    """The hot keys of each group stand at one shard, as they would by bad luck."""
    for group, shard in [(0, 0), (1, 1)]:
        if law in ("half", "shift"):
            slots = slots_of(port, [f"hot{group}:{number}" for number in range(HOT)])
            client.call("DEBUG", "MOVE-SLOT", *(word for slot in set(slots) for word in (slot, shard)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--laws", default=",".join(LAWS))
    options = parser.parse_args()
    print(f"{'law':6} {'rebalance':>9} {'commands/s':>11} {'busiest':>8} {'idlest':>7} {'moves':>6} {'slots':>6}")
    for law in options.laws.split(","):
        client = Client(options.port)
        client.call("FLUSHALL")
        place(client, options.port, law)
        children = [Child(load, options.port, law, number) for number in range(CLIENTS)]
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: [child.end() for child in children])
            for mode in ["dry-run", "yes"]:
                with setting(options.port, "rebalance", mode):
                    rate, most, least, moves, slots = run(client, children, options.seconds)
                print(f"{law:6} {mode:>9} {rate:11.0f} {most:7.0f}% {least:6.0f}% {moves:6} {slots:6}", flush=True)


if __name__ == "__main__":
    main()
