"""The channel layer of Django Channels on pub/sub, against a running Troupe: `channels_layer.py PORT`. Ends
non-zero at the first surprise.

Each layer stands for a process of its own. The core layer of channels_redis is in `channels_core.py`.
"""

import asyncio
import logging
import sys

import redis
from channels_redis.pubsub import RedisPubSubChannelLayer

PORT = int(sys.argv[1])
CHANNELS = 5
MESSAGES = 100
SOON = 20


def layer():
    # Two hosts, for two connections: which one a channel takes, its name says.
    return RedisPubSubChannelLayer(hosts=[f"redis://127.0.0.1:{PORT}/0"] * 2)


async def until(what, ask):
    async with asyncio.timeout(SOON):
        while not ask():
            await asyncio.sleep(0.001)


async def receive(layer, channel):
    async with asyncio.timeout(SOON):
        return await layer.receive(channel)


async def channels(left, right, r):
    """A message comes once, to whoever waits for its channel."""
    channel = await left.new_channel()
    await until("it listens", lambda: r.pubsub_numsub(channel)[0][1] == 1)
    message = {"type": "chat", "text": "Grüße", "bytes": b"\x00\xff\r\n", "nested": [1, None, {"a": 1.5}]}
    await right.send(channel, message)
    assert await receive(left, channel) == message
    for number in range(MESSAGES):
        await right.send(channel, {"number": number})
    assert [(await receive(left, channel))["number"] for _ in range(MESSAGES)] == list(range(MESSAGES))
    # A channel has a name that others agree on, too.
    waits = asyncio.create_task(receive(right, "agreed"))
    await until("it listens", lambda: r.pubsub_numsub("agreed")[0][1] == 1)
    await left.send("agreed", {"text": "one"})
    assert await waits == {"text": "one"}
    # Who no longer waits, gives it up.
    waits = asyncio.create_task(right.receive("agreed"))
    await asyncio.sleep(0)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    await until("it does not listen", lambda: r.pubsub_numsub("agreed")[0][1] == 0)


def listeners_of(pattern, r):
    """How many connections subscribe to the channels of a pattern."""
    return sum(dict(r.pubsub_numsub(*r.pubsub_channels(pattern))).values())


async def groups(left, right, r):
    """Who is in a group hears what any layer sends to it, in its order."""
    members = [(own, await own.new_channel()) for own in (left, right) for _ in range(CHANNELS)]
    for own, channel in members:
        await own.group_add("room", channel)
    outside = await left.new_channel()
    await until("both listen", lambda: listeners_of("*__group__room", r) == 2)
    for number in range(MESSAGES):
        await left.group_send("room", {"number": number})
    for own, channel in members:
        assert [(await receive(own, channel))["number"] for _ in range(MESSAGES)] == list(range(MESSAGES))
    # One leaves, then all of one layer.
    await members[0][0].group_discard("room", members[0][1])
    await right.group_send("room", {"text": "without one"})
    for own, channel in members[1:]:
        assert await receive(own, channel) == {"text": "without one"}
    for own, channel in members[1:CHANNELS]:
        await own.group_discard("room", channel)
    await until("one listens", lambda: listeners_of("*__group__room", r) == 1)
    await right.group_send("room", {"text": "to the right"})
    for own, channel in members[CHANNELS:]:
        assert await receive(own, channel) == {"text": "to the right"}
    # The others have heard nothing of it.
    for channel in [channel for _, channel in members[:CHANNELS]] + [outside]:
        await right.send(channel, {"text": "to one"})
        assert await receive(left, channel) == {"text": "to one"}


async def lost(left, right, r):
    """It subscribes anew when its connections are lost."""
    channel = await left.new_channel()
    await left.group_add("room", channel)
    await until("it listens", lambda: r.pubsub_numsub(channel)[0][1] == 1)
    listeners = lambda: {client["id"] for client in r.client_list(_type="pubsub")}
    before = listeners()
    assert r.client_kill_filter(_type="pubsub") == len(before)
    await until("they are gone", lambda: not before & listeners())
    # Of each layer another connection may listen to the group.
    group = lambda: listeners_of("*__group__room", r) == 2
    await until("both listen again", lambda: group() and r.pubsub_numsub(channel)[0][1] == 1)
    await right.group_send("room", {"text": "again"})
    assert await receive(left, channel) == {"text": "again"}
    await right.send(channel, {"text": "to one"})
    assert await receive(left, channel) == {"text": "to one"}


async def main():
    r = redis.Redis(port=PORT, decode_responses=True)
    r.flushall()
    left, right = layer(), layer()
    for check in (channels, groups, lost):
        await check(left, right, r)
    await left.flush()
    await right.flush()
    await until("nothing is subscribed to", lambda: r.pubsub_channels() == [])
    r.close()
    print("channels_redis, pub/sub: ok")


# That a connection is lost it says aloud.
logging.disable()
asyncio.run(main())
