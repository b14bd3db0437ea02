#!/usr/bin/env python3
"""How often a cache has what it is asked for, by policy, trace and server.

    tests/peers.sh install
    cargo build --release
    tests/measure/hit_rate.py valkey=target/peers/valkey-server one='target/release/troupe --shards 1' \\
        four='target/release/troupe --shards 4'

Each server is a name and the program that it is, with options. It is started for each run on --port, with
--maxmemory and the policy of the run, and ended behind it; one runs at a time. In each run --clients
processes ask for keys as a cache is asked: STRLEN of a key, which counts as a use of it, and where there is
none a SET of it. There are as many keys as make --times maxmemory of values of 64 bytes to 4 KiB, spread
evenly over their logarithms; a value has always the same length. With volatile policies every key has a
deadline of 1 to 24 hours.

The traces follow from --seed alone and are the same for all servers and policies:

    0.7, 0.99      keys by the law of Zipf with this exponent
    scans          0.99, and after each 20,000 requests 5,000 keys one after the other, all keys in turn

Printed are by trace and policy: the hit rate of each server over all requests but the first fifth; its
difference to the first server, in points; and the most resident memory by maxmemory. A policy that a
server does not know is compared by its nearest of the same server (lru for lrm) where that is the first
one, and else left out.
"""

import argparse
import array
import itertools
import multiprocessing
import os
import random
import shlex
import shutil
import socket
import subprocess
import tempfile
import time

from servers import Client, encode, rss_bytes

POLICIES = ["lru", "lfu", "lrm", "random"]
TRACES = ["0.7", "0.99", "scans"]
# Requests of one pipeline.
DEPTH = 500
# The first part of the requests, while the cache fills.
WARM = 5
LEAST, MOST = 64, 4096
SCAN_EVERY, SCAN = 20_000, 5_000
# Of the lengths above, their mean.
MEAN = (MOST - LEAST) / 4.1589


def length_of(key):
    """The length of a key's value: spread evenly over the logarithms."""
    return int(LEAST * (MOST / LEAST) ** (key * 2654435761 % 4294967296 / 4294967296))


def trace(kind, keys, requests, seed, client, clients):
    """The keys that one of the clients asks for."""
    rng = random.Random(f"{seed} {kind} {client}")
    exponent = 0.99 if kind == "scans" else float(kind)
    weights = list(itertools.accumulate((rank + 1) ** -exponent for rank in range(keys)))
    # What is asked for often lies anywhere in the order of the scans.
    places = array.array("I", range(keys))
    random.Random(f"{seed} {kind}").shuffle(places)
    asked, scanned = array.array("I"), client * (keys // clients)
    while len(asked) < requests:
        ranks = rng.choices(range(keys), cum_weights=weights, k=min(SCAN_EVERY, requests - len(asked)))
        asked.extend(map(places.__getitem__, ranks))
        if kind == "scans":
            asked.extend((scanned + number) % keys for number in range(SCAN))
            scanned += SCAN
    return asked[:requests]


def ask(connection, words):
    """Sends encoded commands; their replies, each of one line."""
    connection.sendall(b"".join(words))
    replies = b""
    while replies.count(b"\r\n") < len(words):
        some = connection.recv(1 << 20)
        if not some:
            raise RuntimeError("the server closed the connection")
        replies += some
    return replies.split(b"\r\n")[:-1]


def run_client(pipe, options, kind, keys, number):
    """One of the clients: makes its trace, then runs it as often as it is told to."""
    requests = options.requests // options.clients
    asked = trace(kind, keys, requests, options.seed, number, options.clients)
    text = random.Random(options.seed).randbytes(MOST)
    while True:
        timed = pipe.recv()
        rng = random.Random(f"{options.seed} deadlines")
        connection = socket.create_connection(("127.0.0.1", options.port))
        hits = counted = refused = 0
        for start in range(0, requests, DEPTH):
            some = asked[start : start + DEPTH]
            replies = ask(connection, [b"*2\r\n$6\r\nSTRLEN\r\n$9\r\n%09d\r\n" % key for key in some])
            absent = [key for key, reply in zip(some, replies) if reply == b":0"]
            if start >= requests // WARM:
                hits += len(some) - len(absent)
                counted += len(some)
            if absent:
                commands = []
                for key in dict.fromkeys(absent):
                    words = ["SET", b"%09d" % key, text[: length_of(key)]]
                    commands.append(encode(words + (["EX", rng.randint(3600, 86400)] if timed else [])))
                refused += sum(reply != b"+OK" for reply in ask(connection, commands))
        connection.close()
        pipe.send((hits, counted, refused))


def start(options, program, policy):
    """A server with a policy; none where it does not know that."""
    folder = tempfile.mkdtemp()
    program, *own = shlex.split(program)
    words = [os.path.abspath(program), *own, "--port", str(options.port), "--save", "", "--appendonly", "no"]
    log = open(os.path.join(folder, "log"), "w")
    # Not as an option: the peer's `chroot` may not see the folder.
    server = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
    for _ in range(200):
        try:
            client = Client(options.port)
            break
        except OSError:
            time.sleep(0.05)
    else:
        raise RuntimeError(f"{program} does not start: {folder}")
    try:
        client.call("CONFIG", "SET", "maxmemory-policy", policy)
    except RuntimeError:
        end(server, folder)
        return None
    client.call("CONFIG", "SET", "maxmemory", options.maxmemory << 20)
    return server, folder


def end(server, folder):
    server.terminate()
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)


def measure(options, program, policy, pipes):
    """Hit rate and most resident memory by maxmemory of one run; none where the policy is not known."""
    started = start(options, program, policy)
    if started is None:
        return None
    server, folder = started
    for pipe in pipes:
        pipe.send(policy.startswith("volatile"))
    most, waiting, results = 0, list(pipes), []
    while waiting:
        most = max(most, rss_bytes(server.pid))
        for pipe in [pipe for pipe in waiting if pipe.poll(0.02)]:
            results.append(pipe.recv())
            waiting.remove(pipe)
    end(server, folder)
    hits, counted, refused = map(sum, zip(*results))
    return hits / counted, most / (options.maxmemory << 20), refused


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="+", metavar="name=program")
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--maxmemory", type=int, default=256, help="MiB")
    parser.add_argument("--times", type=float, default=10)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--port", type=int, default=7690)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--traces", default=",".join(TRACES))
    parser.add_argument("--policies", default=",".join([f"{kind}-{by}" for kind in ("allkeys", "volatile") for by in POLICIES] + ["volatile-ttl"]))
    options = parser.parse_args()
    servers = dict(server.split("=", 1) for server in options.servers)
    keys = int((options.maxmemory << 20) * options.times / MEAN)
    first = next(iter(servers))
    print(f"{keys} keys, {options.requests} requests, maxmemory {options.maxmemory} MiB, seed {options.seed}")
    print("| trace | policy | " + " | ".join(f"{name} | points | RSS" for name in servers) + " |")
    print("|" + " --- |" * (2 + 3 * len(servers)), flush=True)
    for kind in options.traces.split(","):
        ends = [multiprocessing.Pipe() for _ in range(options.clients)]
        clients = [
            multiprocessing.Process(target=run_client, args=(theirs, options, kind, keys, number), daemon=True)
            for number, (_, theirs) in enumerate(ends)
        ]
        for client in clients:
            client.start()
        pipes = [ours for ours, _ in ends]
        rates = {}
        for policy in options.policies.split(","):
            row = []
            for name, program in servers.items():
                result = measure(options, program, policy, pipes)
                if result is None:
                    row += ["", "", ""]
                    continue
                rate, resident, refused = result
                rates[name, policy] = rate
                nearest = rates.get((first, policy), rates.get((first, policy.replace("lrm", "lru"))))
                points = "" if nearest is None or name == first else f"{100 * (rate - nearest):+.2f}"
                shown = f"{100 * rate:.2f}" + (f" ({refused} refused)" if refused else "")
                row += [shown, points, f"{resident:.3f}"]
            print(f"| {kind} | {policy} | " + " | ".join(row) + " |", flush=True)
        for client in clients:
            client.terminate()
            client.join()


if __name__ == "__main__":
    main()
