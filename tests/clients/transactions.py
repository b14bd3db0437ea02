"""redis-py's transactions and waits under contention, against a running Troupe: `transactions.py PORT`.
Ends non-zero at the first surprise.

Several threads change the same keys, which lie on different shards, from what they have read: with
WATCH and MULTI no change may be lost. Others wait in BLPOP and BZPOPMIN for what transactions push:
every item goes to one of them.
"""

import sys
import threading
import time

import redis

PORT = int(sys.argv[1])
THREADS = 6
ROUNDS = 40


def connect(protocol):
    return redis.Redis(port=PORT, protocol=protocol, decode_responses=True)


def in_threads(work, count=THREADS):
    """Runs work(number) in so many threads; the first exception is raised here."""
    failed = []

    def run(number):
        try:
            work(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if failed:
        raise failed[0]


def counters(r):
    """Read, compute, write: over two keys, and tried again by hand until nobody was in between."""
    r.mset({"from": THREADS * ROUNDS, "to": 0})
    conflicts = []

    def move(_):
        for _ in range(ROUNDS):
            with r.pipeline() as pipe:
                while True:
                    try:
                        pipe.watch("from", "to")
                        left, right = (int(value) for value in pipe.mget("from", "to"))
                        assert left + right == THREADS * ROUNDS, "half a transaction was seen"
                        pipe.multi()
                        pipe.set("from", left - 1).set("to", right + 1).rpush("log", right + 1)
                        assert pipe.execute() == [True, True, right + 1]
                        break
                    except redis.WatchError:
                        conflicts.append(1)

    in_threads(move)
    assert r.mget("from", "to") == ["0", str(THREADS * ROUNDS)]
    assert r.lrange("log", 0, -1) == [str(number + 1) for number in range(THREADS * ROUNDS)]
    assert conflicts, "nobody was ever in between"
    return len(conflicts)


def hashes(r):
    """The same by `transaction`, which tries again by itself."""

    def add(number):
        for _ in range(ROUNDS):

            def change(pipe):
                count = int(pipe.hget("counts", "all") or 0)
                pipe.multi()
                pipe.hset("counts", "all", count + 1).zincrby("ranks", 1, f"thread:{number}")

            r.transaction(change, "counts", "ranks")

    in_threads(add)
    assert r.hget("counts", "all") == str(THREADS * ROUNDS)
    assert r.zrange("ranks", 0, -1, withscores=True) == sorted(
        ([f"thread:{number}", ROUNDS] if is_resp3(r) else (f"thread:{number}", ROUNDS)) for number in range(THREADS)
    )


def is_resp3(r):
    return r.client_info()["resp"] == "3"


def waits(r):
    """What transactions push, clients that wait get: each item once, in the order of its queue."""
    queues = [f"queue:{number}" for number in range(4)]
    got = {number: [] for number in range(THREADS)}

    def work(number):
        if number == 0:
            for item in range(ROUNDS):
                pipe = r.pipeline()
                for queue in queues:
                    pipe.rpush(queue, item)
                pipe.zadd("ranked", {item: item})
                pipe.execute()
            for _ in range(THREADS):
                r.rpush("last", "end")
        elif number == 1:
            while len(got[number]) < ROUNDS:
                got[number].append(r.bzpopmin("ranked", timeout=10)[1])
        else:
            # BLPOP takes from the first queue that has something, and the end comes last.
            while (popped := r.blpop(queues + ["last"], timeout=10))[0] != "last":
                got[number].append(tuple(popped))

    in_threads(work)
    assert sorted(got[1], key=int) == [str(item) for item in range(ROUNDS)]
    items = [item for number in range(2, THREADS) for item in got[number]]
    assert sorted(items) == sorted((queue, str(item)) for queue in queues for item in range(ROUNDS))
    for number in range(2, THREADS):
        for queue in queues:
            of_queue = [int(item) for name, item in got[number] if name == queue]
            assert of_queue == sorted(of_queue), "an item has passed another one"
    assert not r.exists(*queues, "ranked")


def times(r):
    """A wait ends with its time, with nothing."""
    before = time.monotonic()
    assert r.blpop("none", timeout=0.05) is None
    assert r.blmove("none", "other", 0.05, "LEFT", "RIGHT") is None
    assert r.bzpopmax("none", timeout=0.05) is None
    assert r.xread({"none": "$"}, block=50) in ([], {}, None)
    assert time.monotonic() - before >= 0.2


def large(r):
    """One transaction of ten thousand commands over all shards."""
    pipe = r.pipeline()
    for number in range(10_000):
        pipe.incr(f"large:{number % 100}")
    assert pipe.execute() == [1 + number // 100 for number in range(10_000)]


for protocol in (2, 3):
    client = connect(protocol)
    client.flushall()
    conflicts = counters(client)
    hashes(client)
    waits(client)
    times(client)
    large(client)
    print(f"redis-py {redis.__version__}, RESP{protocol}, transactions: ok, {conflicts} conflicts")
