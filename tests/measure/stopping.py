#!/usr/bin/env python3
"""How soon scripts that mean harm are stopped, and what others feel meanwhile.

    taskset -c 0 target/release/troupe --port 7002 --shards 1 --save ''
    tests/measure/stopping.py one=7002

Each of src/script/lua/tests/endless.txt writes a key and then never ends. It is run twice: once it is
stopped by SCRIPT KILL, once by `script-max-run-ms`. Printed are, in milliseconds, how long after SCRIPT
KILL, and after the limit, its client has its error, and the p99 and the longest of GET and of SET of
other keys from its start to its end, from two clients that pause half a millisecond between two calls.
While it runs to its limit, DBSIZE, FLUSHALL and BGSAVE are sent: none may be answered before its end, but for
BGSAVE, whose snapshot may not be there before, and all have to succeed then. Each of bombs.txt fails by itself,
at some bound: how long it took, and the same of the others. At last one script roams and loops, and another
roams over other keys: the p99 of the latter.

The status says whether all promises were kept: stopped within 100 ms, p99 under 5 ms. The servers are disposable;
what is measured comes from other cores.
"""

import argparse
import os
import pathlib
import random
import sys
import time

from servers import Child, Client, encode, quantile, setting

SCRIPTS = pathlib.Path(__file__).parents[2] / "src/script/lua/tests"
WRITES = "redis.call('SET', KEYS[1], 'x') "

STOPPED_MS_MAX = 100
P99_MS_MAX = 5

# Milliseconds until SCRIPT KILL, and for `script-max-run-ms`.
RUN_MS = 400
# Milliseconds after which the visitors of the whole shard come.
VISIT_MS = 100

# How many calls a client makes beside a script that roams.
ROAMING_CALLS = 1_000


def probe(pipe, port, command):
    """A client of other keys: from one word of its pipe to the next it measures, and sends what it has."""
    client, rng = Client(port), random.Random(1)
    while True:
        pipe.recv()
        took = []
        while not pipe.poll():
            words = [command, f"other:{rng.randrange(1_000)}", "x"]
            start = time.perf_counter()
            client.call(*(words if command == "SET" else words[:2]))
            took.append((time.perf_counter() - start) * 1000)
            time.sleep(0.0005)
        pipe.recv()
        pipe.send(took)


class Run:
    """A script that runs, on a connection of its own, and what others feel until its end."""

    def __init__(self, trial, script):
        self.trial = trial
        for probe in trial.probes.values():
            probe.pipe.send("start")
        self.client, self.start = Client(trial.port), time.perf_counter()
        self.client.socket.sendall(encode(["EVAL", WRITES + script, 1, "hostile"]))

    def sleep_until(self, ms):
        time.sleep(max(0, self.start + ms / 1000 - time.perf_counter()))

    def end(self):
        """When it ended, in milliseconds from its start, and with which error."""
        try:
            said = self.client.read()
        except RuntimeError as error:
            said = error
        ended = (time.perf_counter() - self.start) * 1000
        for name, probe in self.trial.probes.items():
            self.trial.felt[name] += probe.ask("end")
        self.client.close()
        return ended, str(said)


def visit(pipe, port):
    """A client whose commands need a whole shard: what is sent, and when it is answered with what."""
    client = Client(port)
    while True:
        words = pipe.recv()
        try:
            said = client.call(*words)
        except RuntimeError as error:
            said = error
        pipe.send((time.perf_counter(), str(said)))


class Trial:
    """One server."""

    def __init__(self, name, port):
        self.name, self.port, self.client = name, port, Client(port)
        self.probes = {name: Child(probe, port, name) for name in ("GET", "SET")}
        self.visitors = {
            name: Child(visit, port) for name in (("DBSIZE",), ("FLUSHALL",), ("BGSAVE",))
        }
        self.broken = []
        self.felt = {}

    def close(self):
        for child in (*self.probes.values(), *self.visitors.values()):
            child.end()
        self.client.close()

    def expect(self, is_kept, what):
        if not is_kept:
            self.broken.append(what)
            print(f"BROKEN: {what}", flush=True)

    def info(self, field):
        text = self.client.call("INFO", "persistence").decode()
        return next(line for line in text.splitlines() if line.startswith(f"{field}:")).split(":")[1]

    def killed(self, script):
        """Milliseconds from SCRIPT KILL to the end."""
        with setting(self.port, "busy-reply-threshold", 50):
            run = Run(self, script)
            run.sleep_until(RUN_MS)
            killed = time.perf_counter()
            self.client.call("SCRIPT", "KILL")
            ended, said = run.end()
        self.expect("killed" in said, f"{script}: {said}")
        return ended - (killed - run.start) * 1000

    def limited(self, script):
        """Milliseconds from the limit to the end; visitors wait meanwhile."""
        with setting(self.port, "script-max-run-ms", RUN_MS):
            run = Run(self, script)
            run.sleep_until(VISIT_MS)
            for words, visitor in self.visitors.items():
                visitor.pipe.send(words)
            ended, said = run.end()
        self.expect("script-max-run-ms" in said, f"{script}: {said}")
        for (name,), visitor in self.visitors.items():
            answered, said = visitor.hear()
            # Their clients are told by another thread than this one's.
            waited = (answered - run.start) * 1000 > RUN_MS
            self.expect(name == "BGSAVE" or waited, f"{script}: {name} did not wait")
            self.expect("BUSY" not in said and "ERR" not in said, f"{script}: {name}: {said}")
        while self.info("rdb_bgsave_in_progress") != "0":
            time.sleep(0.005)
        self.expect(self.info("rdb_last_bgsave_status") == "ok", f"{script}: no snapshot")
        return ended - RUN_MS

    def fails(self, script):
        """Milliseconds until a script fails by itself."""
        ended, said = Run(self, script).end()
        self.expect(said.startswith(("ERR", "user_script")), f"{script}: {said}")
        return ended

    def line(self, script, *times):
        """Prints what one script did. The probes begin anew."""
        columns = [f"{each:.1f}" for each in times]
        for name, took in self.felt.items():
            took.sort()
            p99 = quantile(took, 0.99)
            columns.append(f"{p99:.2f}, {took[-1]:.1f}")
            # Of a script that fails at once there is little to tell.
            is_enough = len(took) >= 100
            self.expect(not is_enough or p99 < P99_MS_MAX, f"{script}: {name} p99 {p99:.1f} ms")
        shown = script.replace("|", "\\|")
        print(f"| `{shown[:100]}` | " + " | ".join(columns) + " |", flush=True)

    def measure(self, only):
        lines = lambda name: (SCRIPTS / name).read_text().splitlines()
        print(f"\n{self.name}\n\n| script | killed | limited | GET p99, longest | SET p99, longest |")
        print("| --- | --- | --- | --- | --- |")
        for script in filter(lambda line: only in line, lines("endless.txt")):
            self.felt = {"GET": [], "SET": []}
            killed, limited = self.killed(script), self.limited(script)
            self.line(script, killed, limited)
            for what, took in (("SCRIPT KILL", killed), ("its limit", limited)):
                self.expect(took <= STOPPED_MS_MAX, f"{script}: {took:.0f} ms after {what}")
        print("\n| script | failed | GET p99, longest | SET p99, longest |\n| --- | --- | --- | --- |")
        for line in filter(lambda line: only in line, lines("bombs.txt")):
            script = line.split("\t")[1]
            self.felt = {"GET": [], "SET": []}
            self.line(script, self.fails(script))

    def roam(self):
        """Two scripts that roam, without a common slot: one loops, the other's latency."""
        took = []
        with setting(self.port, "busy-reply-threshold", 1):
            looping = Client(self.port)
            loop = "redis.call('INCR', 'looping:' .. 'key') while true do end"
            looping.socket.sendall(encode(["EVAL", loop, 0]))
            client = Client(self.port)
            for number in range(ROAMING_CALLS):
                script = "return redis.call('INCR', 'roaming:' .. ARGV[1])"
                start = time.perf_counter()
                client.call("EVAL", script, 0, number % 100)
                took.append((time.perf_counter() - start) * 1000)
            self.client.call("SCRIPT", "KILL")
            client.close()
        took.sort()
        p50, p99 = quantile(took, 0.5), quantile(took, 0.99)
        print(f"\n{self.name}, beside one that loops: p50 {p50:.2f} ms, p99 {p99:.2f}, "
              f"longest {took[-1]:.1f}", flush=True)
        self.expect(p99 < P99_MS_MAX, f"a script beside one that loops: p99 {p99:.1f} ms")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="+", help="NAME=PORT")
    parser.add_argument("--only", default="", help="scripts that have this text")
    parser.add_argument("--client-core", type=int, default=1, help="where the clients are")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.client_core})
    broken = 0
    for name, port in (each.split("=") for each in options.servers):
        trial = Trial(name, int(port))
        trial.measure(options.only)
        trial.roam()
        trial.close()
        broken += len(trial.broken)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
