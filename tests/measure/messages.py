#!/usr/bin/env python3
"""Server CPU of what is sent to others: messages, events of keys, invalidations; two servers in one run.

    tests/peers.sh start valkey 7001                    # prints its process id
    taskset -pca 0 PID                                  # all of its threads on core 0
    taskset -c 0 target/release/troupe --port 7002 --shards 1 --save ''
    tests/measure/messages.py 7001 7002

The servers must be disposable: FLUSHALL is sent. Each workload is writers that keep so many commands
on their way (pipeline), and receivers of what follows from them:

    publish1, publish10, publish1000   PUBLISH of 64 bytes to so many subscribers of one channel, from
                                       each number of --publishers: one, whose every write the server
                                       answers by itself, and 50, whose messages it can send together
    set            SET, for comparison: nobody hears of it
    set-event      SET with `notify-keyspace-events KEA` and a subscriber to __keyevent@0__:set
    set-bcast      SET, of which 50 clients hear that have CLIENT TRACKING ON BCAST
    set-tracked    SET of keys that 50 clients have read after CLIENT TRACKING ON: each hears of each.
                   They read all of them again between the rounds, which is not measured
    get-tracked    those reads: GETs that the server remembers, of 50 clients, each key after its SET

SETs come from 50 clients. Printed are, as medians of the rounds in which the servers take turns, user
+ system time of the server process, from /proc, by delivered message (publish) or by command (the
others), their ratio, and how many of these there were a second. The clock of a process has steps of
10 ms: --seconds should leave each measurement some tenths of CPU time.

The load is one loop of this program, on another core. Receivers' bytes are discarded or counted, not
parsed. All have to arrive: as many bytes as the messages have, or as many names as were set. A
measurement that does not end is given up after --longest seconds.

A workload whose set-up a server refuses is skipped with a line that says so. Ends with 1 when a
workload failed.
"""

import argparse
import contextlib
import itertools
import os
import random
import select
import socket
import statistics
import sys
import time

from servers import Client, cpu_seconds, encode, opponents, pid_of, setting

CLIENTS = 50
KEYS = 100_000
# What comes before a measurement is in a pipeline anyway; both numbers of keys have to be multiples.
FILL_PIPELINE = 16
# What 50 clients have read of these, the server has to remember by client and key.
TRACKED_MOST = 20_000
VALUE = "x" * 64
CHANNEL = "channel:1"
NAME = b"key:"
# CPU microseconds that a command takes by itself, by pipeline, a message to one receiver, and a write to
# it, which holds what all writers have on their way; roughly. How many commands make up --seconds
# follows from these.
COMMAND_US = {1: 12, 16: 2}
COMMAND_US_ABOVE = 1.5
MESSAGE_US, WRITE_US = 0.5, 10
# One client alone leaves the server idle between its commands, which costs a waking.
ALONE = 3
# No more than this of a socket at a time, so that each receiver has its turn.
PART = 1 << 18


def key(number):
    return f"key:{number:012d}"


class Refused(Exception):
    """A server does not know what a workload needs."""


class Bytes:
    """A receiver of messages of one length: the kernel discards them, uncopied."""

    def __init__(self, client):
        self.socket = client.socket
        self.room = bytearray(PART)

    def drain(self):
        return self.socket.recv_into(self.room, PART, socket.MSG_TRUNC)


class Names:
    """A receiver of invalidations. How many names share one is the server's choice: names count."""

    def __init__(self, client):
        self.socket = client.socket
        self.rest = b""

    def drain(self):
        part = self.socket.recv(PART)
        if not part:
            raise RuntimeError("the server closed a receiver")
        part = self.rest + part
        # A name may be cut in two; what is kept is too short to be one.
        self.rest = part[1 - len(NAME) :]
        return part.count(NAME)


def drive(writers, answer, receivers, arrivals, longest):
    """Each writer sends its next chunk once the one before is answered, until there are no more and
    all has arrived. `writers`: sockets with an iterator of chunks, which they may share."""
    until = time.monotonic() + longest
    got = {client.fileno(): b"" for client, _ in writers}
    writing = {client.fileno(): (client, chunks) for client, chunks in writers}
    draining = {receiver.socket.fileno(): receiver.drain for receiver in receivers}
    waiting, arrived = 0, 0
    with select.epoll() as poll:
        for number in (*writing, *draining):
            poll.register(number, select.EPOLLIN)
        for client, chunks in writing.values():
            if chunk := next(chunks, None):
                client.sendall(chunk)
                waiting += 1
        while waiting or arrived < arrivals:
            for number, _ in poll.poll(1.0, len(got) + len(draining)):
                if drain := draining.get(number):
                    arrived += drain()
                    continue
                client, chunks = writing[number]
                part = client.recv(PART)
                got[number] += part
                if part and len(got[number]) < len(answer):
                    continue
                if got[number] != answer:
                    raise RuntimeError(f"{got[number][:200]} instead of {answer[:200]}")
                got[number] = b""
                if chunk := next(chunks, None):
                    client.sendall(chunk)
                else:
                    waiting -= 1
            if time.monotonic() > until:
                raise RuntimeError(f"{arrived} of {arrivals} within {longest:g} s, {waiting} writers wait")
    if arrived != arrivals:
        raise RuntimeError(f"{arrived} arrived instead of {arrivals}")


def seen(client, words):
    """Reads a first message with a look at it; its length, which is all that is looked at later."""
    if (got := client.read()) != words:
        raise RuntimeError(f"{got} instead of {words}")
    return len(encode(words))


def chunks_of(commands, pipeline):
    """The commands as bytes, `pipeline` of them in each."""
    commands = iter(commands)
    while chunk := list(itertools.islice(commands, pipeline)):
        yield b"".join(chunk)


class Load:
    """A workload on one server: set up once, then run for each round."""

    # What the figures are by: `by` of them for each command.
    unit, by = "command", 1
    writers, receivers = CLIENTS, 0

    def __init__(self, port, pipeline, longest):
        self.port, self.pipeline, self.longest = port, pipeline, longest
        self.undo = contextlib.ExitStack()
        self.sources = [self.connect().socket for _ in range(self.writers)]
        self.ears = []
        try:
            self.connect().call("FLUSHALL")
            self.listen()
        except BaseException:
            self.close()
            raise

    def connect(self):
        client = Client(self.port)
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.undo.callback(client.close)
        return client

    def subscribe(self, channel):
        client = self.connect()
        client.call("SUBSCRIBE", channel)
        self.ears.append(Bytes(client))
        return client

    def listen(self):
        """Makes what is read, and the receivers."""
        # In an order without repetition: a name that is set twice in one turn may be told of once.
        self.names = random.Random(1).sample([key(i) for i in range(KEYS)], KEYS)
        self.sets = [encode(["SET", name, VALUE]) for name in self.names]
        self.send(self.sets, b"+OK\r\n", KEYS, 0, FILL_PIPELINE)

    def prepare(self, count):
        """What is not measured before each round."""

    def run(self, count):
        self.send(self.sets, b"+OK\r\n", count, 0)

    def send(self, commands, answer, count, each, pipeline=None):
        """So many commands in turn, from all writers; `each` of them arrives at receivers as so much."""
        pipeline = pipeline or self.pipeline
        chunks = chunks_of(itertools.islice(itertools.cycle(commands), count), pipeline)
        writers = [(client, chunks) for client in self.sources]
        drive(writers, answer * pipeline, self.ears, count * each, self.longest)

    def count(self, seconds):
        """How many commands are about so many seconds of CPU time: a multiple of the pipeline."""
        together = self.writers * self.pipeline
        one = COMMAND_US.get(self.pipeline, COMMAND_US_ABOVE) * (ALONE if together == 1 else 1)
        one += self.receivers * (MESSAGE_US + WRITE_US / together)
        return max(int(seconds * 1e6 / one) // self.pipeline, 1) * self.pipeline

    def close(self):
        self.undo.close()


class Publish(Load):
    unit = "message"

    def __init__(self, port, pipeline, longest, subscribers, publishers):
        self.receivers = self.by = subscribers
        self.writers = publishers
        super().__init__(port, pipeline, longest)

    def listen(self):
        clients = [self.subscribe(CHANNEL) for _ in range(self.receivers)]
        self.connect().call("PUBLISH", CHANNEL, VALUE)
        words = [b"message", CHANNEL.encode(), VALUE.encode()]
        self.each = sum(seen(client, words) for client in clients)

    def run(self, count):
        command = encode(["PUBLISH", CHANNEL, VALUE])
        self.send([command], b":%d\r\n" % self.receivers, count, self.each)


class Event(Load):
    receivers = 1

    def listen(self):
        super().listen()
        self.undo.enter_context(setting(self.port, "notify-keyspace-events", "KEA"))
        channel = "__keyevent@0__:set"
        client = self.subscribe(channel)
        self.connect().call("SET", key(0), VALUE)
        self.each = seen(client, [b"message", channel.encode(), key(0).encode()])

    def run(self, count):
        self.send(self.sets, b"+OK\r\n", count, self.each)


class Tracking(Load):
    """50 clients that are told of what was set."""

    receivers = CLIENTS

    def track(self, *words):
        client = self.connect()
        try:
            client.call("HELLO", 3)
            client.call("CLIENT", "TRACKING", "ON", *words)
        except RuntimeError as error:
            raise Refused(f"port {self.port} refuses CLIENT TRACKING ON: {error}") from error
        self.ears.append(Names(client))
        return client


class Broadcast(Tracking):
    def listen(self):
        super().listen()
        for _ in range(self.receivers):
            self.track("BCAST")

    def run(self, count):
        self.send(self.sets, b"+OK\r\n", count, self.receivers)


class Invalidate(Tracking):
    def listen(self):
        super().listen()
        self.readers = [self.track().socket for _ in range(self.receivers)]

    def count(self, seconds):
        return min(super().count(seconds), TRACKED_MOST // self.pipeline * self.pipeline)

    def read(self, count, pipeline):
        """Each reader reads so many keys."""
        commands = (encode(["GET", name]) for name in self.names[:count])
        chunks = list(chunks_of(commands, pipeline))
        writers = [(client, iter(chunks)) for client in self.readers]
        answer = b"$%d\r\n%s\r\n" % (len(VALUE), VALUE.encode())
        drive(writers, answer * pipeline, [], 0, self.longest)

    def prepare(self, count):
        # To a whole pipeline; a key that was read and is not set does no harm.
        self.read(-(-count // FILL_PIPELINE) * FILL_PIPELINE, FILL_PIPELINE)

    def run(self, count):
        self.send(self.sets, b"+OK\r\n", count, self.receivers)


class Remember(Invalidate):
    """The other half: the reads are measured, and the SETs are what comes before."""

    by = CLIENTS
    is_read = False

    def count(self, seconds):
        """Of one reader."""
        one = COMMAND_US.get(self.pipeline, COMMAND_US_ABOVE) * self.receivers
        keys = min(int(seconds * 1e6 / one), TRACKED_MOST)
        return max(keys // self.pipeline, 1) * self.pipeline

    def prepare(self, count):
        # Nobody has read before the first round, so nobody is told.
        self.send(self.sets, b"+OK\r\n", count, self.receivers if self.is_read else 0)

    def run(self, count):
        self.is_read = True
        self.read(count, self.pipeline)


SUBSCRIBERS = {f"publish{count}": count for count in (1, 10, 1000)}
LOADS = {
    "set": Load,
    "set-event": Event,
    "set-bcast": Broadcast,
    "set-tracked": Invalidate,
    "get-tracked": Remember,
}


def makers(options):
    """Each workload: its name, how many writers, and what sets it up on a port with a pipeline."""
    for name in options.only.split(","):
        if name not in SUBSCRIBERS:
            yield name, CLIENTS, LOADS[name]
            continue
        for publishers in map(int, options.publishers.split(",")):
            subscribers = SUBSCRIBERS[name]
            yield name, publishers, lambda *common: Publish(*common, subscribers, publishers)


def measure(ports, make, pipeline, options):
    """The medians of one workload: what they are by, microseconds of CPU by it, how many a second."""
    loads, got = {}, {who: [] for who in ports}
    try:
        for who, port in ports.items():
            loads[who] = make(port, pipeline, options.longest)
        for _ in range(options.rounds):
            for who, load in loads.items():
                count, pid = load.count(options.seconds), pid_of(load.port)
                load.prepare(count)
                cpu, start = cpu_seconds(pid), time.perf_counter()
                load.run(count)
                seconds = time.perf_counter() - start
                done = count * load.by
                got[who].append(((cpu_seconds(pid) - cpu) / done * 1e6, done / seconds))
    finally:
        for load in loads.values():
            load.close()
    medians = {who: [statistics.median(column) for column in zip(*runs)] for who, runs in got.items()}
    return load.unit, medians


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", type=int, help="port of the server to compare with")
    parser.add_argument("ours", type=int, help="port of Troupe")
    parser.add_argument("--pipelines", default="1,16")
    parser.add_argument("--publishers", default="1,50", help="of PUBLISH, with commas")
    parser.add_argument("--only", default=",".join((*SUBSCRIBERS, *LOADS)), help="workloads, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of CPU time in a measurement, about")
    parser.add_argument("--longest", type=float, default=60.0, help="seconds a measurement may take")
    parser.add_argument("--client-core", type=int, default=1, help="where the load comes from")
    return parser.parse_args()


def main():
    options = arguments()
    ports = opponents(options)
    os.sched_setaffinity(0, {options.client_core})
    print(
        "| workload | writers | pipeline | by | peer us | ours us | CPU ratio | peer /s | ours /s |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    failed = False
    for name, writers, make in makers(options):
        for pipeline in map(int, options.pipelines.split(",")):
            try:
                unit, medians = measure(ports, make, pipeline, options)
            except Refused as refused:
                print(f"{name} with {pipeline} skipped: {refused}", flush=True)
                continue
            except (RuntimeError, OSError) as error:
                print(f"{name} with {pipeline} failed: {error}", flush=True)
                failed = True
                continue
            peer, ours = medians["peer"], medians["ours"]
            print(
                f"| {name} | {writers} | {pipeline} | {unit} | {peer[0]:.2f} | {ours[0]:.2f} "
                f"| {ours[0] / max(peer[0], 1e-9):.2f} | {peer[1]:.0f} | {ours[1]:.0f} |",
                flush=True,
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
