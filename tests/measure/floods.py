#!/usr/bin/env python3
"""Floods of messages: memory, and the latency of others, while subscribers stop reading, are thousands,
or get large messages.

    tests/peers.sh start valkey 7001                    # prints its process id
    taskset -pca 0 PID                                  # all of its threads on core 0
    taskset -c 0 target/release/troupe --port 7002 --shards 1 --save ''
    tests/measure/floods.py valkey=7001 troupe=7002

The servers must be disposable and fresh: FLUSHALL is sent, `maxclients` may be raised, and memory is
compared with what a server had at the beginning. This program needs as many descriptors as there are
subscribers. All the while one client sends --rate GETs and SETs a second, one at a time. The
parts:

    baseline       nothing else happens
    subscribers    --subscribers of one channel that all read, 20 messages a second
    channel        PUBLISH as fast as one client can, to a subscriber that stops reading and one that reads
    tracking       SETs, and the same two with CLIENT TRACKING ON BCAST in version 3 of the protocol
    redirect       the same, but who stops reading subscribes to __redis__:invalidate, and another client
                   tracks for it
    large, 1       ten messages of 64 MiB to one subscriber, without a limit
    large, 3       the same to three
    large, slow    the same to three and one that does not read, which may have 256 MiB
    large, cut     the same to four whose limit of 32 MiB is less than a message

`client-output-buffer-limit` is 32mb 8mb 60 where small things are sent: of class pubsub, as it is by
default, and of class normal too, which has no limit by default. A client that only tracks is of class
normal. The row tells the class, by CLIENT LIST.

Printed are by part the round trips of the load: median, p99, p99 by that of the baseline, the longest;
and by how much more memory than at the beginning was resident at most (VmHWM) and --settle seconds
later. Where replies take longer than the load's pace there are fewer requests: how many it made a
second stands beside them. The clients share --client-core. All but the load are nice, but another
process there makes it late too: look at several runs.

What is promised: who stops reading is cut off at the limit; who reads gets all, whole and in order; no
other connection is closed; memory stays below a bound of each part; and a message is there once,
however many get it, so three who get large ones take hardly more than one. Ends with 1 where one of
ours does not keep that. Of a peer it is only printed.
"""

import argparse
import os
import random
import re
import resource
import select
import socket
import sys
import time
import zlib
from collections import Counter

from servers import PATIENCE, Child, Client, encode, pid_of, quantile, rss_bytes, setting

MIB = 1 << 20
# What the load reads and writes.
OTHERS = 20_000
CHANNEL = "flood"
# The limits that hold by default for subscribers.
HARD, SOFT = 32 * MIB, 8 * MIB
LIMIT = f"{HARD} {SOFT} 60"
# What the kernel may hold of a client besides: the most that a socket takes to send, and to receive.
KERNEL = 8 * MIB
# How much is sent beyond the limit.
BEYOND = 64 * MIB
# Commands that are on their way together.
CHUNK = 256
NAMES, NAME_BYTES = 1_024, 1_000
NAME = re.compile(rb"name:(\d{6})\.")
MESSAGES_A_SECOND, MESSAGES = 20, 60
LARGE, LARGE_COUNT, LARGE_LIMIT = 64 * MIB, 10, 256 * MIB
# A buffer that grows is there twice while it is copied, and may be twice as large as what is in it.
GROWTH = 3
# What else a part may take: its other clients, and what an earlier one has left.
ROOM = 48 * MIB
# What each of many subscribers may take, with messages on their way to it.
A_SUBSCRIBER = 16 * 1024

received = memoryview(bytearray(MIB))


class Reader:
    """A client that reads whatever it is sent: how many bytes, and their checksum."""

    def __init__(self, client):
        self.socket = client.socket
        self.is_open = True
        self.bytes = self.crc = 0

    def drain(self):
        try:
            count = self.socket.recv_into(received)
        except ConnectionResetError:
            count = 0
        self.is_open = count > 0
        self.take(received[:count])

    def take(self, part):
        self.bytes += len(part)
        self.crc = zlib.crc32(part, self.crc)


class Names(Reader):
    """The same, which counts how often it is told of each name: their order is the server's choice."""

    def __init__(self, client):
        super().__init__(client)
        self.rest, self.seen = b"", Counter()

    def take(self, part):
        part = self.rest + bytes(part)
        self.seen.update(NAME.findall(part))
        # A name may be cut in two; what is kept is too short to be one.
        self.rest = part[-(len("name:000000.") - 1) :]


def pump(readers, until):
    """Lets all read until `until` says so; whether it did in time."""
    reading = {reader.socket.fileno(): reader for reader in readers if reader.is_open}
    end = time.monotonic() + PATIENCE
    with select.epoll() as poll:
        for descriptor in reading:
            poll.register(descriptor, select.EPOLLIN)
        while not until():
            if time.monotonic() > end:
                return False
            for descriptor, _ in poll.poll(0.02):
                reading[descriptor].drain()
                if not reading[descriptor].is_open:
                    poll.unregister(descriptor)
    return True


def load(pipe, port, rate):
    """So many GETs and SETs a second from the first question on. Each gets the latencies since the
    one before, in milliseconds."""
    pipe.recv()
    pipe.send(None)
    client, chance = Client(port), random.Random(2)
    latencies, due, start = [], 0.0, 0.0
    while True:
        # What could not be sent in time is not made up for: all at once it would be another load.
        due = max(due + 1 / rate, start)
        time.sleep(max(due - time.monotonic(), 0))
        start = time.monotonic()
        key = f"other:{chance.randrange(OTHERS):07d}"
        client.call(*(("SET", key, "x" * 64) if chance.random() < 0.5 else ("GET", key)))
        latencies.append((time.monotonic() - start) * 1000)
        if pipe.poll():
            pipe.recv()
            pipe.send(latencies)
            latencies = []


def small(number):
    return f"{number:010d}" + "x" * 190


def large(number):
    return b"%010d" % number + b"x" * (LARGE - 10)


def name(number):
    return f"name:{number % NAMES:06d}.".ljust(NAME_BYTES, "x")


def publish_small(number):
    return encode(["PUBLISH", CHANNEL, small(number)])


def set_name(number):
    return encode(["SET", name(number), "v"])


def flood(pipe, port, command, count, slow):
    """So many commands, as fast as one client can. Says before how many of them the slow client was
    gone; None if it never was."""
    client, gone = Client(port), None
    for start in range(0, count, CHUNK):
        client.flush([command(number) for number in range(start, start + CHUNK)])
        if gone is None and not client.call("CLIENT", "LIST", "ID", slow):
            gone = start + CHUNK
    pipe.send(gone)


def publish_steadily(pipe, port):
    """Says how many subscribers each message had."""
    client, counts, start = Client(port), [], time.monotonic()
    for number in range(MESSAGES):
        time.sleep(max(start + number / MESSAGES_A_SECOND - time.monotonic(), 0))
        counts.append(int(client.call("PUBLISH", CHANNEL, small(number))))
    pipe.send(counts)


def publish_large(pipe, port):
    """Publishes the message whose number it is given, and says how many subscribers it had."""
    client = Client(port)
    while True:
        pipe.send(int(client.call("PUBLISH", CHANNEL, large(pipe.recv()))))


def limits(pubsub, normal="0 0 0"):
    return f"normal {normal} pubsub {pubsub}"


class Server:
    """A server under measurement."""

    def __init__(self, name, port, options):
        self.name, self.port, self.options = name, int(port), options
        self.pid = pid_of(self.port)
        self.load = Child(load, self.port, options.rate)
        self.clients, self.children, self.broken = [], [], []
        self.base_p99 = None

    def begin(self):
        self.about = Client(self.port)
        self.is_ours = bool(self.about.call("CONFIG", "GET", "shards"))
        self.about.call("FLUSHALL")
        self.about.pipeline(("SET", f"other:{i:07d}", "x" * 64) for i in range(OTHERS))
        self.load.ask()
        time.sleep(0.5)
        self.memory = rss_bytes(self.pid)

    def client(self):
        client = Client(self.port)
        self.clients.append(client)
        return client

    def child(self, function, *arguments):
        child = Child(function, self.port, *arguments)
        self.children.append(child)
        return child

    def promise(self, kept, what):
        if not kept:
            self.broken.append(f"{self.name}: {self.part}: {what}")

    def grown(self):
        """By how much more is resident than at the beginning."""
        return rss_bytes(self.pid) - self.memory

    def peak(self):
        """By how much more was resident at most since it was last asked."""
        with open(f"/proc/{self.pid}/status") as status:
            peak = int(re.search(r"VmHWM:\s*(\d+) kB", status.read())[1]) * 1024
        with open(f"/proc/{self.pid}/clear_refs", "w") as clear:
            clear.write("5")
        return peak - self.memory

    def count_anew(self):
        """Round trips count from here on."""
        self.load.ask()
        self.since = time.monotonic()

    def is_there(self, client):
        return bool(self.about.call("CLIENT", "LIST", "ID", client))

    def row(self, part, act, bound=None):
        """Does it, and prints what came of it. Returns the peak."""
        self.part = part
        self.count_anew()
        self.peak()
        try:
            said = act(self)
        except (RuntimeError, OSError) as error:
            said = "failed"
            self.promise(False, str(error))
        seconds = time.monotonic() - self.since
        latencies, peak = sorted(self.load.ask()), self.peak()
        self.tidy()
        time.sleep(self.options.settle)
        after = self.grown()
        p50, p99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
        self.base_p99 = self.base_p99 or p99
        if bound is not None:
            self.promise(peak < bound, f"{peak / MIB:.0f} MiB more, {bound / MIB:.0f} are the bound")
        print(
            f"| {self.name} | {part} | {len(latencies) / seconds:.0f} | {p50:.2f} | {p99:.2f} "
            f"| {p99 / self.base_p99:.1f} | {latencies[-1]:.1f} | {peak / MIB:.0f} | {after / MIB:.0f} | {said} |",
            flush=True,
        )
        return peak

    def tidy(self):
        for child in self.children:
            child.end()
        for client in self.clients:
            client.close()
        self.children, self.clients = [], []


def baseline(server):
    time.sleep(server.options.seconds)
    return ""


def stalled(server, *setup):
    """A client that reads no more once it is set up, and its number."""
    client = server.client()
    # Else the kernel takes in megabytes for it.
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    number = int(client.call("CLIENT", "ID"))
    for command in setup:
        client.call(*command)
    return number


def flooded(server, slow, readers, command, bytes_each, is_complete):
    """What came of a flood of so many bytes a command for a slow client and for those that read."""
    of_pubsub = server.about.call("CLIENT", "LIST", "TYPE", "pubsub")
    of_class = "pubsub" if f"id={slow} ".encode() in of_pubsub else "normal"
    # Each name is set equally often.
    count = (HARD + BEYOND) // bytes_each // NAMES * NAMES
    start = time.monotonic()
    publisher = server.child(flood, command, count, slow)
    pump(readers, publisher.has_said)
    gone, seconds = publisher.hear(), time.monotonic() - start
    all_read = pump(readers, lambda: is_complete(count) or not all(reader.is_open for reader in readers))
    server.promise(all_read and is_complete(count), "who reads has lost something")
    server.promise(gone is not None, "who does not read is not cut off")
    if gone is None:
        return f"{of_class}: not cut off after {count * bytes_each / MIB:.0f} MiB"
    cut = gone * bytes_each
    server.promise(SOFT < cut <= HARD + KERNEL + CHUNK * bytes_each, f"cut off after {cut / MIB:.1f} MiB")
    return f"{of_class}: cut off after {cut / MIB:.1f} MiB of {count * bytes_each / MIB:.0f} in {seconds:.0f} s"


def channel(server):
    slow = stalled(server, ("SUBSCRIBE", CHANNEL))
    client = server.client()
    client.call("SUBSCRIBE", CHANNEL)
    reader, sent = Reader(client), Sent()

    def is_complete(count):
        return sent.up_to(count, small).is_all_of(reader)

    return flooded(server, slow, [reader], publish_small, len(message(small(0))), is_complete)


def tracks(server):
    client = server.client()
    client.call("HELLO", 3)
    client.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "name:")
    return Names(client)


def told(server, slow):
    reader = tracks(server)

    def is_complete(count):
        return len(reader.seen) == NAMES and set(reader.seen.values()) == {count // NAMES}

    return flooded(server, slow, [reader], set_name, NAME_BYTES, is_complete)


def tracking(server):
    track = ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "name:")
    return told(server, stalled(server, ("HELLO", 3), track))


def redirect(server):
    slow = stalled(server, ("SUBSCRIBE", "__redis__:invalidate"))
    owner = server.client()
    owner.call("CLIENT", "TRACKING", "ON", "REDIRECT", slow, "BCAST", "PREFIX", "name:")
    said = told(server, slow)
    server.promise(owner.call("PING") == b"PONG", "who tracks for another is gone")
    return said


def message(content):
    """What a subscriber gets."""
    return encode(["message", CHANNEL, content])


class Sent:
    """How many bytes a subscriber has to get, and their checksum."""

    def __init__(self):
        self.count = self.bytes = self.crc = 0

    def up_to(self, count, content):
        for number in range(self.count, count):
            part = message(content(number))
            self.bytes += len(part)
            self.crc = zlib.crc32(part, self.crc)
        self.count = max(self.count, count)
        return self

    def is_all_of(self, reader):
        return (reader.bytes, reader.crc) == (self.bytes, self.crc)


def subscribed(server, count):
    readers = []
    for _ in range(count):
        client = server.client()
        client.call("SUBSCRIBE", CHANNEL)
        readers.append(Reader(client))
    return readers


def subscribers(server):
    count, before = server.options.subscribers, rss_bytes(server.pid)
    most = int(server.about.call("CONFIG", "GET", "maxclients")[1])
    server.about.call("CONFIG", "SET", "maxclients", max(most, count + 100))
    readers = subscribed(server, count)
    time.sleep(1)
    each = (rss_bytes(server.pid) - before) / count
    # Nobody has been sent anything: what is measured is the messages.
    server.count_anew()
    sent, publisher = Sent().up_to(MESSAGES, small), server.child(publish_steadily)
    start = time.monotonic()
    pump(readers, publisher.has_said)
    counts, published = publisher.hear(), time.monotonic()
    pump(readers, lambda: all(reader.bytes >= sent.bytes or not reader.is_open for reader in readers))
    end = time.monotonic()
    server.promise(set(counts) == {count}, f"messages had {min(counts)} to {max(counts)} subscribers")
    complete = sum(sent.is_all_of(reader) for reader in readers)
    server.promise(complete == count, f"only {complete} got all messages")
    return (
        f"{each:.0f} bytes a subscriber; {MESSAGES} messages in {published - start:.1f} s, "
        f"all read {(end - published) * 1000:.0f} ms later"
    )


def all_large(server, readers, limit, others=0):
    """Ten messages, each when those that read have the one before."""
    publisher, sent = server.child(publish_large), Sent()
    with setting(server.port, "client-output-buffer-limit", limits(limit)):
        start = time.monotonic()
        for number in range(LARGE_COUNT):
            sent.up_to(number + 1, large)
            publisher.pipe.send(number)
            pump(readers, publisher.has_said)
            count = publisher.hear()
            if number == 0:
                server.promise(count == len(readers) + others, f"the first message had {count} subscribers")
            pump(readers, lambda: all(reader.bytes >= sent.bytes or not reader.is_open for reader in readers))
        seconds = time.monotonic() - start
    complete = sum(sent.is_all_of(reader) for reader in readers)
    return complete, f"{complete} got all, {sum(not reader.is_open for reader in readers)} cut off, in {seconds:.1f} s"


def large_to(count):
    def act(server):
        complete, said = all_large(server, subscribed(server, count), "0 0 0")
        server.promise(complete == count, f"only {complete} got all messages")
        return said

    return act


def large_slow(server):
    slow, readers = stalled(server, ("SUBSCRIBE", CHANNEL)), subscribed(server, 3)
    complete, said = all_large(server, readers, f"{LARGE_LIMIT} 0 0", others=1)
    server.promise(complete == 3, f"only {complete} of those that read got all messages")
    server.promise(not server.is_there(slow), "who does not read is not cut off")
    return said


def large_cut(server):
    slow, readers = stalled(server, ("SUBSCRIBE", CHANNEL)), subscribed(server, 3)
    _, said = all_large(server, readers, LIMIT, others=1)
    server.promise(not server.is_there(slow), "who does not read is not cut off")
    server.promise(not any(reader.is_open for reader in readers), "a message over the limit ends nobody")
    return said


def measure(server):
    server.begin()
    server.row("baseline", baseline)
    # First, since memory that another part leaves would be used again.
    server.row("subscribers", subscribers, server.options.subscribers * A_SUBSCRIBER)
    with setting(server.port, "client-output-buffer-limit", limits(LIMIT, LIMIT)):
        for part in (channel, tracking, redirect):
            server.row(part.__name__, part, GROWTH * HARD + ROOM)
    # The request and the message; each grows.
    message = 2 * GROWTH * LARGE + ROOM
    one = server.row("large, 1", large_to(1), message)
    server.row("large, 3", large_to(3), one + ROOM)
    server.row("large, slow", large_slow, message + GROWTH * LARGE_LIMIT)
    server.row("large, cut", large_cut, message)
    server.promise(server.about.call("PING") == b"PONG", "the first connection is gone")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="+", metavar="NAME=PORT")
    parser.add_argument("--rate", type=int, default=2_000, help="GETs and SETs a second")
    parser.add_argument("--seconds", type=float, default=5.0, help="of the baseline")
    parser.add_argument("--settle", type=float, default=6.0, help="seconds after each part")
    parser.add_argument("--subscribers", type=int, default=10_000)
    parser.add_argument("--client-core", type=int, default=1, help="of all clients")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.client_core})
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    servers = [Server(*server.split("="), options) for server in options.servers]
    # The loads are there already: nothing that begins from here on takes their place on the core.
    os.nice(10)
    print(
        "| server | part | load /s | p50 ms | p99 ms | p99 / baseline | longest ms | peak MiB more "
        "| later MiB more | what came of it |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    failed = False
    for server in servers:
        try:
            measure(server)
        except (RuntimeError, OSError) as error:
            server.broken.append(f"{server.name} failed: {error}")
        finally:
            server.tidy()
            server.load.end()
        for line in server.broken:
            print(f"broken: {line}", flush=True)
        failed |= bool(server.broken) and getattr(server, "is_ours", True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
