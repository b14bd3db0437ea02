// Two servers of socket.io, joined by its Redis adapter on ioredis, against a running Troupe:
// `node adapter.js PORT`. Ends non-zero at the first surprise.
//
// Whatever one server says to clients, rooms or servers, reaches those of the other by way of Troupe: by
// channels and patterns, and with the sharded adapter by channels of shards.
"use strict";
const assert = require("node:assert");
const { createServer } = require("node:http");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const { Server } = require("socket.io");
const { io: open } = require("socket.io-client");
const { connect, disconnectAll, until } = require("./connections");

const MESSAGES = 200;
const CLIENTS = 3;

// A server, with so many clients; each notes what it hears.
async function serve(adapter) {
  const http = createServer();
  const io = new Server(http, { adapter });
  await new Promise((listens) => http.listen(0, "127.0.0.1", listens));
  const clients = Array.from({ length: CLIENTS }, () => {
    const client = open(`http://127.0.0.1:${http.address().port}`, { transports: ["websocket"], reconnection: false });
    client.heard = [];
    client.onAny((...said) => client.heard.push(said));
    client.on("question", (text, answer) => answer(`${text}: ${client.id}`));
    return client;
  });
  await until("its clients are there", () => clients.every((client) => client.connected));
  return { io, clients };
}

// All of these hear it next, and nobody else has heard anything.
async function hear(all, hearers, ...said) {
  await until(`${said} is heard`, () => hearers.every((client) => client.heard.length > 0));
  for (const client of all) assert.deepEqual(client.heard.splice(0), hearers.includes(client) ? [said] : []);
}

async function broadcasts(left, right, all) {
  left.io.emit("news", "one", { nested: [1, null] });
  await hear(all, all, "news", "one", { nested: [1, null] });
  const bytes = Buffer.from([0, 255, 13, 10]);
  right.io.emit("bytes", bytes);
  await hear(all, all, "bytes", bytes);
  left.io.local.emit("news", "here");
  right.io.local.emit("news", "here");
  await hear(all, all, "news", "here");
  for (let number = 0; number < MESSAGES; number += 1) left.io.emit("number", number);
  await until("all have come", () => all.every((client) => client.heard.length === MESSAGES));
  const expected = Array.from({ length: MESSAGES }, (_, number) => ["number", number]);
  all.forEach((client) => assert.deepEqual(client.heard.splice(0), expected));
}

async function rooms(left, right, all, redis) {
  // Who is in a room is said by either server, of clients of both.
  const members = [left.clients[0], right.clients[0], right.clients[1]];
  const ids = members.map((client) => client.id);
  left.io.in(ids).socketsJoin("room");
  const present = async () => (await right.io.in("room").fetchSockets()).map((socket) => socket.id);
  await until("all have joined", async () => (await present()).length === members.length);
  assert.deepEqual((await present()).sort(), [...ids].sort());
  // The sharded adapter has a channel for it, to which both subscribe meanwhile.
  const listening = async (channel) => (await redis.pubsub("SHARDNUMSUB", channel))[1] === 2;
  const sharded = (await redis.pubsub("SHARDCHANNELS")).length > 0;
  await until("both listen", async () => !sharded || (await listening("socket.io#/#room#")));
  left.io.to("room").emit("inside", 1);
  await hear(all, members, "inside", 1);
  right.io.except("room").emit("outside");
  await hear(all, all.filter((client) => !members.includes(client)), "outside");
  left.io.to(["room", all[1].id]).except(ids[0]).emit("some");
  await hear(all, [all[1], members[1], members[2]], "some");
  // A client says it to the others.
  left.io.sockets.sockets.get(ids[0]).to("room").emit("others");
  await hear(all, members.slice(1), "others");
  right.io.in(ids[0]).socketsLeave("room");
  await until("one has left", async () => (await present()).length === 2);
  left.io.to("room").emit("inside", 2);
  await hear(all, members.slice(1), "inside", 2);
}

async function sockets(left, right, all) {
  left.io.sockets.sockets.get(left.clients[1].id).data.name = "first";
  const found = await right.io.fetchSockets();
  assert.deepEqual(found.map((socket) => socket.id).sort(), all.map((client) => client.id).sort());
  const first = found.find((socket) => socket.data.name === "first");
  assert.equal(first.id, left.clients[1].id);
  first.emit("to one");
  await hear(all, [left.clients[1]], "to one");
  const answers = await left.io.timeout(20_000).emitWithAck("question", "who");
  assert.deepEqual(answers.sort(), all.map((client) => `who: ${client.id}`).sort());
  all.forEach((client) => client.heard.splice(0));
}

async function servers(left, right) {
  const heard = [];
  for (const [name, { io }] of Object.entries({ left, right })) {
    io.on("note", (...said) => heard.push([name, ...said]));
    io.on("sum", (one, other, answer) => answer({ name, sum: one + other }));
  }
  left.io.serverSideEmit("note", "x", 1);
  await until("the other one hears it", () => heard.length > 0);
  assert.deepEqual(heard, [["right", "x", 1]]);
  assert.deepEqual(await left.io.serverSideEmitWithAck("sum", 20, 22), [{ name: "right", sum: 42 }]);
  assert.deepEqual(await right.io.serverSideEmitWithAck("sum", 1, 2), [{ name: "left", sum: 3 }]);
}

async function both(create, options) {
  const redis = connect();
  const left = await serve(create(connect(), connect(), options));
  const right = await serve(create(connect(), connect(), options));
  const all = [...left.clients, ...right.clients];
  const knows = async ({ io }) => (await io.of("/").adapter.serverCount()) === 2;
  await until("they know each other", async () => (await knows(left)) && (await knows(right)));
  for (const check of [broadcasts, rooms, sockets, servers]) await check(left, right, all, redis);
  right.io.in(left.clients[0].id).disconnectSockets();
  await until("it is sent away", () => !left.clients[0].connected);
  all.slice(1).forEach((client) => assert(client.connected));
  await Promise.all([left.io.close(), right.io.close()]);
  await until("nothing is subscribed to", async () => {
    const channels = [...(await redis.pubsub("CHANNELS")), ...(await redis.pubsub("SHARDCHANNELS"))];
    return channels.length === 0 && (await redis.pubsub("NUMPAT")) === 0;
  });
}

async function main() {
  await both(createAdapter);
  await both(createShardedAdapter, { subscriptionMode: "dynamic" });
}

main()
  .then(() => console.log("socket.io, Redis adapter: ok"))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => {
    disconnectAll();
    // The adapter keeps a timer for answers that have all come.
    process.exit();
  });
