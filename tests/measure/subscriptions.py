#!/usr/bin/env python3
"""Bytes of memory a subscription, per server.

    tests/peers.sh start valkey 7001
    target/release/troupe --port 7002 --shards 1 --save ''
    target/release/troupe --port 7003 --shards 4 --save ''
    tests/measure/subscriptions.py valkey=7001 troupe=7002 troupe4=7003

Clients subscribe to so many channels each: to channels of their own, to the same ones, and to patterns
of their own. Printed are the growth of INFO's used_memory and of the resident memory by subscription,
from when all clients have one subscription each, and the ratios of each server's growth to the first
one's. Resident memory that an earlier line left behind is used again: it is a figure only in the first
line of fresh servers (--only).
"""

import argparse

from memory import settled
from servers import Client, pid_of, rss_bytes

# Channels in a command.
BATCH = 50
# Each: title; the command; the channel of a client by number.
KINDS = [
    ("channels of its own", "SUBSCRIBE", lambda client, number: f"channel:{client:05d}:{number:05d}"),
    ("channels of all", "SUBSCRIBE", lambda client, number: f"channel:{number:011d}"),
    ("patterns of its own", "PSUBSCRIBE", lambda client, number: f"pattern:{client:05d}:{number:04d}*"),
]


def subscribe(client, command, channels):
    for start in range(0, len(channels), BATCH):
        part = channels[start : start + BATCH]
        client.call(command, *part)
        # Each channel is answered.
        for _ in part[1:]:
            client.read()


def grown(port, command, channel, options):
    """Growth of used and of resident memory per subscription."""
    about, pid = Client(port), pid_of(port)
    clients = [Client(port) for _ in range(options.clients)]
    for client in clients:
        subscribe(client, command, ["first"])
    used, resident = settled(about), rss_bytes(pid)
    for number, client in enumerate(clients):
        subscribe(client, command, [channel(number, each) for each in range(options.channels)])
    count = options.clients * options.channels
    grown = (settled(about) - used) / count, (rss_bytes(pid) - resident) / count
    for client in clients:
        client.close()
    settled(about)
    return grown


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="+", metavar="NAME=PORT")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--channels", type=int, default=1_000, help="of each client")
    parser.add_argument("--only", default="", help="lines whose title contains this")
    options = parser.parse_args()
    servers = [(name, int(port)) for name, port in (s.split("=") for s in options.servers)]
    titles = [f"{name} used | {name} RSS" for name, _ in servers]
    for name, _ in servers[1:]:
        titles.append(f"used, {name} / {servers[0][0]} | RSS, {name} / {servers[0][0]}")
    print("| a subscription to | " + " | ".join(titles) + " |\n| --- |" + " --- | --- |" * len(titles))
    for title, command, channel in KINDS:
        if options.only not in title:
            continue
        row = [grown(port, command, channel, options) for _, port in servers]
        cells = [f"{used:.1f} | {resident:.1f}" for used, resident in row]
        for one in row[1:]:
            pairs = zip(one, row[0])
            cells += [f"{mine / first:.2f}" if min(mine, first) > 0 else "-" for mine, first in pairs]
        print(f"| {title} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
