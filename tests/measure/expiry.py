#!/usr/bin/env python3
"""How late keys expire: from a key's deadline to its DEL in the journal, under load.

usage: expiry.py PORT INCREMENT [--keys 1000000] [--probes 2000] [--seconds 20]

PORT is a disposable server with `appendonly yes`; INCREMENT is its newest increment file. The server
is filled with keys whose deadlines are far away; then probe keys with deadlines spread over the run
are set, while redis-benchmark loads the server, and the increment is followed for their DELs. What
is printed is the lag in milliseconds: median, p99, maximum. The follower looks each millisecond, so
up to about that is its own."""
import argparse, os, random, re, socket, subprocess, time


def encode(*words):
    out = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(out)


def pipeline(connection, reader, commands, depth=512):
    for start in range(0, len(commands), depth):
        part = commands[start : start + depth]
        connection.sendall(b"".join(part))
        for _ in part:
            line = reader.readline()
            assert line.startswith(b"+"), line


def follow(path, deadlines, until):
    """Lags of the probes whose DEL is seen in the file, in milliseconds."""
    pattern, lags, rest = re.compile(rb"\$3\r\nDEL\r\n\$\d+\r\n(probe:\d+)\r\n"), {}, b""
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        while time.time() < until and len(lags) < len(deadlines):
            rest += file.read()
            seen = time.time() * 1000
            end = 0
            for found in pattern.finditer(rest):
                lags.setdefault(found[1], seen - deadlines[found[1]])
                end = found.end()
            rest = rest[end:][-(1 << 16) :] if end else rest[-(1 << 16) :]
            time.sleep(0.001)
    return sorted(lags.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("increment")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--probes", type=int, default=2_000)
    parser.add_argument("--seconds", type=int, default=20)
    args = parser.parse_args()
    connection = socket.create_connection(("127.0.0.1", args.port))
    reader = connection.makefile("rb")
    far = 10_000_000
    pipeline(connection, reader, [encode("SET", f"key:{i:012d}", "x" * 16, "EX", far + i % 9973) for i in range(args.keys)])
    load = subprocess.Popen(
        ["redis-benchmark", "-p", str(args.port), "-c", "20", "-P", "4", "-r", str(args.keys), "-n", "100000000", "-q",
         "GET", "key:__rand_int__"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        start = time.time() * 1000 + 1500
        deadlines = {b"probe:%d" % i: int(start + random.random() * args.seconds * 1000) for i in range(args.probes)}
        pipeline(connection, reader, [encode("SET", name, "v", "PXAT", at) for name, at in deadlines.items()])
        lags = follow(args.increment, deadlines, time.time() + args.seconds + 5)
    finally:
        load.kill()
        load.wait()
    assert lags, "no DEL was seen"
    at = lambda share: lags[min(len(lags) - 1, int(len(lags) * share))]
    print(f"{len(lags)} of {args.probes} probes; lag in ms: median {at(0.5):.1f}, p99 {at(0.99):.1f}, max {lags[-1]:.1f}")


main()
