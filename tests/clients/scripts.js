// ioredis with commands that are scripts, Redlock and rate-limiter-flexible, against a running Troupe:
// `node scripts.js PORT`. Ends non-zero at the first surprise.
"use strict";
const assert = require("node:assert");
const { createHash } = require("node:crypto");
const { BurstyRateLimiter, RateLimiterQueue, RateLimiterRedis, RateLimiterRes } = require("rate-limiter-flexible");
const Redlock = require("redlock");
const { connect, disconnectAll, until } = require("./connections");

// Moves so much from each of the keys to a key that it does not declare.
const COLLECT = `
  local sum = 0
  for _, key in ipairs(KEYS) do
    local left = redis.call('DECRBY', key, ARGV[1])
    if left < 0 then return redis.error_reply('EMPTY ' .. key) end
    sum = sum + ARGV[1]
  end
  return {redis.call('INCRBY', ARGV[2], sum), #KEYS, {'a', false, 1.9}}`;

async function commands(redis) {
  redis.defineCommand("collect", { lua: COLLECT });
  redis.defineCommand("collectTwo", { numberOfKeys: 2, lua: COLLECT });
  redis.defineCommand("read", { numberOfKeys: 1, lua: "return redis.call('GET', KEYS[1])", readOnly: true });
  const keys = Array.from({ length: 10 }, (_, number) => `source:${number}`);
  await redis.mset(keys.flatMap((key) => [key, 100]));
  assert.deepStrictEqual(await redis.collect(10, ...keys, 3, "sink"), [30, 10, ["a", null, 1]]);
  assert.deepStrictEqual(await redis.collectTwo("source:0", "source:1", 3, "sink"), [36, 2, ["a", null, 1]]);
  // It is known by its hash; when it is not, it is sent again.
  const hash = createHash("sha1").update(COLLECT).digest("hex");
  assert.deepStrictEqual(await redis.script("EXISTS", hash, hash.replace(/./g, "0")), [1, 0]);
  await redis.script("FLUSH");
  assert.deepStrictEqual(await redis.script("EXISTS", hash), [0]);
  await assert.rejects(redis.evalsha(hash, 0), /^ReplyError: NOSCRIPT No matching script/);
  assert.strictEqual((await redis.collectTwo("source:0", "source:1", 4, "sink"))[0], 44);
  const replies = await redis.pipeline().collectTwo("source:2", "source:3", 7, "sink").read("sink").exec();
  assert.deepStrictEqual(replies, [[null, [58, 2, ["a", null, 1]]], [null, "58"]]);
  const exec = await redis.multi().collect(1, "source:4", 7, "sink").get("sink").exec();
  assert.deepStrictEqual(exec, [[null, [65, 1, ["a", null, 1]]], [null, "65"]]);
  assert.deepStrictEqual(await redis.readBuffer("sink"), Buffer.from("65"));
  // What it has written before it fails stays.
  await redis.set("source:5", 5);
  await assert.rejects(redis.collectTwo("source:4", "source:5", 90, "sink"), /^ReplyError: EMPTY source:5$/);
  assert.deepStrictEqual(await redis.mget("source:4", "source:5", "sink"), ["0", "-85", "65"]);
}

// Many at once, all over the shards: what they move is neither lost nor made.
async function moves(redis) {
  const keys = Array.from({ length: 20 }, (_, number) => `source:${number}`);
  await redis.mset(keys.flatMap((key) => [key, 1000]), "sink", 0);
  const others = Array.from({ length: 4 }, () => connect({ scripts: { collect: { lua: COLLECT } } }));
  const pick = (round, of) => Array.from({ length: 3 }, (_, at) => keys[(round * 7 + of * 3 + at * 5) % keys.length]);
  const move = (own, of) =>
    Promise.all(Array.from({ length: 50 }, (_, round) => own.collect(3, ...pick(round, of), 1, "sink")));
  await Promise.all(others.map(move));
  const left = (await redis.mget(keys)).map(Number).reduce((sum, each) => sum + each);
  assert.deepStrictEqual([left, await redis.get("sink")], [20_000 - 600, "600"]);
}

async function redlock(redis) {
  const redlock = new Redlock([redis], { retryCount: 200, retryDelay: 5, retryJitter: 5 });
  const hasty = new Redlock([redis], { retryCount: 0 });
  const resources = ["locks:a", "locks:b", "locks:c"];
  const lock = await redlock.lock(resources, 10_000);
  for (const resource of resources) await assert.rejects(hasty.lock(resource, 1000), { name: "LockError" });
  await lock.extend(20_000);
  assert((await redis.pttl("locks:c")) > 10_000);
  await lock.unlock();
  await assert.rejects(lock.unlock(), { name: "LockError" });
  assert.strictEqual(await redis.exists(resources), 0);
  // One at a time is inside, each with two of the three.
  let inside = 0;
  const enter = async (_, number) => {
    const own = await redlock.lock(["locks:a", resources[1 + (number % 2)]], 10_000);
    assert.strictEqual(++inside, 1);
    await redis.incr("entered");
    inside--;
    await own.unlock();
  };
  await Promise.all(Array.from({ length: 20 }, enter));
  assert.strictEqual(await redis.get("entered"), "20");
  await hasty.lock("locks:a", 100);
  await (await redlock.lock("locks:a", 1000)).unlock();
}

async function limits(redis) {
  const limiter = new RateLimiterRedis({ storeClient: redis, points: 5, duration: 60, keyPrefix: "limits" });
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => limiter.consume("client")));
  const [granted, refused] = ["fulfilled", "rejected"].map((how) => results.filter(({ status }) => status === how));
  assert.deepStrictEqual(granted.map(({ value }) => value.remainingPoints), [4, 3, 2, 1, 0]);
  assert(granted[0].value.isFirstInDuration && !granted[1].value.isFirstInDuration);
  assert.strictEqual(refused.length, 3);
  for (const { reason } of refused) assert(reason instanceof RateLimiterRes && reason.msBeforeNext > 0, String(reason));
  assert.strictEqual((await limiter.get("client")).consumedPoints, 8);
  assert.strictEqual((await limiter.reward("client", 4)).consumedPoints, 4);
  assert.strictEqual((await limiter.penalty("client")).consumedPoints, 5);
  await limiter.block("client", 100);
  await assert.rejects(limiter.consume("client"), (reason) => reason.msBeforeNext > 60_000);
  assert(await limiter.delete("client"));
  assert.strictEqual(await limiter.get("client"), null);
  await limiter.consume("client");
  // Some a second, and some more when it has been quiet.
  const each = new RateLimiterRedis({ storeClient: redis, points: 2, duration: 1, keyPrefix: "each" });
  const burst = new RateLimiterRedis({ storeClient: redis, points: 3, duration: 60, keyPrefix: "burst" });
  const bursty = new BurstyRateLimiter(each, burst);
  const bursts = await Promise.allSettled(Array.from({ length: 7 }, () => bursty.consume("client")));
  assert.strictEqual(bursts.filter(({ status }) => status === "fulfilled").length, 5);
  await until("the second is over", async () => (await each.get("client")) === null);
  await bursty.consume("client");
  // Who comes too soon waits.
  const queued = new RateLimiterRedis({ storeClient: redis, points: 3, duration: 1, keyPrefix: "queue" });
  const queue = new RateLimiterQueue(queued);
  const from = Date.now();
  await Promise.all(Array.from({ length: 5 }, () => queue.removeTokens(1)));
  assert(Date.now() - from > 500, `not before ${Date.now() - from} ms`);
}

async function main() {
  const redis = connect();
  await redis.flushall();
  for (const check of [commands, moves, redlock, limits]) await check(redis);
  disconnectAll();
  console.log("ioredis, defineCommand; Redlock; rate-limiter-flexible: ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
