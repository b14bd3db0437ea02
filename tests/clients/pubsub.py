"""redis-py's pub/sub against a running Troupe, in both protocols: `pubsub.py PORT`. Ends non-zero at
the first surprise.

Channels, patterns and channels of shards, handlers in a thread of their own, health checks, a
connection that is lost and subscribes anew, keyspace events; and many publishers and subscribers at
once, each message in the order of its publisher.
"""

import sys
import threading
import time

import redis

PORT = int(sys.argv[1])
PUBLISHERS = 4
SUBSCRIBERS = 6
MESSAGES = 300
SOON = 20


def connect(protocol, **options):
    return redis.Redis(port=PORT, protocol=protocol, decode_responses=True, **options)


def until(what, ask):
    end = time.monotonic() + SOON
    while not ask():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.001)


def next_of(pubsub, kind):
    """The next message, which is of this kind."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        message = pubsub.get_message(timeout=1)
        if message is not None:
            assert message["type"] == kind, message
            return message
    raise AssertionError(f"no {kind}")


def channels(protocol):
    r = connect(protocol)
    pubsub = r.pubsub()
    pubsub.subscribe("a", "b")
    pubsub.psubscribe("a*")
    assert [next_of(pubsub, "subscribe")["data"] for _ in range(2)] == [1, 2]
    assert next_of(pubsub, "psubscribe")["data"] == 3
    assert r.publish("a", "one") == 2
    assert next_of(pubsub, "message") == {"type": "message", "pattern": None, "channel": "a", "data": "one"}
    message = next_of(pubsub, "pmessage")
    assert (message["pattern"], message["channel"], message["data"]) == ("a*", "a", "one")
    assert r.pubsub_channels() == ["a", "b"] and r.pubsub_numpat() == 1
    assert r.pubsub_numsub("a", "c") == [("a", 1), ("c", 0)]
    pubsub.ssubscribe("a")
    assert next_of(pubsub, "ssubscribe")["data"] == 1
    assert r.spublish("a", "two") == 1 and r.pubsub_shardchannels() == ["a"]
    assert next_of(pubsub, "smessage")["data"] == "two"
    pubsub.unsubscribe("a")
    assert next_of(pubsub, "unsubscribe")["data"] == 2
    assert r.publish("b", "three") == 1 and next_of(pubsub, "message")["data"] == "three"
    pubsub.unsubscribe()
    pubsub.punsubscribe()
    pubsub.sunsubscribe()
    until("nothing is subscribed to", lambda: pubsub.get_message() is None and not pubsub.subscribed)
    assert r.pubsub_channels() == [] and r.pubsub_numpat() == 0
    pubsub.close()
    r.close()


def in_a_thread(protocol):
    r = connect(protocol)
    got = []
    pubsub = r.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(**{"a": lambda message: got.append(message["data"])})
    pubsub.psubscribe(**{"p*": lambda message: got.append(message["channel"])})
    thread = pubsub.run_in_thread(sleep_time=0.01)
    until("both are subscribed to", lambda: r.publish("a", "x") == 1 and r.publish("px", "x") == 1)
    until("both have come", lambda: "x" in got and "px" in got)
    thread.stop()
    thread.join()
    r.close()


def health(protocol):
    """A subscriber that is silent asks whether the server lives, and hears its messages all the same."""
    r = connect(protocol)
    pubsub = connect(protocol, health_check_interval=1).pubsub()
    pubsub.subscribe("a")
    next_of(pubsub, "subscribe")
    pings = lambda: r.info("commandstats").get("cmdstat_ping", {}).get("calls", 0)
    before = pings()

    def has_asked():
        assert pubsub.get_message(timeout=0.1) is None
        return pings() > before

    until("the server is asked", has_asked)
    assert r.publish("a", "x") == 1 and next_of(pubsub, "message")["data"] == "x"
    pubsub.close()
    r.close()


def lost(protocol):
    """redis-py connects anew and subscribes to what it had."""
    r = connect(protocol)
    pubsub = r.pubsub()
    pubsub.subscribe("a")
    pubsub.psubscribe("p*")
    next_of(pubsub, "subscribe")
    next_of(pubsub, "psubscribe")
    assert r.client_kill_filter(_type="pubsub") == 1
    kinds = {next_of_any(pubsub)["type"] for _ in range(2)}
    assert kinds == {"subscribe", "psubscribe"}, kinds
    until("both are there again", lambda: r.publish("a", "x") == 1 and r.publish("p", "x") == 1)
    pubsub.close()
    r.close()


def next_of_any(pubsub):
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        try:
            message = pubsub.get_message(timeout=1)
        except redis.ConnectionError:
            continue
        if message is not None:
            return message
    raise AssertionError("no message")


def events(protocol):
    r = connect(protocol)
    r.flushall()
    r.config_set("notify-keyspace-events", "KEA")
    pubsub = r.pubsub()
    pubsub.psubscribe("__keyevent@*__:expired", "__keyspace@0__:k")
    [next_of(pubsub, "psubscribe") for _ in range(2)]
    r.set("k", "v", px=20)
    said = [next_of(pubsub, "pmessage") for _ in range(4)]
    said = [(message["channel"], message["data"]) for message in said]
    of_key = [("__keyspace@0__:k", event) for event in ("set", "expire", "expired")]
    assert said == of_key + [("__keyevent@0__:expired", "k")], said
    r.config_set("notify-keyspace-events", "")
    pubsub.close()
    r.close()


def many(protocol):
    """Each subscriber gets every message, those of one publisher in their order, over all channels."""
    subscribers = [connect(protocol).pubsub(ignore_subscribe_messages=True) for _ in range(SUBSCRIBERS)]
    for pubsub in subscribers:
        pubsub.psubscribe("c*")
    r = connect(protocol)
    until("all subscribe", lambda: r.publish("c", "begin") == SUBSCRIBERS)
    failed = []

    def publish(number):
        own = connect(protocol)
        for count in range(MESSAGES):
            own.publish(f"c{count % 5}", f"{number}:{count}")
        own.close()

    def hear(pubsub):
        try:
            nexts, left = [0] * PUBLISHERS, PUBLISHERS * MESSAGES
            end = time.monotonic() + 60
            while left:
                assert time.monotonic() < end, "messages are missing"
                message = pubsub.get_message(timeout=1)
                if message is None or ":" not in message["data"]:
                    continue
                number, count = map(int, message["data"].split(":"))
                assert nexts[number] == count, "out of order"
                nexts[number] += 1
                left -= 1
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=hear, args=(pubsub,)) for pubsub in subscribers]
    threads += [threading.Thread(target=publish, args=(number,)) for number in range(PUBLISHERS)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if failed:
        raise failed[0]
    [pubsub.close() for pubsub in subscribers]
    r.close()


for protocol in (2, 3):
    for check in (channels, in_a_thread, health, lost, events, many):
        check(protocol)
print("redis-py, pub/sub: ok")
