// ioredis against a running Troupe: `node smoke.js PORT`. Ends non-zero at the first surprise.
//
// ioredis asks INFO before it calls a connection ready, and sends what was called in one tick as
// one pipeline.
"use strict";
const assert = require("node:assert");
const Redis = require("ioredis");

async function transactions(redis) {
  const replies = await redis.multi().set("a", 1).incr("b").lpush("a", "x").mget("a", "b").exec();
  assert.deepStrictEqual([replies[0], replies[1], replies[3]], [[null, "OK"], [null, 1], [null, ["1", "1"]]]);
  assert(/WRONGTYPE/.test(replies[2][0].message));
  const other = redis.duplicate();
  await redis.watch("a", "b");
  await other.incr("b");
  assert.strictEqual(await redis.multi().set("a", 2).exec(), null);
  // Without a pipeline each command is sent, and queued, by itself.
  await redis.multi({ pipeline: false });
  assert.strictEqual(await redis.set("a", 3), "QUEUED");
  assert.deepStrictEqual(await redis.exec(), [[null, "OK"]]);
  await assert.rejects(redis.multi().set("a").exec(), /EXECABORT|wrong number/);
  assert.strictEqual(await redis.get("a"), "3");
  await other.quit();
}

async function main() {
  const redis = new Redis(Number(process.argv[2]), "127.0.0.1", { connectionName: "smoke" });
  await redis.flushall();
  assert.strictEqual(await redis.set("k", "v", "EX", 100), "OK");
  assert.strictEqual(await redis.get("k"), "v");
  const keys = Array.from({ length: 300 }, (_, i) => `key:${i}`);
  const replies = await Promise.all(keys.map((key, i) => redis.set(key, i)));
  assert(replies.every((reply) => reply === "OK"));
  const pipeline = redis.pipeline();
  keys.forEach((key) => pipeline.incr(key));
  const results = await pipeline.exec();
  results.forEach(([error, value], i) => assert(error === null && value === i + 1));
  assert.deepStrictEqual(await redis.mget("key:1", "none"), ["2", null]);
  await transactions(redis);
  const found = new Set();
  for await (const part of redis.scanStream({ match: "key:*", count: 7 })) part.forEach((key) => found.add(key));
  assert.strictEqual(found.size, 300);
  assert.strictEqual(await redis.client("GETNAME"), "smoke");
  await assert.rejects(redis.call("BOGUS"), /unknown command/);
  await redis.quit();
  console.log("ioredis: ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
