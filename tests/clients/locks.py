"""redis-py's lock against a running Troupe: `locks.py PORT`. Ends non-zero at the first surprise.

Scripts give a lock back and prolong it, for whoever holds it.
"""

import sys
import threading

import redis
from redis.exceptions import LockError, LockNotOwnedError

PORT = int(sys.argv[1])
LOCKS = 5
THREADS = 6
ROUNDS = 20
SOON = 20


def connect():
    return redis.Redis(port=PORT)


def refused(error, call):
    try:
        call()
    except error:
        return
    raise AssertionError(f"{error.__name__} was expected")


def ownership(r):
    """Only who holds it gives it back or prolongs it."""
    mine, other = r.lock("lock", timeout=10), r.lock("lock", timeout=10)
    assert mine.acquire() and mine.locked() and mine.owned()
    assert not other.acquire(blocking=False) and not other.acquire(blocking_timeout=0.05)
    refused(LockError, other.release)
    for call in (other.release, other.reacquire, lambda: other.extend(10)):
        other.local.token = b"another's"
        refused(LockNotOwnedError, call)
    assert mine.extend(10) and 19_000 < r.pttl("lock") <= 20_000
    assert mine.extend(30, replace_ttl=True) and 29_000 < r.pttl("lock") <= 30_000
    assert mine.reacquire() and 9_000 < r.pttl("lock") <= 10_000
    mine.release()
    assert not r.exists("lock") and other.acquire(blocking=False)
    other.release()


def expiry(r):
    """One that is not given back ends by itself."""
    short, other = r.lock("lock", timeout=0.1), r.lock("lock", timeout=10)
    assert short.acquire()
    assert other.acquire(blocking_timeout=SOON)
    refused(LockNotOwnedError, short.release)
    assert other.owned()
    other.release()


def exclusion(r):
    """Several threads, several locks: what each adds, without a transaction, is not lost."""
    failures = []

    def add():
        with connect() as own:
            for count in range(ROUNDS):
                name = f"lock:{count % LOCKS}"
                with own.lock(name, timeout=SOON, sleep=0.001, blocking_timeout=SOON):
                    value = int(own.get(f"{name}:sum") or 0)
                    own.set(f"{name}:sum", value + 1)

    def watched():
        try:
            add()
        except Exception as error:
            failures.append(error)

    # A script that is gone is sent again.
    r.script_flush()
    threads = [threading.Thread(target=watched) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    sums = r.mget(f"lock:{number}:sum" for number in range(LOCKS))
    assert sum(map(int, sums)) == THREADS * ROUNDS, sums
    assert not r.exists(*(f"lock:{number}" for number in range(LOCKS)))


with connect() as r:
    r.flushall()
    for check in (ownership, expiry, exclusion):
        check(r)
print("redis-py, lock: ok")
