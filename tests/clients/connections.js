// What the scripts on ioredis share: connections to the server under test, whose port is the first
// argument, and waiting for a state.
"use strict";
const assert = require("node:assert");
const { setTimeout: pause } = require("node:timers/promises");
const Redis = require("ioredis");

const opened = [];

function connect(options) {
  opened.push(new Redis(Number(process.argv[2]), "127.0.0.1", options));
  return opened.at(-1);
}

function disconnectAll() {
  opened.forEach((redis) => redis.disconnect());
}

async function until(what, ask) {
  const end = Date.now() + 20_000;
  while (!(await ask())) {
    assert(Date.now() < end, `waited in vain: ${what}`);
    await pause(1);
  }
}

module.exports = { connect, disconnectAll, until };
