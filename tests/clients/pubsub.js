// ioredis's pub/sub against a running Troupe: `node pubsub.js PORT`. Ends non-zero at the first
// surprise.
//
// Channels and patterns, bytes as they are, and subscriptions that come back by themselves when the
// connection is lost.
"use strict";
const assert = require("node:assert");
const { connect, disconnectAll, until } = require("./connections");

async function main() {
  const [publisher, subscriber] = [connect(), connect({ retryStrategy: () => 10 })];
  const got = [];
  subscriber.on("message", (channel, message) => got.push([channel, message]));
  subscriber.on("pmessage", (pattern, channel, message) => got.push([pattern, channel, message]));
  const buffers = [];
  subscriber.on("messageBuffer", (channel, message) => buffers.push(message));
  assert.equal(await subscriber.subscribe("a", "b"), 2);
  assert.equal(await subscriber.psubscribe("a*"), 3);
  const bytes = Buffer.from([0, 255, 13, 10]);
  assert.equal(await publisher.publish("b", bytes), 1);
  assert.equal(await publisher.publish("a", "one"), 2);
  await until("three messages", () => got.length === 3);
  assert.deepEqual(got.slice(1), [["a", "one"], ["a*", "a", "one"]]);
  assert.deepEqual(buffers[0], bytes);
  assert.deepEqual(await publisher.pubsub("NUMSUB", "a", "b"), ["a", 1, "b", 1]);
  assert.equal(await publisher.client("KILL", "TYPE", "pubsub"), 1);
  await until("it subscribes anew", async () => (await publisher.publish("a", "two")) === 2);
  await until("it hears again", () => got.some((message) => message.at(-1) === "two"));
  assert.equal(await subscriber.unsubscribe("a", "b"), 1);
  assert.equal(await subscriber.punsubscribe(), 0);
  assert.equal(await publisher.publish("a", "three"), 0);
  assert.equal(await subscriber.get("nothing"), null);

  // Messages of a pipeline come in its order.
  const numbers = [];
  const listener = connect();
  listener.on("pmessage", (_pattern, _channel, message) => numbers.push(Number(message)));
  await listener.psubscribe("n*");
  const pipeline = publisher.pipeline();
  for (let number = 0; number < 1000; number += 1) pipeline.publish(`n${number % 7}`, number);
  for (const [error, receivers] of await pipeline.exec()) assert.deepEqual([error, receivers], [null, 1]);
  await until("all have come", () => numbers.length === 1000);
  assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
}

main()
  .then(() => console.log("ioredis, pub/sub: ok"))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(disconnectAll);
