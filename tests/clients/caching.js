// A client-side cache on ioredis against a running Troupe: `node caching.js PORT`. Ends non-zero at
// the first surprise.
//
// ioredis hands on what a subscriber hears, in RESP2 only: one connection reads, another one subscribes to
// `__redis__:invalidate` and is told instead of it. Others write.
"use strict";
const assert = require("node:assert");
const { connect, disconnectAll, until } = require("./connections");

const KEYS = 300;
const WRITES = 200;

class Cache {
  static async open(...options) {
    const cache = new Cache();
    [cache.reader, cache.listener] = [connect({ protocol: 2 }), connect({ protocol: 2 })];
    [cache.values, cache.asked] = [new Map(), 0];
    // The message is a list of keys, or null where all are gone: only as a buffer it is told as it is.
    cache.listener.on("messageBuffer", (_channel, keys) => {
      if (keys === null) cache.values.clear();
      else keys.forEach((key) => cache.values.delete(key.toString()));
    });
    await cache.listener.subscribe("__redis__:invalidate");
    // In RESP2 a subscriber cannot ask for its own number: another one finds it.
    const [, id] = /\bid=(\d+) .*\bsub=1\b/.exec(await cache.reader.client("LIST", "TYPE", "PUBSUB"));
    assert.equal(await cache.reader.client("TRACKING", "ON", "REDIRECT", id, ...options), "OK");
    assert.equal(await cache.reader.client("GETREDIR"), Number(id));
    return cache;
  }

  // What is kept is a promise: one that is told of before its value has come is not kept.
  get(key) {
    if (!this.values.has(key)) {
      this.asked += 1;
      this.values.set(key, this.reader.get(key));
    }
    return this.values.get(key);
  }

  async close() {
    assert.equal(await this.reader.client("TRACKING", "OFF"), "OK");
    assert.equal(await this.listener.unsubscribe(), 0);
  }
}

async function changes(cache, redis) {
  const gone = async (what, change, expected) => {
    await redis.set("k", "v");
    await until("it is there", async () => (await cache.get("k")) === "v");
    const before = cache.asked;
    assert.equal(await cache.get("k"), "v");
    assert.equal(cache.asked, before);
    await change();
    await until(what, async () => (await cache.get("k")) === expected);
    assert.equal(cache.asked, before + 1);
  };
  await gone("set", () => redis.set("k", "w"), "w");
  await gone("deleted", () => redis.del("k"), null);
  await gone("by a transaction", () => redis.multi().append("k", "w").incr("n").exec(), "vw");
  await gone("by a pipeline", () => redis.pipeline().incr("n").append("k", "w").exec(), "vw");
  await gone("flushed", () => redis.flushall(), null);
  await redis.set("k", "v", "PX", 400);
  await until("it is there for a while", async () => (await cache.get("k")) === "v");
  await until("expired", async () => (await cache.get("k")) === null);
}

// Of many keys those are read anew that have changed.
async function many(cache, redis) {
  const keys = Array.from({ length: KEYS }, (_, number) => `key:${number}`);
  const read = () => Promise.all(keys.map((key) => cache.get(key)));
  await redis.flushall();
  await until("nothing is kept", () => cache.values.size === 0);
  await redis.mset(...keys.flatMap((key) => [key, 0]));
  assert.deepEqual(new Set(await read()), new Set(["0"]));
  const before = cache.asked;
  await read();
  assert.equal(cache.asked, before);
  await Promise.all(keys.filter((_, number) => number % 3 === 0).map((key) => redis.incr(key)));
  await until("a third of them are gone", () => cache.values.size <= KEYS - KEYS / 3);
  assert.deepEqual(await read(), keys.map((_, number) => (number % 3 === 0 ? "1" : "0")));
  assert.equal(cache.asked, before + KEYS / 3);
}

// While another one writes, nothing is read that is older than what was read, and the last comes.
async function together(cache, redis) {
  const keys = Array.from({ length: 12 }, (_, number) => `count:${number}`);
  const seen = keys.map(() => 0);
  const write = async () => {
    for (let count = 0; count < WRITES; count += 1) await Promise.all(keys.map((key) => redis.incr(key)));
  };
  const written = write();
  await until("the last values", async () => {
    const counts = (await Promise.all(keys.map((key) => cache.get(key)))).map(Number);
    counts.forEach((count, at) => assert(count >= seen[at], "an older value"));
    seen.splice(0, keys.length, ...counts);
    return counts.every((count) => count === WRITES);
  });
  await written;
}

// All keys of a prefix are told of, read or not.
async function broadcast(redis) {
  const cache = await Cache.open("BCAST", "PREFIX", "user:");
  await redis.mset("user:1", "a", "item:1", "a");
  for (const key of ["user:1", "item:1"]) assert.equal(await cache.get(key), "a");
  await redis.mset("item:1", "b", "user:1", "b");
  await until("it is told", async () => (await cache.get("user:1")) === "b");
  assert.equal(await cache.get("item:1"), "a");
  await cache.close();
}

async function main() {
  const redis = connect({ protocol: 3 });
  await redis.flushall();
  const cache = await Cache.open();
  for (const check of [changes, many, together]) await check(cache, redis);
  await cache.close();
  await broadcast(redis);
}

main()
  .then(() => console.log("ioredis, client-side cache: ok"))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(disconnectAll);
