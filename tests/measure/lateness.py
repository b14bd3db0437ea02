#!/usr/bin/env python3
"""How late the events of expired keys are at a subscriber, per server, under a modest load.

    tests/peers.sh start valkey 7001                    # prints its process id
    taskset -pca 0 PID                                  # all of its threads on core 0
    taskset -c 0 target/release/troupe --port 7002 --shards 1 --save ''
    tests/measure/lateness.py valkey=7001 troupe=7002

The servers must be disposable: FLUSHALL is sent. One after the other is filled with keys whose
deadlines are spread at random over --spread seconds and stand in their names. A subscriber to
__keyevent@0__:expired notes when each event arrives; meanwhile one client sends --rate GETs and SETs of
other keys a second, some at a time each 10 ms. Printed are, in milliseconds from a deadline until its
event was read, median, p99 and the longest; and the CPU time of the server in percent of a core over
the spread. The subscriber is this program, and what another process takes of --client-core makes events
late too: leave it alone, and look at p99 rather than at the longest.

Nothing is measured when the keys are not there before the first deadline; --keys and --spread say how
many there are. Ends with 1 then, and when an event came before its deadline or did not come within
--patience seconds after the last.
"""

import argparse
import gc
import multiprocessing
import os
import random
import select
import sys
import time

from servers import Client, cpu_seconds, encode, pid_of, quantile, setting

CHANNEL = "__keyevent@0__:expired"
# What the load reads and writes.
OTHERS = 20_000
TICKS = 100
# How much longer than by the pace of the first keys the fill may take, and seconds besides: commands
# with a deadline take longer, and a busy machine is not as fast all the time.
LEAD, LEAD_SECONDS = 3.0, 2.0


def due(deadline, number):
    """A key with its deadline; all have one length."""
    return f"due:{deadline:013d}:{number:07d}"


MESSAGE = encode(["message", CHANNEL, due(0, 0)])
DEADLINE = slice(MESSAGE.index(b"due:") + 4, MESSAGE.index(b"due:") + 17)


def load(port, rate):
    """So many GETs and SETs a second until the process is ended."""
    client, chance = Client(port), random.Random(2)
    ticks = 0
    start = time.monotonic()
    while True:
        keys = [f"other:{chance.randrange(OTHERS):07d}" for _ in range(rate // TICKS)]
        pairs = [("SET", key, "x" * 64) if chance.random() < 0.5 else ("GET", key) for key in keys]
        client.pipeline(pairs)
        ticks += 1
        time.sleep(max(start + ticks / TICKS - time.monotonic(), 0))


def watch(subscriber, count, until):
    """How late each event was, in milliseconds."""
    lags, rest = [], b""
    with select.epoll() as poll:
        poll.register(subscriber, select.EPOLLIN)
        while len(lags) < count and time.time() < until:
            if not poll.poll(1.0):
                continue
            part = subscriber.recv(1 << 16)
            seen = time.time() * 1000
            if not part:
                raise RuntimeError("the server closed the subscriber")
            rest += part
            whole = len(rest) // len(MESSAGE) * len(MESSAGE)
            for start in range(0, whole, len(MESSAGE)):
                message = rest[start : start + len(MESSAGE)]
                lags.append(seen - int(message[DEADLINE]))
            rest = rest[whole:]
    return sorted(lags)


def run(port, options):
    """The sorted lags, and the CPU time of the server in percent of a core."""
    client = Client(port)
    client.call("FLUSHALL")
    start = time.monotonic()
    client.pipeline(("SET", f"other:{i:07d}", "x" * 64) for i in range(OTHERS))
    lead = (time.monotonic() - start) / OTHERS * options.keys * LEAD + LEAD_SECONDS
    subscriber = Client(port)
    subscriber.call("SUBSCRIBE", CHANNEL)
    with setting(port, "notify-keyspace-events", "Ex"):
        chance, first = random.Random(1), time.time() + lead
        spread = int(options.spread * 1000)
        deadlines = (int(first * 1000) + chance.randrange(spread) for _ in range(options.keys))
        keys = ((due(at, number), at) for number, at in enumerate(deadlines))
        client.pipeline(("SET", key, "v", "PXAT", at) for key, at in keys)
        if time.time() > first:
            raise RuntimeError(f"the fill took longer than {lead:.0f} s: is the machine busy?")
        # A process of its own: a thread would hold the subscriber up.
        loader = multiprocessing.Process(target=load, args=(port, options.rate), daemon=True)
        loader.start()
        time.sleep(max(first - time.time(), 0))
        # Millions of figures hold no circles, and looking for some takes long.
        gc.disable()
        pid = pid_of(port)
        cpu = cpu_seconds(pid)
        try:
            lags = watch(subscriber.socket, options.keys, first + options.spread + options.patience)
        finally:
            loader.terminate()
            loader.join()
            gc.enable()
        busy = (cpu_seconds(pid) - cpu) / (time.time() - first) * 100
    return lags, busy


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="+", metavar="NAME=PORT")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--spread", type=float, default=100.0, help="seconds of the deadlines")
    parser.add_argument("--rate", type=int, default=2_000, help="GETs and SETs a second")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds after the last deadline")
    parser.add_argument("--client-core", type=int, default=1, help="of the subscriber and the load")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.client_core})
    print(
        "| server | events | missing | p50 ms | p99 ms | longest ms | CPU % |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    failed = False
    for name, port in (server.split("=") for server in options.servers):
        try:
            lags, busy = run(int(port), options)
        except (RuntimeError, OSError) as error:
            print(f"{name} failed: {error}", flush=True)
            failed = True
            continue
        if not lags:
            print(f"{name} failed: no event arrived", flush=True)
            failed = True
            continue
        at = lambda share: quantile(lags, share)
        missing = options.keys - len(lags)
        print(
            f"| {name} | {len(lags)} | {missing} | {at(0.5):.1f} | {at(0.99):.1f} | {lags[-1]:.1f} "
            f"| {busy:.1f} |",
            flush=True,
        )
        if lags[0] < 0:
            print(f"{name} failed: an event came {-lags[0]:.1f} ms before its deadline", flush=True)
        failed |= missing > 0 or lags[0] < 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
