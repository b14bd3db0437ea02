#!/usr/bin/env python3
"""What replicas cost their primary and its clients, and how a replica keeps up.

    tests/measure/replicas.py valkey=target/peers/valkey-server troupe=target/release/troupe

The first server is the replica of each in turn in the first two parts, so that what is measured is the
primary. Primaries stand on --core with one shard, the load and the replica on --client-core. The parts:

    set       redis-benchmark sends --commands SETs with a pipeline of 16, without a replica and with
              one: CPU time of the primary a command
    sync      a primary with --keys keys of 16 bytes with values of 64 that cannot be compressed gets a
              replica, while a client sends --probes GETs a second: how long it takes until the replica
              is online, the most memory of the primary, where a page that it shares with its child
              counts once, and of GET median, p99, p99.9 and the longest, in milliseconds from when each
              was due
    keeps up  of the last server: a primary with four shards gets --commands SETs with a pipeline of 16,
              a replica of its own kind with four shards follows, all on both cores: how far behind it
              is when the load ends, and for how long
    slow      of the last server: a replica reads 5 MB a second, where SETs of 1 KB come as fast as they
              are taken for --seconds, with `repl-slow-writers`: how many were taken, and whether the
              replica is still there

Rounds of `set` and `sync` are in turn, what is printed of them is the median. What is promised: CPU a SET
with a replica is at most 0.9 of the first server's; memory while a replica is synchronized at most 1.05
of before; p99.9 of GET then at most half of the first server's; the slow replica stays. Ends with 1 where
the last server does not keep that.
"""

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from saving import MIB, PATIENCE, overwrite, probe, watch
from servers import Child, Client, cpu_seconds, encode, pid_of, pss_bytes, quantile

SLOW = 5_000_000
LINES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "longest": 1}


class Server:
    """A server that lives until `stop`."""

    def __init__(self, program, port, cores, *settings):
        self.port, self.folder = port, tempfile.mkdtemp(prefix="replicas-")
        command = ["taskset", "-c", cores, program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        # A peer may live in a root of its own, which knows this folder.
        command += ["--dir", "/tmp", "--repl-diskless-sync-delay", "0", *settings]
        self.log = open(f"{self.folder}/log", "w+b")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError, RuntimeError):
                self.client = Client(port)
                if self.client.call("PING") == b"PONG":
                    break
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise RuntimeError(f"does not start: {self.log.read().decode()[-1000:]}")
            time.sleep(0.01)
        self.pid = pid_of(port)

    def info(self, field):
        for line in self.client.call("INFO", "replication").decode().split("\r\n"):
            if line.startswith(field + ":"):
                return line.split(":", 1)[1]
        return ""

    def follow(self, primary):
        self.client.call("REPLICAOF", "127.0.0.1", primary.port)
        wait("the replica is up", lambda: self.info("master_link_status") == "up")

    def stop(self):
        with contextlib.suppress(OSError, RuntimeError):
            self.client.call("SHUTDOWN", "NOSAVE", "NOW")
        self.process.wait(PATIENCE)


@contextlib.contextmanager
def servers():
    """Starts servers, and ends them all."""
    started = []

    def start(*arguments):
        started.append(Server(*arguments))
        return started[-1]

    try:
        yield start
    finally:
        for server in reversed(started):
            server.stop()


def wait(what, is_so):
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.005)


def ours(program, shards):
    """Settings that only a server with shards knows."""
    return ["--shards", str(shards)] if "troupe" in os.path.basename(program) else []


def load(port, commands, core, size=64):
    words = ["redis-benchmark", "-p", str(port), "-c", "50", "-n", str(commands), "-P", "16"]
    words += ["-r", "1000000", "-q", "SET", "key:__rand_int__", "x" * size]
    subprocess.run(["taskset", "-c", core, *words], check=True, capture_output=True)


def set_part(first, program, options):
    """CPU time of the primary a SET, in microseconds: without a replica, and with one."""
    with servers() as start:
        primary = start(program, options.port, options.core, *ours(program, 1))
        figures = []
        for has_replica in (False, True):
            if has_replica:
                replica = start(first, options.port + 1, options.client_core, *ours(first, 1))
                replica.follow(primary)
            load(primary.port, options.commands // 10, options.client_core)
            before = cpu_seconds(primary.pid)
            load(primary.port, options.commands, options.client_core)
            figures.append((cpu_seconds(primary.pid) - before) * 1e6 / options.commands)
        wait("the replica has it all", lambda: at_same_offset(primary, replica))
    return {"alone us": figures[0], "replica us": figures[1]}


def at_same_offset(primary, replica):
    return primary.info("master_repl_offset") == replica.info("master_repl_offset")


def sync_part(first, program, options):
    with servers() as start:
        primary = start(program, options.port, options.core, *ours(program, 1))
        Child(overwrite, options.port, options.keys, 0, options.keys).hear(PATIENCE)
        replica = start(first, options.port + 1, options.client_core, *ours(first, 1))
        gets = Child(probe, options.port, "GET", options.keys, options.probes)
        memory = Child(watch, primary.pid)
        time.sleep(1)
        quiet = pss_bytes(primary.pid)
        gets.ask(), memory.ask()
        begun = time.monotonic()
        replica.client.call("REPLICAOF", "127.0.0.1", primary.port)
        wait("the replica is online", lambda: "state=online" in primary.info("slave0"))
        seconds = time.monotonic() - begun
        latencies, most = sorted(gets.ask()), memory.ask()
        gets.end(), memory.end()
        wait("the replica is up", lambda: replica.info("master_link_status") == "up")
        if int(replica.client.call("DBSIZE")) != options.keys:
            raise RuntimeError("keys are missing at the replica")
    figures = {"online s": seconds, "most MiB": most / MIB, "of quiet": most / quiet}
    return figures | {f"GET {name}": quantile(latencies, share) for name, share in LINES.items()}


def keeps_up(program, options):
    cores = f"{options.core},{options.client_core}"
    with servers() as start:
        primary = start(program, options.port, cores, *ours(program, 4))
        replica = start(program, options.port + 1, cores, *ours(program, 4))
        replica.follow(primary)
        begun = time.monotonic()
        load(primary.port, options.commands, cores)
        ended = time.monotonic()
        lag = int(primary.info("master_repl_offset")) - int(replica.info("master_repl_offset"))
        wait("the replica has it all", lambda: at_same_offset(primary, replica))
        caught = time.monotonic() - ended
        cpu = [cpu_seconds(server.pid) * 1e6 / options.commands for server in (primary, replica)]
    return {
        "SETs /s": options.commands / (ended - begun), "MB behind": lag / 1e6, "for s": caught,
        "primary us": cpu[0], "replica us": cpu[1],
    }


def read_slowly(pipe, port):
    """A replica that reads so much a second; says how much it has read when it is asked."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(encode(["REPLCONF", "capa", "eof", "capa", "psync2"]) + encode(["PSYNC", "?", "-1"]))
    begun, read, told, offset = time.monotonic(), 0, 0.0, None
    while True:
        now = time.monotonic()
        if read < SLOW * (now - begun):
            part = sock.recv(64 * 1024)
            if not part:
                raise RuntimeError("the slow replica was cut off")
            read += len(part)
            if b"FULLRESYNC" in part:
                offset = int(part.split(b"FULLRESYNC", 1)[1].split()[1])
        else:
            time.sleep(0.005)
        if now - told > 0.5 and offset is not None:
            # The snapshot stands ahead of the stream. It is empty, and has no more bytes than that.
            sock.sendall(encode(["REPLCONF", "ACK", offset + max(read - 1_000, 0)]))
            told = now
        if pipe.poll():
            pipe.recv()
            pipe.send(read)


def slow_part(program, options):
    limit = ["--client-output-buffer-limit", "replica 64mb 0 0", "--repl-backlog-size", "1mb"]
    with servers() as start:
        settings = [*ours(program, 2), *limit, "--repl-slow-writers", "yes"]
        primary = start(program, options.port, options.core, *settings)
        reader = Child(read_slowly, primary.port)
        wait("the slow replica is online", lambda: "state=online" in primary.info("slave0"))
        stop, made = time.monotonic() + options.seconds, 0
        while time.monotonic() < stop:
            load(primary.port, 20_000, options.client_core, 1024)
            made += 20_000
        seconds = options.seconds + time.monotonic() - stop
        read = reader.ask()
        stays = "state=online" in primary.info("slave0")
        reader.end()
    return {"SETs /s": made / seconds, "MB read /s": read / 1e6 / seconds, "stays": stays}


def say(*cells):
    shown = [f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells]
    print("| " + " | ".join(shown) + " |", flush=True)


def compared(part, measure, named, options):
    """Medians of a part by server, and the last by the first."""
    rows = {name: [] for name, _ in named}
    for _ in range(options.rounds):
        for name, program in named:
            rows[name].append(measure(named[0][1], program, options))
    fields = list(rows[named[0][0]][0])
    say("part", "server", *fields)
    say(*["---"] * (len(fields) + 2))
    medians = {}
    for name, figures in rows.items():
        medians[name] = {field: statistics.median(row[field] for row in figures) for field in fields}
        say(part, name, *medians[name].values())
    first, last = medians[named[0][0]], medians[named[-1][0]]
    ratios = {field: last[field] / first[field] for field in fields}
    say(part, "ratio", *ratios.values())
    print()
    return last, ratios


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="+", metavar="NAME=PROGRAM")
    parser.add_argument("--keys", type=int, default=5_000_000)
    parser.add_argument("--commands", type=int, default=3_000_000)
    parser.add_argument("--probes", type=int, default=1_000, help="GETs a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="beside the slow replica")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=7930)
    parser.add_argument("--core", default="0", help="of the primary")
    parser.add_argument("--client-core", default="1", help="of all else")
    parser.add_argument("--only", help="parts, by comma")
    options = parser.parse_args()
    os.sched_setaffinity(0, {int(options.client_core)})
    named = [word.split("=") for word in options.servers]
    parts = options.only.split(",") if options.only else ["set", "sync", "keeps up", "slow"]
    broken = []
    try:
        if "set" in parts:
            _, ratios = compared("set", set_part, named, options)
            broken += ["CPU a SET with a replica"] if ratios["replica us"] > 0.9 else []
        if "sync" in parts:
            last, ratios = compared("sync", sync_part, named, options)
            broken += ["memory while a replica is synchronized"] if last["of quiet"] > 1.05 else []
            broken += ["p99.9 of GET meanwhile"] if ratios["GET p99.9"] > 0.5 else []
        for part, measure in ("keeps up", keeps_up), ("slow", slow_part):
            if part in parts:
                figures = measure(named[-1][1], options)
                say("part", *figures)
                say(*["---"] * (len(figures) + 1))
                say(part, *figures.values())
                print()
                broken += ["the slow replica"] if figures.get("stays") is False else []
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"failed: {error}")
    for line in broken:
        print(f"broken: {line}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
