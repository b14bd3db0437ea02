#!/usr/bin/env python3
"""Instructions a command, counted by callgrind, of one or two builds of the server.

    tests/measure/instructions.py target/release/troupe [OLD]

Each build runs under valgrind (Debian's package) with one shard and with two. One client sends each
workload without pipeline and with 16, after a warm-up of the same commands; what the whole process
executed meanwhile is divided by the commands. Unlike time, the count hardly depends on the machine.
With two builds the ratio of the first to the second stands behind, and with --most the script ends
with 1 when a ratio is over it.
"""

import argparse
import glob
import re
import statistics
import subprocess
import sys
import tempfile
import time

from servers import Client

KEYS = 1_000
COMMANDS = 4_000
ROUNDS = 5
WORKLOADS = {
    "set": lambda i: ["SET", f"key:{i % KEYS:012d}", "x" * 64],
    "get": lambda i: ["GET", f"key:{i % KEYS:012d}"],
    "incr": lambda i: ["INCR", f"counter:{i % KEYS:012d}"],
    "hset": lambda i: ["HSET", f"hash:{i % KEYS:012d}", "field", "value"],
    "mset10": lambda i: ["MSET"] + [word for j in range(10) for word in (f"m{j}:{i % KEYS}", "x" * 16)],
}
# What valgrind needs to start a server.
START_SECONDS = 60


class Counted:
    """A server under callgrind."""

    def __init__(self, program, shards, port):
        self.folder = tempfile.TemporaryDirectory()
        command = ["valgrind", "--tool=callgrind", "--fair-sched=yes", "-q"]
        command += [f"--callgrind-out-file={self.folder.name}/out.%p"]
        command += [program, "--port", str(port), "--shards", str(shards), "--dir", self.folder.name]
        log = open(f"{self.folder.name}/log", "w")
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.client = self.connect(port)

    def connect(self, port):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return Client(port)
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    sys.exit(open(f"{self.folder.name}/log").read())
                time.sleep(0.1)

    def control(self, *words):
        subprocess.run(["callgrind_control", *words, str(self.process.pid)], check=True, capture_output=True)

    def run(self, name, pipeline):
        commands = [WORKLOADS[name](i) for i in range(COMMANDS)]
        for part in range(0, COMMANDS, pipeline):
            self.client.pipeline(commands[part : part + pipeline], depth=pipeline)

    def count(self, name, pipeline):
        """Instructions a command: the median of some rounds, since now and then something else runs."""
        self.run(name, pipeline)
        return statistics.median(self.round(name, pipeline) for _ in range(ROUNDS))

    def round(self, name, pipeline):
        self.control("--zero")
        self.run(name, pipeline)
        before = self.dumps()
        self.control("--dump")
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for dump in self.dumps() - before:
                total = re.findall(r"^summary: (\d+)", open(dump).read(), re.M)
                if total:
                    return int(total[-1]) / COMMANDS
            time.sleep(0.05)
        sys.exit("callgrind wrote nothing")

    def dumps(self):
        return set(glob.glob(f"{self.folder.name}/out.*"))

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="+", help="one or two builds of the server")
    parser.add_argument("--port", type=int, default=7931)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--most", type=float, help="the largest ratio that is good")
    options = parser.parse_args()
    is_over = False
    print(f"{'shards':>6} {'workload':<10}{'pipeline':>8} {'instructions a command':>24}")
    for shards in options.shards:
        servers = [Counted(program, shards, options.port + i) for i, program in enumerate(options.programs)]
        for name in options.only:
            for pipeline in (1, 16):
                counts = [server.count(name, pipeline) for server in servers]
                ratio = counts[0] / counts[-1]
                is_over = is_over or (options.most is not None and ratio > options.most)
                figures = " ".join(f"{count:12.0f}" for count in counts)
                said = f" {ratio:.3f}" if len(counts) > 1 else ""
                print(f"{shards:>6} {name:<10}{pipeline:>8} {figures}{said}", flush=True)
        for server in servers:
            server.end()
    sys.exit(is_over)


if __name__ == "__main__":
    main()
