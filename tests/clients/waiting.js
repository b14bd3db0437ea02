// ioredis with clients that wait, against a running Troupe: `node waiting.js PORT`. Ends non-zero
// at the first surprise.
//
// Who waits has a connection of its own, as ioredis wants it. What they wait for comes from
// transactions of others, on all shards.
"use strict";
const assert = require("node:assert");
const { connect, disconnectAll, until } = require("./connections");

const ITEMS = 100;

function untilBlocked(redis, count) {
  const says = async () => (await redis.info("clients")).includes(`blocked_clients:${count}\r\n`);
  return until(`${count} clients wait`, says);
}

// Takes by so many connections, again and again until they are closed.
function takers(count, take) {
  const got = [];
  const each = async (redis) => {
    try {
      for (;;) got.push(await take(redis));
    } catch (error) {
      assert.match(error.message, /Connection is closed/);
    }
  };
  const connections = Array.from({ length: count }, connect);
  const ends = connections.map(each);
  const end = () => {
    connections.forEach((redis) => redis.disconnect());
    return Promise.all(ends);
  };
  return { got, end };
}

// Items go from list to list and into a sorted set; at each place several wait for them.
async function stations(redis) {
  const places = [
    takers(2, (own) => own.brpoplpush("raw", "half", 0)),
    takers(2, (own) => own.blmove("half", "whole", "LEFT", "RIGHT", 0)),
    takers(2, async (own) => {
      const [, item] = await own.blpop("urgent", "whole", 0);
      await redis.multi().zadd("ranked", item, item).incr("counted").exec();
    }),
    takers(1, async (own) => (await own.bzpopmin("other", "ranked", 0))[1]),
  ];
  await untilBlocked(redis, 7);
  const numbers = Array.from({ length: ITEMS }, (_, number) => String(number));
  const pushes = numbers.map((item) => redis.multi().lpush("raw", item).incr("made").exec());
  (await Promise.all(pushes)).forEach(([[error], [, made]], at) => assert(!error && made === at + 1));
  const last = places.at(-1).got;
  await until("all have come through", () => last.length === ITEMS);
  await untilBlocked(redis, 7);
  assert.deepStrictEqual(places[0].got.length, ITEMS);
  assert.deepStrictEqual([...last].sort((a, b) => a - b), numbers);
  assert.strictEqual(await redis.get("counted"), String(ITEMS));
  await Promise.all(places.map((place) => place.end()));
  await untilBlocked(redis, 0);
  await redis.rpush("raw", "kept");
  assert.strictEqual(await redis.lpop("raw"), "kept", "nobody waits any more");
}

// Who came first is served first, and only with what a transaction leaves.
async function order(redis) {
  const [first, second] = [connect(), connect()];
  const waits = [first.blpop("line", 0)];
  await untilBlocked(redis, 1);
  waits.push(second.brpop("line", 0));
  await untilBlocked(redis, 2);
  await redis.multi().rpush("line", "x").del("line").exec();
  const [, [, length]] = await redis.multi().rpush("line", 1).rpush("line", 2, 3).exec();
  assert.strictEqual(length, 3, "nobody takes anything out of a transaction");
  assert.deepStrictEqual(await Promise.all(waits), [["line", "1"], ["line", "3"]]);
  assert.strictEqual(await redis.lpop("line"), "2");
  // Inside a transaction nobody waits.
  assert.deepStrictEqual(await redis.multi().blpop("line", 0).get("line").exec(), [[null, null], [null, null]]);
}

// What several change from what they have read.
async function conflicts(redis) {
  let conflicts = 0;
  const add = async (own) => {
    for (let added = 0; added < 20; ) {
      await own.watch("sum", "count");
      const [sum, count] = (await own.mget("sum", "count")).map(Number);
      const replies = await own.multi().set("sum", sum + 2).set("count", count + 1).exec();
      if (replies) added++;
      else conflicts++;
    }
  };
  await Promise.all(Array.from({ length: 5 }, connect).map(add));
  assert.deepStrictEqual(await redis.mget("sum", "count"), ["200", "100"]);
  assert(conflicts > 0, "nobody was ever in between");
}

async function times() {
  const own = connect();
  assert.strictEqual(await own.blpop("none", 0.02), null);
  assert.strictEqual(await own.brpoplpush("none", "other", 0.02), null);
  assert.strictEqual(await own.bzpopmin("none", 0.02), null);
  assert.strictEqual(await own.xread("BLOCK", 20, "STREAMS", "none", "$"), null);
}

// Two consumers of a group get each entry once.
async function groups(redis) {
  await redis.xgroup("CREATE", "stream", "group", "$", "MKSTREAM");
  let number = 0;
  const consumers = takers(2, async (own) => {
    own.consumer ??= `consumer:${number++}`;
    const read = ["GROUP", "group", own.consumer, "COUNT", 1, "BLOCK", 0, "STREAMS", "stream", ">"];
    const [[, [[id, [, value]]]]] = await own.xreadgroup(...read);
    await redis.multi().xack("stream", "group", id).rpush("acked", value).exec();
    return value;
  });
  await untilBlocked(redis, 2);
  for (let at = 0; at < ITEMS; at++) await redis.xadd("stream", "*", "value", at);
  await until("all were read", () => consumers.got.length === ITEMS);
  assert.strictEqual(new Set(consumers.got).size, ITEMS);
  assert.strictEqual(await redis.llen("acked"), ITEMS);
  assert.strictEqual((await redis.xpending("stream", "group"))[0], 0);
  await consumers.end();
}

async function main() {
  const redis = connect();
  await redis.flushall();
  for (const check of [stations, order, conflicts, times, groups]) await check(redis);
  disconnectAll();
  console.log("ioredis, waits: ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
