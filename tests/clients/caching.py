"""redis-py's client-side cache against a running Troupe: `caching.py PORT`. Ends non-zero at the first
surprise.

The cache wants RESP3, where the server pushes what has changed to who has read it. In RESP2 a subscriber
of `__redis__:invalidate` is told; with it the other forms of CLIENT TRACKING are tried.
"""

import sys
import threading
import time

import redis
from redis.cache import CacheConfig, CacheKey
from redis.connection import CacheProxyConnection

PORT = int(sys.argv[1])
SOON = 20
KEYS = 500
READERS = 4
WRITES = 200
# Enough of them to have keys on every shard.
TAGS = [f"{{{number}}}" for number in range(12)]


def connect(protocol=3, **options):
    return redis.Redis(port=PORT, protocol=protocol, decode_responses=True, **options)


def with_cache():
    return connect(cache_config=CacheConfig())


def until(what, ask):
    end = time.monotonic() + SOON
    while not ask():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.001)


def is_cached(r, *command, keys=None):
    """The cache has an answer to this command, about these keys: all its arguments where none are named."""
    return r.get_cache().get(CacheKey(command[0], tuple(keys or command[1:]), command)) is not None


def gets(other):
    return other.info("commandstats").get("cmdstat_get", {}).get("calls", 0)


def hits(r, other):
    """What was read once is not asked for again, until it has changed."""
    other.set("k", "one")
    assert not is_cached(r, "GET", "k")
    before = gets(other)
    assert [r.get("k") for _ in range(10)] == ["one"] * 10
    assert gets(other) == before + 1 and is_cached(r, "GET", "k")
    other.set("k", "two")
    until("it is read anew", lambda: r.get("k") == "two")
    assert gets(other) == before + 2
    # Its own write it sees at once.
    r.set("k", "three")
    assert r.get("k") == "three"
    # Nothing there: nothing to keep.
    assert r.get("none") is None and not is_cached(r, "GET", "none")


def changes(r, other):
    """Every way in which a value goes, by others."""

    def is_kept():
        return r.get("k") == "v" and is_cached(r, "GET", "k")

    def gone(what, change, expected=None):
        other.set("k", "v")
        until("it is kept", is_kept)
        change()
        until(what, lambda: r.get("k") == expected)

    gone("deleted", lambda: other.delete("k"))
    gone("unlinked", lambda: other.unlink("k"))
    gone("renamed", lambda: other.rename("k", "away"))
    gone("overwritten", lambda: other.rename("away", "k"), "v")
    gone("flushed", other.flushall)
    gone("its database flushed", other.flushdb)
    gone("by a transaction", lambda: other.pipeline().append("k", "w").incr("n").execute(), "vw")
    gone("by a pipeline", lambda: other.pipeline(transaction=False).incr("n").append("k", "w").execute(), "vw")
    gone("gone in the past", lambda: other.pexpireat("k", 1))
    gone("by PEXPIRE", lambda: other.pexpire("k", 20))
    # Nobody asks for it when its time has come, and nothing else was told of since it was read.
    other.set("k", "v", px=400)
    until("it is kept for a while", is_kept)
    until("expired", lambda: r.get("k") is None)


def types(r, other):
    """Reads of all types, and of several keys."""
    other.flushall()
    tried = (
        (("HGET", "h", "f"), ("h",), ("HSET", "h", "f", "v"), ("HDEL", "h", "f")),
        (("LLEN", "l"), ("l",), ("RPUSH", "l", "v"), ("LPOP", "l")),
        (("SCARD", "s"), ("s",), ("SADD", "s", "v"), ("SREM", "s", "v")),
        (("ZSCORE", "z", "m"), ("z",), ("ZADD", "z", "1", "m"), ("ZREM", "z", "m")),
        (("XLEN", "x"), ("x",), ("XADD", "x", "*", "f", "v"), ("XTRIM", "x", "MAXLEN", "0")),
        (("MGET", "a", "b", "c"), ("a", "b", "c"), ("SET", "b", "v"), ("DEL", "b")),
    )
    for read, keys, *writes in tried:
        ask = lambda: r.execute_command(*read, keys=keys)
        for write in writes:
            before = ask()
            other.execute_command(*write)
            until(f"{write} is seen", lambda: ask() != before)
            until("it is kept", lambda: ask() is None or is_cached(r, *read, keys=keys))


def many(r, other):
    """Of many keys those are read anew that have changed, and no others."""
    other.flushall()
    until("nothing is kept", lambda: r.ping() and r.get_cache().size == 0)
    names = [f"key:{number}" for number in range(KEYS)]
    other.mset({name: 0 for name in names})
    assert [r.get(name) for name in names] == ["0"] * KEYS and r.get_cache().size == KEYS
    other.mset({name: 1 for name in names[::2]})
    until("half of them are gone", lambda: r.ping() and r.get_cache().size <= KEYS // 2)
    before = gets(other)
    assert [r.get(name) for name in names] == ["1", "0"] * (KEYS // 2)
    assert gets(other) == before + KEYS // 2
    other.flushall()
    until("all are gone", lambda: r.ping() and r.get_cache().size == 0)


def lost(r, other):
    """What was kept with a connection goes with it: nobody tells of changes meanwhile."""
    other.set("k", "one")
    assert r.get("k") == "one"
    assert other.client_kill_filter(_id=r.client_id()) == 1
    other.set("k", "two")
    until("it has connected anew", lambda: r.get("k") == "two" and is_cached(r, "GET", "k"))
    other.set("k", "three")
    until("it is told again", lambda: r.get("k") == "three")


def together():
    """Many with caches, while others write: nobody reads what is older than what it has read."""
    names = [f"{tag}:count" for tag in TAGS]
    writer = connect()
    writer.flushall()
    failed = []

    def read():
        try:
            with with_cache() as r:
                seen = dict.fromkeys(names, 0)
                end = time.monotonic() + SOON
                while set(seen.values()) != {WRITES}:
                    assert time.monotonic() < end, f"old values are kept: {seen}"
                    for name in names:
                        count = int(r.get(name) or 0)
                        assert count >= seen[name], "an older value"
                        seen[name] = count
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(READERS)]
    [thread.start() for thread in threads]
    for _ in range(WRITES):
        pipe = writer.pipeline()
        for name in names:
            pipe.incr(name)
        pipe.execute()
    [thread.join() for thread in threads]
    if failed:
        raise failed[0]
    writer.close()


class Told:
    """A connection in RESP2 that tracks, and the subscriber that is told instead of it."""

    def __init__(self, **options):
        self.pubsub = connect(2, client_name="told").pubsub(ignore_subscribe_messages=True)
        self.pubsub.subscribe("__redis__:invalidate")
        until("it subscribes", lambda: self.pubsub.get_message() is None and self.client() is not None)
        self.r = connect(2, single_connection_client=True)
        self.id = int(self.client()["id"])
        assert self.r.client_tracking_on(clientid=self.id, **options)
        assert self.r.client_getredir() == self.id

    def client(self):
        with connect() as other:
            return next((client for client in other.client_list(_type="pubsub") if client["name"] == "told"), None)

    def hears(self, *expected):
        """All of these are told of, in any order, and nothing else till then."""
        heard = []
        end = time.monotonic() + SOON
        while set(expected) - set(heard):
            assert time.monotonic() < end, f"not told of {set(expected) - set(heard)}"
            message = self.pubsub.get_message(timeout=1)
            heard += message["data"] if message else []
        assert sorted(heard) == sorted(expected), heard

    def close(self):
        self.pubsub.close()
        self.r.close()


def fill(other, *kinds):
    """A key of each kind for each tag. Those of a tag are on one shard, in whose order changes are told of:
    what nobody is to be told of is changed first, and was not told of when the rest is."""
    keys = [[f"{kind}:{tag}" for tag in TAGS] for kind in kinds]
    other.flushall()
    for key in sum(keys, []):
        other.set(key, 0)
    return keys


def redirected(other):
    unread, read = fill(other, "unread", "read")
    told = Told()
    assert told.r.mget(read) == ["0"] * len(read)
    [other.incr(key) for key in unread + read]
    told.hears(*read)
    # Of what was not read again, it is not told again.
    assert told.r.mget(read[1:]) == ["1"] * (len(read) - 1)
    other.pipeline().incr(read[0]).execute()
    [other.pipeline().incr(key).incr(key).execute() for key in read[1:]]
    told.hears(*read[1:])
    other.set(read[0], "v", px=400)
    assert told.r.get(read[0]) == "v"
    told.hears(read[0])
    told.r.get(read[1])
    other.flushall()
    until("all is gone", lambda: (message := told.pubsub.get_message()) and message["data"] is None)
    assert told.r.client_tracking_off() and told.r.client_getredir() == -1
    told.close()


def broadcast(other):
    items, users, orders = fill(other, "item", "user", "order")
    told = Told(bcast=True, prefix=["user:", "order:"])
    [other.incr(key) for key in items + users]
    told.hears(*users)
    [other.pipeline().delete(key).incr(key).execute() for key in orders]
    told.hears(*orders)
    # Its own too.
    [told.r.incr(key) for key in items + users]
    told.hears(*users)
    told.close()


def opt_in(other):
    unasked, asked = fill(other, "unasked", "asked")
    told = Told(optin=True)
    told.r.mget(unasked)
    for key in asked:
        assert told.r.execute_command("CLIENT CACHING", "YES")
        told.r.get(key)
    # It was for one command.
    told.r.mget(unasked)
    [other.incr(key) for key in unasked + asked]
    told.hears(*asked)
    told.close()


def opt_out(other):
    spared, read = fill(other, "spared", "read")
    told = Told(optout=True)
    for key in spared:
        assert told.r.execute_command("CLIENT CACHING", "NO")
        told.r.get(key)
    told.r.mget(read)
    [other.incr(key) for key in spared + read]
    told.hears(*read)
    told.close()


def no_loop(other):
    for options in ({}, {"bcast": True, "prefix": ["mine", "theirs"]}):
        mine, theirs = fill(other, "mine", "theirs")
        told = Told(noloop=True, **options)
        told.r.mget(mine + theirs)
        half = len(mine) // 2
        [told.r.incr(key) for key in mine[:half]]
        # redis-py's own way would take another connection.
        [told.r.execute_command(*command) for command in [("MULTI",), *(("INCR", key) for key in mine[half:])]]
        assert told.r.execute_command("EXEC") == [1] * (len(mine) - half)
        [other.incr(key) for key in theirs]
        told.hears(*theirs)
        told.close()


def nobody_left(other):
    """Who was to be told is gone: the one who tracks can ask for it."""
    told = Told()
    other.set("k", "v")
    told.r.get("k")
    told.pubsub.close()
    until("it is gone", lambda: told.client() is None)
    other.set("k", "w")
    flags = lambda: told.r.client_trackinginfo()[1]
    until("it is known to be gone", lambda: "broken_redirect" in flags())
    told.close()


def main():
    with connect() as other:
        hello = other.execute_command("HELLO", 3)
        # redis-py keeps its cache for servers that call themselves Redis 7.4 or newer, though all that it asks
        # for is older. Nothing else of it is changed.
        CacheProxyConnection.DEFAULT_SERVER_NAME = hello["server"]
        CacheProxyConnection.MIN_ALLOWED_VERSION = hello["version"]
        other.flushall()
        with with_cache() as r:
            for check in (hits, changes, types, many, lost):
                check(r, other)
        together()
        print(f"redis-py {redis.__version__}, client-side cache: ok")
        for check in (redirected, broadcast, opt_in, opt_out, no_loop, nobody_left):
            check(other)
        print("redis-py, RESP2, CLIENT TRACKING: ok")


main()
