"""The core channel layer of channels_redis, against a running Troupe: `channels_core.py PORT`. Ends non-zero
at the first surprise.

Messages wait in sorted sets. Scripts take back what was begun, send to groups and empty all; of these only the
one for groups declares its keys. Each layer stands for a process of its own.
"""

import asyncio
import sys

import redis
from channels.exceptions import ChannelFull
from channels_redis.core import RedisChannelLayer

PORT = int(sys.argv[1])
CHANNELS = 5
MESSAGES = 100
CAPACITY = MESSAGES + 5
SOON = 20


def layer():
    # Two hosts, for two connections: which one a channel takes, its name says.
    return RedisChannelLayer(hosts=[f"redis://127.0.0.1:{PORT}/0"] * 2, capacity=CAPACITY)


async def until(what, ask):
    async with asyncio.timeout(SOON):
        while not ask():
            await asyncio.sleep(0.001)


async def receive(layer, channel):
    async with asyncio.timeout(SOON):
        return await layer.receive(channel)


async def channels(left, right, r):
    """A message comes once, in its order, to whoever asks for its channel."""
    own = await left.new_channel()
    message = {"type": "chat", "text": "Grüße", "bytes": b"\x00\xff\r\n", "nested": [1, None, {"a": 1.5}]}
    for channel, receiver in ((own, left), ("agreed", right)):
        await right.send(channel, message)
        assert await receive(receiver, channel) == message
        for number in range(MESSAGES):
            await right.send(channel, {"number": number})
        got = [(await receive(receiver, channel))["number"] for _ in range(MESSAGES)]
        assert got == list(range(MESSAGES))
        waits = asyncio.create_task(receive(receiver, channel))
        await until("it waits", lambda: r.info("clients")["blocked_clients"] == 1)
        await right.send(channel, {"text": "late"})
        assert await waits == {"text": "late"}


async def limits(left, right, r):
    """No more wait than there is room for."""
    for number in range(CAPACITY):
        await left.send("full", {"number": number})
    try:
        await left.send("full", {"number": "too many"})
        raise AssertionError("it is full")
    except ChannelFull:
        pass
    assert r.zcard("asgifull") == CAPACITY and 0 < r.ttl("asgifull") <= 60
    assert await receive(right, "full") == {"number": 0}
    await left.send("full", {"number": "last"})


async def given_back(left, right, r):
    """What a process had taken and not handed out comes first."""
    for text in ("first", "second"):
        await left.send("agreed", {"text": text})
    message, time = r.zpopmin("asgiagreed")[0]
    r.zadd("asgiagreed$inflight", {message: time})
    assert [(await receive(right, "agreed"))["text"] for _ in range(2)] == ["first", "second"]
    await right.wait_received()
    assert not r.exists("asgiagreed", "asgiagreed$inflight")


async def groups(left, right, r):
    """Who is in a group hears what any layer sends to it, in its order; but for those that have no room."""
    members = [(own, await own.new_channel()) for own in (left, right) for _ in range(CHANNELS)]
    members += [(own, f"agreed.{number}") for own in (left, right) for number in range(CHANNELS)]
    names = [f"agreed.{number}" for number in range(CHANNELS)]
    for own, channel in members:
        await own.group_add("room", channel)
    await left.group_add("room", "full")
    for number in range(MESSAGES // 10):
        await left.group_send("room", {"number": number})
    expected = list(range(MESSAGES // 10))
    for own, channel in members[: 2 * CHANNELS] + [(right, name) for name in names]:
        assert [(await receive(own, channel))["number"] for _ in expected] == expected
    assert r.zcard("asgifull") == CAPACITY
    await left.group_discard("room", members[0][1])
    await right.group_send("room", {"text": "without one"})
    for own, channel in members[1 : 2 * CHANNELS]:
        assert await receive(own, channel) == {"text": "without one"}
    await right.send(members[0][1], {"text": "to one"})
    assert await receive(left, members[0][1]) == {"text": "to one"}


async def main():
    r = redis.Redis(port=PORT)
    r.flushall()
    left, right = layer(), layer()
    for check in (channels, limits, given_back, groups):
        await check(left, right, r)
    r.set("other", "kept")
    await left.flush()
    assert r.keys() == [b"other"], r.keys()
    await right.close_pools()
    r.close()
    print("channels_redis, core: ok")


asyncio.run(main())
