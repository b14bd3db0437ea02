#!/usr/bin/env python3
"""Signals between the threads of a server, and how often they sleep, by the thousand commands.

    target/release/troupe --port 7001 --shards 4 &
    tests/measure/wakings.py 7001
    tests/measure/wakings.py 7001 --pipeline 16 --only set,mset10

Runs redis-benchmark beside the server, and reads what /proc counts of it meanwhile. A signal is a
`write`: without a journal the server writes nothing else but its log, since sockets are written to
by `sendto`; with one, the writes to its file count too. A sleep is a wait for events, by which a
thread gave its core away.
"""

import argparse
import os
import re

from compare import KEYS, WORKLOADS, benchmark
from servers import Client, pid_of


def writes(pid):
    with open(f"/proc/{pid}/io") as io:
        return int(re.search(r"syscw: (\d+)", io.read()).group(1))


def sleeps(pid):
    """Of all threads."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as status:
            total += int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", status.read()).group(1))
    return total


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("port", type=int)
    parser.add_argument("--only", default="set,get,mset10", help="workloads, with commas")
    parser.add_argument("--pipeline", type=int, default=1)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--client-core", default="1", help="where the load comes from")
    options = parser.parse_args()
    pid = pid_of(options.port)
    Client(options.port).pipeline(("SET", f"key:{i:012d}", "x" * 64) for i in range(KEYS // 10))
    print("| workload | pipeline | signals | sleeps | a second |\n| --- | --- | --- | --- | --- |")
    for name in options.only.split(","):
        before = writes(pid), sleeps(pid)
        rate = benchmark(
            options.port, options.requests, options.pipeline, WORKLOADS[name], options.client_core
        )
        counts = writes(pid) - before[0], sleeps(pid) - before[1]
        signals, slept = (count / options.requests * 1000 for count in counts)
        print(f"| {name} | {options.pipeline} | {signals:.1f} | {slept:.1f} | {rate:.0f} |", flush=True)


if __name__ == "__main__":
    main()
