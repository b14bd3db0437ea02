"""What the measuring scripts share: a client that pipelines, processes beside the script,
settings for a while, and what /proc says of a server."""

import contextlib
import multiprocessing
import os
import re
import socket
import subprocess
import sys

# Seconds for what has no pace of its own.
PATIENCE = 60


def pid_of(port):
    """The process that listens on a port of this machine."""
    listeners = subprocess.check_output(["ss", "-ltnpH", f"sport = :{port}"], text=True)
    found = re.search(r"pid=(\d+)", listeners)
    if not found:
        sys.exit(f"nothing listens on port {port}")
    return int(found.group(1))


def cpu_seconds(pid):
    """User and system time of all threads of a process so far."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid):
    """Resident memory of a process."""
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children(pid):
    """The processes that a process has forked."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        # It may be gone meanwhile.
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as stat:
            if int(stat.read().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(name))
    return found


def pss_bytes(pid):
    """Memory of a process and of those that it has forked: of a page that they share each has its part."""
    total = 0
    for each in [pid, *children(pid)]:
        with contextlib.suppress(OSError), open(f"/proc/{each}/smaps_rollup") as rollup:
            total += int(re.search(r"^Pss:\s*(\d+) kB", rollup.read(), re.M)[1]) * 1024
    return total


def cores(pid):
    """The cores that a process may run on, over all of its threads."""
    tasks = os.listdir(f"/proc/{pid}/task")
    return set().union(*(os.sched_getaffinity(int(task)) for task in tasks))


def opponents(options):
    """The ports of the two servers, which have to stand on the same cores."""
    if cores(pid_of(options.peer)) != cores(pid_of(options.ours)):
        sys.exit("pin both servers to the same cores (taskset)")
    return {"peer": options.peer, "ours": options.ours}


def encode(words):
    out = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(out)


class Client:
    """A connection to a server; an error reply is an exception."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def call(self, *words):
        self.socket.sendall(encode(words))
        return self.read()

    def pipeline(self, commands, depth=512):
        waiting = []
        for command in commands:
            waiting.append(encode(command))
            if len(waiting) == depth:
                self.flush(waiting)
        self.flush(waiting)

    def flush(self, waiting):
        self.socket.sendall(b"".join(waiting))
        for _ in waiting:
            self.read()
        waiting.clear()

    def read(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if not line:
            raise RuntimeError("the server closed the connection")
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else self.file.read(length + 2)[:-2]
        if kind in b"*>":
            return [self.read() for _ in range(int(rest))]
        if kind == b"%":
            return {self.read(): self.read() for _ in range(int(rest))}
        return rest


class Child:
    """A process of its own, which nothing else that a script does holds up. Its function gets a pipe."""

    def __init__(self, function, *arguments):
        self.pipe, end = multiprocessing.Pipe()
        arguments = (function, end, *arguments)
        self.process = multiprocessing.Process(target=self.run, args=arguments, daemon=True)
        self.process.start()

    @staticmethod
    def run(function, pipe, *arguments):
        try:
            function(pipe, *arguments)
        except (RuntimeError, OSError) as error:
            pipe.send(error)

    def has_said(self):
        return self.pipe.poll()

    def hear(self, patience=PATIENCE):
        if not self.pipe.poll(patience):
            raise RuntimeError(f"no answer within {patience} s")
        said = self.pipe.recv()
        if isinstance(said, Exception):
            raise RuntimeError(f"a connection of the clients: {said}")
        return said

    def ask(self, question=None):
        self.pipe.send(question)
        return self.hear()

    def end(self):
        self.process.terminate()
        self.process.join()


def quantile(figures, share):
    """Of sorted figures the one that so large a share of them stands below."""
    return figures[min(int(len(figures) * share), len(figures) - 1)]


@contextlib.contextmanager
def setting(port, name, value):
    """A setting of a server for a while; what it was before afterwards."""
    client = Client(port)
    before = client.call("CONFIG", "GET", name)[1]
    client.call("CONFIG", "SET", name, value)
    try:
        yield
    finally:
        client.call("CONFIG", "SET", name, before)
