#!/usr/bin/env python3
"""How long a shard holds its thread when large values come to an end.

usage: pauses.py PORT [--elements 2000000] [--only WORD]

PORT is a disposable server with one shard (and `--enable-debug-command yes` for no more than the
pace). Each line is one thing that is done to a collection of so many elements: the time of the
command itself, the longest slice of the shard from its start until all is dropped (CPU time, from
INFO actors), what of that slice was not the command's own, and the longest that a second client
waited for the answer to a GET meanwhile. All in milliseconds."""

import argparse
import re
import threading
import time

from servers import Client

A_COMMAND = 500


class Probe(threading.Thread):
    """A second client that asks for one key over and over."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.client = Client(port)
        self.longest = 0.0
        self.stops = False

    def run(self):
        while not self.stops:
            start = time.monotonic()
            self.client.call("GET", "probe")
            self.longest = max(self.longest, time.monotonic() - start)
            time.sleep(0.0005)


def info(client, section):
    return client.call("INFO", section).decode()


def settle(client):
    """Waits until all that was discarded is dropped."""
    while "lazyfree_pending_objects:0\r" not in info(client, "memory"):
        time.sleep(0.05)


def fill(client, kind, key, elements, offset=0):
    def words(start):
        numbers = range(offset + start, offset + min(elements, start + A_COMMAND))
        if kind == "set":
            return ["SADD", key] + [f"member:{n:010}" for n in numbers]
        if kind == "hash":
            return ["HSET", key] + [w for n in numbers for w in (f"field:{n:010}", "value")]
        if kind == "zset":
            return ["ZADD", key] + [w for n in numbers for w in (n, f"member:{n:010}")]
        return ["RPUSH", key] + [f"item:{n:010}" for n in numbers]

    if kind == "stream":
        client.pipeline(["XADD", key, f"1-{n + 1}", "field", "value"] for n in range(elements))
    elif kind == "strings":
        client.pipeline(["SET", f"{key}{n}", "value"] for n in range(elements))
    else:
        client.pipeline((words(start) for start in range(0, elements, A_COMMAND)), depth=16)


def deadlines(client, command, words, key, elements, name, at):
    for start in range(0, elements, A_COMMAND):
        numbers = range(start, min(elements, start + A_COMMAND))
        client.call(command, key, at, words, len(numbers), *[f"{name}:{n:010}" for n in numbers])


class Trial:
    def __init__(self, port, elements):
        self.port, self.elements = port, elements
        self.client = Client(port)
        self.client.call("SET", "probe", "x")

    def run(self, title, *command, until=None):
        settle(self.client)
        self.client.call("CONFIG", "RESETSTAT")
        probe = Probe(self.port)
        probe.start()
        time.sleep(0.05)
        if command:
            self.client.call(*command)
        while until and not until():
            time.sleep(0.01)
        settle(self.client)
        probe.stops = True
        probe.join()
        name = command[0].lower() if command else ""
        own = re.search(rf"cmdstat_{name}:calls=1,usec=(\d+)", info(self.client, "commandstats"))
        own = int(own[1]) / 1000 if own else 0.0
        slices = re.findall(r"longest_slice_us=(\d+)", info(self.client, "actors"))
        longest = max(int(slice) for slice in slices) / 1000
        print(f"{title:34} {own:9.1f} {longest:9.1f} {longest - own:9.1f} {probe.longest * 1000:9.1f}",
              flush=True)


def trials(trial):
    client, elements = trial.client, trial.elements
    nothing = lambda: None
    for kind in ("set", "hash", "zset", "list", "stream"):
        def filled():
            client.call("DEL", "big")
            fill(client, kind, "big", elements)

        for command in (["DEL", "big"], ["UNLINK", "big"], ["SET", "big", "x"], ["FLUSHALL"]):
            yield f"{kind}: {command[0]}", filled, command, None
        yield f"{kind}: expires", lambda: (filled(), client.call("PEXPIRE", "big", 300)), [], \
            lambda: client.call("DBSIZE") == b"1"
        yield f"{kind}: COPY", filled, ["COPY", "big", "other"], None
        yield f"{kind}: COPY over", nothing, ["COPY", "big", "other", "REPLACE"], None
        yield f"{kind}: RENAME over", nothing, ["RENAME", "other", "big"], None
    two = lambda kind: lambda: (client.call("FLUSHALL"), fill(client, kind, "a", elements),
                                fill(client, kind, "b", elements, elements // 2))
    yield "SUNIONSTORE new", two("set"), ["SUNIONSTORE", "t", "a", "b"], None
    yield "SUNIONSTORE over", nothing, ["SUNIONSTORE", "t", "a", "b"], None
    yield "SINTERSTORE over", nothing, ["SINTERSTORE", "t", "a", "b"], None
    yield "SDIFFSTORE over", nothing, ["SDIFFSTORE", "t", "a", "b"], None
    yield "SDIFFSTORE empty", nothing, ["SDIFFSTORE", "t", "a", "a", "b"], None
    yield "SPOP nearly all", nothing, ["SPOP", "a", elements - 1], None
    yield "ZUNIONSTORE new", two("zset"), ["ZUNIONSTORE", "t", 2, "a", "b"], None
    yield "ZUNIONSTORE over", nothing, ["ZUNIONSTORE", "t", 2, "a", "b"], None
    yield "ZDIFFSTORE over", nothing, ["ZDIFFSTORE", "t", 2, "a", "b"], None
    yield "ZINTERCARD", nothing, ["ZINTERCARD", 2, "a", "b"], None
    yield "ZREMRANGEBYRANK half", nothing, ["ZREMRANGEBYRANK", "a", 0, elements // 2], None
    yield "ZREMRANGEBYSCORE all", nothing, ["ZREMRANGEBYSCORE", "a", "-inf", "+inf"], None
    yield "LTRIM to one", two("list"), ["LTRIM", "a", 0, 0], None
    yield "LPOP all", nothing, ["LPOP", "b", elements], None
    yield "XTRIM to one", two("stream"), ["XTRIM", "a", "MAXLEN", 1], None
    yield "FLUSHALL of strings", lambda: fill(client, "strings", "key:", elements), ["FLUSHALL"], None
    for kind, command, words, name in (("hash", "HPEXPIREAT", "FIELDS", "field"),
                                       ("set", "SPEXPIREAT", "MEMBERS", "member"),
                                       ("zset", "ZPEXPIREAT", "MEMBERS", "member")):
        def timed():
            client.call("FLUSHALL")
            client.call("SET", "probe", "x")
            fill(client, kind, "big", elements)
            at = int(time.time() * 1000) + 1000 * (4 + elements // 50_000)
            deadlines(client, command, words, "big", elements, name, at)
            time.sleep(max(0, at / 1000 - time.time() - 0.2))

        length = {"hash": "HLEN", "set": "SCARD", "zset": "ZCARD"}[kind]
        yield f"{kind}: elements expire, {length}", timed, [], lambda: client.call(length, "big") == b"0"
        yield f"{kind}: elements expire", timed, [], lambda: client.call("DBSIZE") == b"1"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--elements", type=int, default=2_000_000)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    trial = Trial(args.port, args.elements)
    print(f"{'':34} {'command':>9} {'slice':>9} {'beyond':>9} {'waited':>9}")
    for title, prepare, command, until in trials(trial):
        if args.only in title:
            trial.client.call("SET", "probe", "x")
            prepare()
            trial.run(title, *command, until=until)


if __name__ == "__main__":
    main()
