// Sessions of express, kept by connect-redis, against a running Troupe: `node sessions.js PORT`. Ends
// non-zero at the first surprise.
"use strict";
const assert = require("node:assert");
const { RedisStore } = require("connect-redis");
const express = require("express");
const session = require("express-session");
const { createClient } = require("redis");
const { until } = require("./connections");

const VISITORS = 50;
const VISITS = 4;

// Two servers share the sessions; a visitor comes to one and to the other.
function serve(client) {
  const store = new RedisStore({ client, prefix: "visits:", ttl: 3600 });
  const app = express();
  app.use(session({ store, secret: "known", resave: false, saveUninitialized: false, name: "sid" }));
  app.get("/visit", (request, response) => {
    request.session.visits = (request.session.visits ?? 0) + 1;
    response.json({ id: request.sessionID, visits: request.session.visits });
  });
  app.get("/look", (request, response) => response.json(request.session.visits ?? null));
  app.get("/leave", (request, response, next) =>
    request.session.destroy((error) => (error ? next(error) : response.json(null))));
  app.get("/renew", (request, response, next) =>
    request.session.regenerate((error) => (error ? next(error) : response.json(request.sessionID))));
  app.get("/short", (request, response) => {
    request.session.cookie.maxAge = 1000;
    request.session.short = true;
    response.json(null);
  });
  return new Promise((listens) => {
    const server = app.listen(0, "127.0.0.1", () => listens({ server, store }));
  });
}

// A visitor keeps its cookie.
function visitor(servers) {
  const own = { cookie: "" };
  let turn = 0;
  own.get = async (path) => {
    const { port } = servers[turn++ % servers.length].server.address();
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { cookie: own.cookie } });
    assert.strictEqual(response.status, 200, await response.clone().text());
    const set = response.headers.getSetCookie();
    if (set.length > 0) own.cookie = set[0].split(";")[0];
    return response.json();
  };
  return own;
}

async function visits(servers, { store }, client) {
  const visitors = Array.from({ length: VISITORS }, () => visitor(servers));
  const visit = async (own) => {
    for (let visit = 1; visit <= VISITS; visit++) {
      const said = await own.get("/visit");
      assert.strictEqual(said.visits, visit);
      own.id = said.id;
    }
  };
  await Promise.all(visitors.map(visit));
  const ids = visitors.map((own) => own.id).sort();
  assert.deepStrictEqual((await store.ids()).sort(), ids);
  assert.strictEqual(await store.length(), VISITORS);
  assert((await store.all()).every((each) => each.visits === VISITS));
  const ttl = await client.ttl(`visits:${ids[0]}`);
  assert(ttl > 3500 && ttl <= 3600, `${ttl} s`);
  // To look at it puts off its end.
  await client.expire(`visits:${visitors[0].id}`, 10);
  assert.strictEqual(await visitors[0].get("/look"), VISITS);
  await until("its end is put off", async () => (await client.ttl(`visits:${visitors[0].id}`)) > 3500);
  await visitors[0].get("/leave");
  assert.strictEqual(await client.exists(`visits:${visitors[0].id}`), 0);
  assert.strictEqual(await visitors[0].get("/look"), null);
  const renewed = await visitors[1].get("/renew");
  assert(renewed !== visitors[1].id && (await client.exists(`visits:${visitors[1].id}`)) === 0);
  assert.strictEqual(await visitors[1].get("/look"), null);
  await visitors[2].get("/short");
  await until("it has ended", async () => (await client.exists(`visits:${visitors[2].id}`)) === 0);
  await store.clear();
  assert.deepStrictEqual(await client.keys("*"), ["other"]);
}

async function main() {
  const client = await createClient({ url: `redis://127.0.0.1:${process.argv[2]}` })
    .on("error", (error) => { throw error; })
    .connect();
  await client.flushAll();
  await client.set("other", "kept");
  const servers = [await serve(client), await serve(client)];
  await visits(servers, servers[0], client);
  servers.forEach(({ server }) => server.close() && server.closeAllConnections());
  await client.close();
  console.log("connect-redis: ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
