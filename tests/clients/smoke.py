"""redis-py against a running Troupe: `smoke.py PORT`. Ends non-zero at the first surprise.

What a client library does that a raw socket does not: its handshake (HELLO, CLIENT SETINFO), its
reading of RESP3, its pipelines, its transactions, its connection pool, its SCAN iterator.
"""

import sys

import redis

PORT = int(sys.argv[1])


def transactions(r):
    pipe = r.pipeline()
    for i in range(300):
        pipe.set(f"t:{i}", i)
    pipe.mget("t:1", "t:299")
    assert pipe.execute() == [True] * 300 + [["1", "299"]]

    tries = []

    def double(pipe):
        tries.append(int(pipe.get("t:7")))
        if len(tries) < 3:
            r.incr("t:7")  # On another connection: what is watched has changed.
        pipe.multi()
        pipe.set("t:7", 2 * tries[-1])
        pipe.lpush("t:tries", *tries)

    assert r.transaction(double, "t:7", "t:8") == [True, 3] and tries == [7, 8, 9]
    assert r.get("t:7") == "18"
    with r.pipeline() as pipe:
        pipe.watch("t:9")
        r.set("t:9", "other")
        pipe.multi()
        pipe.set("t:9", "mine")
        try:
            pipe.execute()
        except redis.WatchError:
            assert r.get("t:9") == "other"
        else:
            raise AssertionError("a watched key had changed")
        pipe.set("t:text", "x")
        pipe.incr("t:text")
        pipe.set("t:last", "y")
        replies = pipe.execute(raise_on_error=False)
    assert replies[0] is True and isinstance(replies[1], redis.ResponseError) and replies[2] is True


def check(protocol):
    r = redis.Redis(port=PORT, protocol=protocol, decode_responses=True, client_name="smoke")
    r.flushall()
    assert r.ping()
    assert r.set("k", "v", ex=100) and r.get("k") == "v" and 99 <= r.ttl("k") <= 100
    assert r.set("k", "w", nx=True) is None and r.set("k", "w", get=True) == "v"
    assert r.incrby("n", 5) == 5 and r.incrbyfloat("f", 0.5) == 0.5
    assert r.mset({f"key:{i}": i for i in range(300)})
    assert r.mget("key:1", "none", "key:299") == ["1", None, "299"]
    assert sorted(r.scan_iter("key:*", count=7)) == sorted(f"key:{i}" for i in range(300))
    pipe = r.pipeline(transaction=False)
    for i in range(300):
        pipe.incr(f"key:{i}")
    assert pipe.execute() == [i + 1 for i in range(300)]
    assert r.delete("key:1", "key:2", "none") == 2
    assert r.copy("k", "copy") and r.rename("copy", "moved") and r.type("moved") == "string"
    assert r.config_get("maxclients")["maxclients"].isdigit()
    assert r.client_getname() == "smoke" and r.client_info()["resp"] == str(protocol)
    assert r.info("server")["redis_version"] and r.dbsize() > 0
    assert 50 < r.command_count() <= len(r.command_list())
    transactions(r)
    try:
        r.execute_command("BOGUS")
    except redis.ResponseError as error:
        assert "unknown command" in str(error)
    else:
        raise AssertionError("BOGUS was taken")
    print(f"redis-py {redis.__version__}, RESP{protocol}: ok")


check(2)
check(3)
