#!/usr/bin/env python3
"""Signals between the threads of a server, and how often they wake, by the command.

    target/release/troupe --port 7001 --shards 4 &
    tests/measure/wakings.py 7001
    tests/measure/wakings.py 7001 --pipeline 16 --only set

Runs redis-benchmark beside the server, and strace on the server: each of its system calls takes
longer, so the figures say how many there are, not how long they take. A signal is a write of eight
bytes to an eventfd; a waking is a wait for events that ended with some. Needs strace, and the right
to attach it.
"""

import argparse
import re
import signal
import subprocess
import tempfile
import time

from compare import KEYS, WORKLOADS, benchmark
from servers import Client, pid_of

SIGNAL = re.compile(r'write\(\d+, "\\1\\0\\0\\0\\0\\0\\0\\0", 8')
WAKING = re.compile(r"epoll_wait\(.*\) = [1-9]|<... epoll_wait resumed>.*\) = [1-9]")


def commands(client):
    info = client.call("INFO", "stats").decode()
    return int(re.search(r"total_commands_processed:(\d+)", info).group(1))


def measure(port, name, pipeline, options):
    """Signals and wakings of all threads, and commands, while a workload runs."""
    client = Client(port)
    with tempfile.NamedTemporaryFile("r") as trace:
        calls = "trace=write,epoll_wait,epoll_pwait"
        strace = ["strace", "-f", "-qq", "-e", calls, "-o", trace.name, "-p", str(pid_of(port))]
        tracer = subprocess.Popen(strace)
        # Nothing says that it has attached but what it writes.
        while not trace.read(1):
            client.call("PING")
            time.sleep(0.05)
        trace.seek(0, 2)
        before = commands(client)
        benchmark(port, options.requests, pipeline, WORKLOADS[name], options.client_core)
        count = commands(client) - before
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        lines = trace.readlines()
    signals = sum(1 for line in lines if SIGNAL.search(line))
    wakings = sum(1 for line in lines if WAKING.search(line))
    return signals, wakings, count


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("port", type=int)
    parser.add_argument("--only", default="set,get,mset10", help="workloads, with commas")
    parser.add_argument("--pipeline", type=int, default=1)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--client-core", default="1", help="where the load comes from")
    options = parser.parse_args()
    Client(options.port).pipeline(("SET", f"key:{i:012d}", "x" * 64) for i in range(KEYS // 10))
    print("| workload | pipeline | commands | signals | wakings |\n| --- | --- | --- | --- | --- |")
    for name in options.only.split(","):
        signals, wakings, count = measure(options.port, name, options.pipeline, options)
        print(f"| {name} | {options.pipeline} | {count} | {signals} | {wakings} |", flush=True)


if __name__ == "__main__":
    main()
