#!/usr/bin/env python3
"""What a snapshot costs clients and memory, how long it takes, and how long a start from it.

    tests/measure/saving.py valkey=target/peers/valkey-server troupe=target/release/troupe

Each server is started in turn, on --core, with one shard where it has shards, and filled with --keys
keys of 16 bytes with values of 64 that cannot be compressed. One client overwrites the keys in a
scattered order, each once before any twice, in pipelines that are bounded: who does not keep up gets
fewer. Two more send --probes GETs and SETs a second. The parts:

    before         a tenth of the keys is overwritten a second, for --seconds
    save           the same, from BGSAVE until the file is written
    flood          all keys are overwritten as fast as the server takes it
    flood, slow    the same from BGSAVE on, to a disk that writes 20 MB a second, until all are
                   overwritten and the file is written

The floods are of servers that save without a fork: those have `snapshot-copies-max`.

Printed are by part how many keys were overwritten a second; of GET and of SET median, p99, p99.9 and
the longest, in milliseconds from when each was due, so that all that come due in a pause wait for its
rest; the most memory and by how much that is more than before the part, where a page that a server
shares with its child counts once; by how much more the server says it uses, which leaves out what its
allocator keeps ready; how long the file took, and how long a start from it, which is in the page cache
then, until PONG. Behind the rounds stand their medians, and the last server's by the
first one's. `slow_disk.py` tells by what the disk is slow.

What is promised: p99.9 during a save is at most half of the first server's; all keys are there after a
start; in a flood to the slow disk the server uses no more than the cap of copies, but for --room, and
p99 of GETs is at most twice that of a flood without a save: the disk's own work takes the same core. Ends with 1 where the last server does not keep
that, by the medians.
"""

import argparse
import contextlib
import gc
import math
import os
import random
import select
import statistics
import string
import subprocess
import sys
import tempfile
import time

from servers import Child, Client, encode, pid_of, pss_bytes, quantile
from slow_disk import slow_disk

MIB = 1 << 20
VALUE = 64
# Commands in one write, and connections that each have one such write on its way.
BLOCK, CONNECTIONS = 64, 4
SLOW = 20_000_000
# What a key takes in a file at most.
IN_FILE = 100
COPIES_FLOOR = 32 * MIB
# Seconds that a fill, a save, or a start may take.
PATIENCE = 600
# How a reply to GET and to SET looks, all of which have one length.
REPLIES = {"GET": len(f"${VALUE}\r\n") + VALUE + 2, "SET": len("+OK\r\n")}
FIGURES = ["SETs /s"]
FIGURES += [f"{word} {figure}" for word in REPLIES for figure in ("p50", "p99", "p99.9", "longest")]
FIGURES += ["most MiB", "MiB more", "used MiB more", "written s", "loaded s"]


def value(chance):
    return "".join(chance.choices(string.ascii_letters + string.digits, k=VALUE))


def key(number):
    return f"key:{number:012d}"


def blocks(keys):
    """SETs of all keys in a scattered order, a write at a time, round and round."""
    chance, place, step = random.Random(1), 0, int(keys * 0.618)
    while math.gcd(step, keys) > 1:
        step += 1
    block = b"".join(encode(["SET", key(0), value(chance)]) for _ in range(BLOCK))
    block = block.replace(key(0).encode(), b"key:%012d")
    while True:
        yield block % tuple((place + at * step) % keys for at in range(BLOCK))
        place = (place + BLOCK * step) % keys


def overwrite(pipe, port, keys, rate, count):
    """So many SETs a second, or as many as are taken. Says how many seconds it took when as many as
    `count` are made, or when asked how many were made in how many since the question before."""
    os.nice(10)
    waiting = dict.fromkeys([Client(port).socket for _ in range(CONNECTIONS)], 0)
    writes, interval = blocks(keys), BLOCK / rate if rate else 0.0
    made, start, due = 0, time.monotonic(), 0.0
    while True:
        # What could not be sent in time is not made up for: all at once it would be another load.
        due = max(due, time.monotonic() - interval)
        idle = [sock for sock, replies in waiting.items() if replies == 0]
        for sock in idle:
            if due > time.monotonic():
                break
            sock.sendall(next(writes))
            waiting[sock] = BLOCK * REPLIES["SET"]
            due += interval
        busy = [sock for sock, replies in waiting.items() if replies]
        rest = max(due - time.monotonic(), 0.0) if len(busy) < CONNECTIONS else 0.1
        for sock in select.select(busy, [], [], rest)[0]:
            waiting[sock] -= len(received(sock))
            made += BLOCK if waiting[sock] == 0 else 0
        if count and made >= count:
            pipe.send((made, time.monotonic() - start))
            return
        if pipe.poll():
            pipe.recv()
            pipe.send((made, time.monotonic() - start))
            made, start = 0, time.monotonic()


def received(sock):
    part = sock.recv(1 << 16)
    if not part or part.startswith(b"-"):
        raise RuntimeError(part.decode() or "the server closed the connection")
    return part


def probe(pipe, port, word, keys, rate):
    """So many GETs or SETs a second, each when it is due, whatever waits. Each question gets the
    latencies since the one before, in milliseconds."""
    gc.disable()
    sock, chance, arguments = Client(port).socket, random.Random(2), []
    if word == "SET":
        arguments.append(value(chance))
    latencies, waiting, sent, read, due = [], [], 0, 0, time.monotonic()
    while True:
        rest = due - time.monotonic()
        if rest <= 0:
            sock.sendall(encode([word, key(chance.randrange(keys)), *arguments]))
            waiting.append(due)
            due += 1 / rate
        elif select.select([sock], [], [], rest)[0]:
            read += len(received(sock))
            now, answered = time.monotonic(), read // REPLIES[word]
            latencies += [(now - each) * 1000 for each in waiting[:answered]]
            del waiting[:answered]
            read %= REPLIES[word]
        if pipe.poll():
            pipe.recv()
            pipe.send(latencies)
            latencies = []


def watch(pipe, pid):
    """Each question gets the most memory since the one before, in bytes."""
    os.nice(10)
    most = 0
    while True:
        most = max(most, pss_bytes(pid))
        if pipe.poll(0.1):
            pipe.recv()
            pipe.send(most)
            most = 0


class Server:
    """A server of ours or a peer, and the folder and file that it saves to."""

    def __init__(self, name, program, options, folder="/tmp", under=()):
        self.name, self.options, self.children, self.process = name, options, [], None
        self.command = ["taskset", "-c", str(options.core), *under, program]
        self.command += ["--port", str(options.port), "--bind", "127.0.0.1", "--save", ""]
        # The server may live in a root of its own.
        self.command += ["--dir", folder, "--dbfilename", f"saving-{os.getpid()}.rdb"]
        self.file = f"{folder}/saving-{os.getpid()}.rdb"

    def start(self):
        """Starts it. Returns how many seconds that took, with all that is in its file."""
        start, log = time.monotonic(), tempfile.TemporaryFile()
        ours = {**os.environ, "TROUPE_SHARDS": "1"}
        self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=ours)
        while True:
            with contextlib.suppress(OSError, RuntimeError):
                self.client = Client(self.options.port)
                if self.client.call("PING") == b"PONG":
                    break
            if self.process.poll() is not None or time.monotonic() > start + PATIENCE:
                log.seek(0)
                raise RuntimeError(f"does not start: {log.read().decode()[-1000:]}")
            time.sleep(0.005)
        seconds = time.monotonic() - start
        self.pid = pid_of(self.options.port)
        return seconds

    def stop(self):
        for child in self.children:
            child.end()
        self.children.clear()
        with contextlib.suppress(OSError, RuntimeError):
            self.client.call("SHUTDOWN", "NOSAVE")
        self.process.wait(PATIENCE)

    def child(self, function, *arguments):
        child = Child(function, *arguments)
        self.children.append(child)
        return child

    def fill(self):
        """Fills it, and begins to look."""
        options, keys = self.options, self.options.keys
        self.child(overwrite, options.port, keys, 0, keys).hear(PATIENCE)
        self.probes = [self.child(probe, options.port, word, keys, options.probes) for word in REPLIES]
        self.watch = self.child(watch, self.pid)

    def overwrite(self, rate, count=None):
        return self.child(overwrite, self.options.port, self.options.keys, rate, count)

    def is_saving(self):
        info = self.client.call("INFO", "persistence")
        if b"rdb_bgsave_in_progress:1" not in info and b"rdb_last_bgsave_status:ok" not in info:
            raise RuntimeError("the save failed")
        return b"rdb_bgsave_in_progress:1" in info

    def used(self):
        """What the server says it uses, in bytes."""
        lines = self.client.call("INFO", "memory").split()
        return int(next(line for line in lines if line.startswith(b"used_memory:")).split(b":")[1])

    def save(self):
        """Saves. Returns how many seconds that took, and how much more was used meanwhile."""
        start, before = time.monotonic(), self.used()
        most = before
        self.client.call("BGSAVE")
        while self.is_saving():
            most = max(most, self.used())
            time.sleep(0.02)
        return {"written s": time.monotonic() - start, "used MiB more": (most - before) / MIB}

    def part(self, act):
        """The figures of what goes on while `act` does its part; it returns how many keys were overwritten
        in how many seconds, and more figures."""
        for child in [*self.probes, self.watch]:
            child.ask()
        before = pss_bytes(self.pid)
        (made, seconds), more = act()
        figures = {"SETs /s": made / seconds, **more}
        for word, child in zip(REPLIES, self.probes):
            latencies = sorted(child.ask())
            for name, share in ("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1):
                figures[f"{word} {name}"] = quantile(latencies, share)
        most = self.watch.ask()
        return figures | {"most MiB": most / MIB, "MiB more": (most - before) / MIB}


@contextlib.contextmanager
def serving(*arguments):
    """A server that is filled; it goes with its file."""
    server = Server(*arguments)
    server.start()
    try:
        server.fill()
        yield server
    finally:
        with contextlib.suppress(OSError):
            os.remove(f"/proc/{server.pid}/root{server.file}")
        server.stop()


def steadily(server):
    """A tenth of the keys a second: without a save, and with one. Then a start from its file."""
    options = server.options
    load = server.overwrite(options.keys / 10)

    def before():
        load.ask()
        time.sleep(options.seconds)
        return load.ask(), {}

    def save():
        load.ask()
        saved = server.save()
        return load.ask(), saved

    time.sleep(1)
    yield "before", server.part(before)
    figures = server.part(save)
    server.stop()
    figures["loaded s"] = server.start()
    if int(server.client.call("DBSIZE")) != options.keys:
        raise RuntimeError("keys are missing after the start")
    yield "save", figures


def floods(server):
    """All keys as fast as they are taken: without a save, and with one."""

    def flood():
        return server.overwrite(0, server.options.keys).hear(PATIENCE), {}

    def slow():
        load = server.overwrite(0, server.options.keys)
        saved = server.save()
        return load.hear(PATIENCE), saved

    yield "flood", server.part(flood)
    yield "flood, slow", server.part(slow)


def cap(server):
    """What copies may take, in MiB, by what is used now."""
    share = int(server.client.call("CONFIG", "GET", "snapshot-copies-max")[1])
    return max(server.used() * share // 100, COPIES_FLOOR) / MIB


class Report:
    """The rows, and their medians."""

    def __init__(self):
        self.rows = {}
        heads = ["round", "server", "part", *FIGURES]
        print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))

    def add(self, turn, name, part, figures):
        self.rows.setdefault((name, part), []).append(figures)
        self.row(turn, name, part, figures)

    def row(self, turn, name, part, figures):
        cells = [turn, name, part]
        for figure in FIGURES:
            cells.append(f"{figures[figure]:.{0 if figures[figure] >= 1_000 else 2}f}" if figure in figures else "")
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)

    def median(self, name, part):
        rows = self.rows.get((name, part), [{}])
        return {figure: statistics.median(row[figure] for row in rows) for figure in rows[0]}

    def end(self, first, last, cap, room):
        """Prints the medians. Returns what the last server does not keep."""
        for name, part in self.rows:
            self.row("median", name, part, self.median(name, part))
        theirs, ours = self.median(first, "save"), self.median(last, "save")
        ratios = {figure: ours[figure] / theirs[figure] for figure in ours}
        self.row("ratio", f"{last} / {first}", "save", ratios)
        for word in REPLIES:
            if first != last and ratios[f"{word} p99.9"] > 0.5:
                yield f"p99.9 of {word} during a save is {ratios[f'{word} p99.9']:.2f} of {first}'s"
        flood, slow = self.median(last, "flood"), self.median(last, "flood, slow")
        if slow and slow["used MiB more"] > cap + room:
            yield f"{slow['used MiB more']:.0f} MiB more on a slow disk, copies may take {cap:.0f}"
        if slow and slow["GET p99"] > flood["GET p99"] * 2:
            yield f"p99 of GET on a slow disk is {slow['GET p99']:.2f} ms, else {flood['GET p99']:.2f}"


def rounds(servers, report, options):
    """Adds all rows. Returns the cap of copies of the last server that has one, in MiB."""
    most = 0.0
    for turn in range(1, options.rounds + 1):
        for name, program in servers:
            with serving(name, program, options) as server:
                has_cap = bool(server.client.call("CONFIG", "GET", "snapshot-copies-max"))
                for part, figures in steadily(server):
                    report.add(turn, name, part, figures)
            if not has_cap:
                continue
            size = options.keys * IN_FILE * 2 + 256 * MIB
            with slow_disk(SLOW, size) as (folder, under, how):
                with serving(name, program, options, folder, under) as server:
                    most = cap(server)
                    for part, figures in floods(server):
                        report.add(turn, name, part, figures)
            if turn == 1:
                print(f"The disk is slow by {how}; copies may take {most:.0f} MiB.")
    return most


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="+", metavar="NAME=PROGRAM")
    parser.add_argument("--keys", type=int, default=5_000_000)
    parser.add_argument("--probes", type=int, default=1_000, help="GETs and as many SETs a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="without a save")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--room", type=float, default=16.0, help="MiB beside the copies")
    parser.add_argument("--port", type=int, default=7909)
    parser.add_argument("--core", type=int, default=0, help="of the server")
    parser.add_argument("--client-core", type=int, default=1, help="of all clients")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.client_core})
    servers = [word.split("=") for word in options.servers]
    report = Report()
    try:
        most = rounds(servers, report, options)
    except (RuntimeError, OSError) as error:
        sys.exit(f"failed: {error}")
    broken = list(report.end(servers[0][0], servers[-1][0], most, options.room))
    for line in broken:
        print(f"broken: {line}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
