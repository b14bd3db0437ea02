#!/usr/bin/env python3
"""Transactions and waits of two servers, side by side in one run.

    tests/peers.sh start valkey 7001                    # prints its process id
    taskset -pca 0 PID
    taskset -c 0 target/release/troupe --port 7002 --shards 1 --save ''
    tests/measure/transactions.py 7001 7002

`multi` is MULTI, five SETs and EXEC in one write, from 50 clients. `handover` is 50 pairs of clients
that play ping-pong: each waits with BLPOP for what the other pushes. Round after round the two
servers are measured in turn. Printed are the medians: user + system time of the server process, from
/proc, by transaction or hand-over; how many there were a second; and of the hand-over the time from
before the push is sent until the waiting client has been answered, p50 and p99 in microseconds. The
load comes from this program, on another core, and bounds the rate.
"""

import argparse
import os
import random
import selectors
import socket
import statistics
import time

from servers import Client, cpu_seconds, encode, opponents, pid_of

CLIENTS = 50
KEYS = 1_000_000


def connect(port):
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def multi(port, count):
    """So many transactions; no times."""
    rng = random.Random(1)
    selector = selectors.DefaultSelector()
    answer = b"+OK\r\n" + b"+QUEUED\r\n" * 5 + b"*5\r\n" + b"+OK\r\n" * 5
    got = {}

    def send(client):
        sets = [encode(["SET", f"key:{rng.randrange(KEYS):012d}", "x" * 64]) for _ in range(5)]
        got[client] = b""
        client.sendall(encode(["MULTI"]) + b"".join(sets) + encode(["EXEC"]))

    clients = [connect(port) for _ in range(CLIENTS)]
    for client in clients:
        selector.register(client, selectors.EVENT_READ)
        send(client)
    left, waiting = count - CLIENTS, CLIENTS
    while waiting:
        for key, _ in selector.select():
            client = key.fileobj
            got[client] += client.recv(4096)
            if len(got[client]) < len(answer):
                continue
            if got[client] != answer:
                raise RuntimeError(got[client][:200])
            if left > 0:
                left -= 1
                send(client)
            else:
                waiting -= 1
    for client in clients:
        client.close()
    return []


def handover(port, count):
    """So many hand-overs; how long each took, in microseconds."""
    selector = selectors.DefaultSelector()
    pairs = [(connect(port), connect(port)) for _ in range(CLIENTS)]
    took, sent = [], [0.0] * CLIENTS

    def wait(number, side):
        pairs[number][side].sendall(encode(["BLPOP", f"pair:{number}:{side}", 0]))

    def push(number, side):
        sent[number] = time.perf_counter()
        pairs[number][1 - side].sendall(encode(["LPUSH", f"pair:{number}:{side}", "ball"]))

    got = {}
    for number in range(CLIENTS):
        for side in (0, 1):
            selector.register(pairs[number][side], selectors.EVENT_READ, (number, side))
            got[number, side] = b""
        wait(number, 0)
        push(number, 0)
    left, playing = count - CLIENTS, CLIENTS
    pushed = b":1\r\n"
    while playing:
        for key, _ in selector.select():
            number, side = key.data
            got[key.data] += key.fileobj.recv(4096)
            if got[key.data].startswith(pushed):
                got[key.data] = got[key.data][len(pushed) :]
            if not got[key.data].endswith(b"ball\r\n"):
                continue
            took.append((time.perf_counter() - sent[number]) * 1e6)
            got[key.data] = b""
            if left > 0:
                left -= 1
                # The other side waits now, and this one pushes.
                wait(number, 1 - side)
                push(number, 1 - side)
            else:
                playing -= 1
    for pair in pairs:
        for client in pair:
            client.close()
    return took


def percentile(values, share):
    return sorted(values)[int(len(values) * share)] if values else 0.0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", type=int, help="port of the server to compare with")
    parser.add_argument("ours", type=int, help="port of Troupe")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=60_000, help="transactions or hand-overs a round")
    parser.add_argument("--client-core", type=int, default=1, help="where the load comes from")
    options = parser.parse_args()
    ports = opponents(options)
    os.sched_setaffinity(0, {options.client_core})
    print(
        "| load | peer us | ours us | CPU ratio | peer /s | ours /s | peer p50, p99 | ours p50, p99 |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for load in (multi, handover):
        rounds = {who: [] for who in ports}
        for _ in range(options.rounds):
            for who, port in ports.items():
                Client(port).call("FLUSHALL")
                pid = pid_of(port)
                cpu, start = cpu_seconds(pid), time.perf_counter()
                took = load(port, options.count)
                seconds = time.perf_counter() - start
                micros = (cpu_seconds(pid) - cpu) / options.count * 1e6
                times = [percentile(took, share) for share in (0.5, 0.99)]
                rounds[who].append((micros, options.count / seconds, *times))
        medians = {who: [statistics.median(column) for column in zip(*runs)] for who, runs in rounds.items()}
        peer, ours = medians["peer"], medians["ours"]
        print(
            f"| {load.__name__} | {peer[0]:.2f} | {ours[0]:.2f} | {ours[0] / peer[0]:.2f} "
            f"| {peer[1]:.0f} | {ours[1]:.0f} | {peer[2]:.0f}, {peer[3]:.0f} | {ours[2]:.0f}, {ours[3]:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
