#!/usr/bin/env node
// Jobs of BullMQ in several servers, side by side in one run.
//
//     tests/peers.sh start valkey 7001                    # prints its process id
//     taskset -pca 0 PID
//     taskset -c 0 target/release/troupe --port 7002 --shards 1 --save ''
//     NODE_PATH=target/node/node_modules taskset -c 1 tests/measure/jobs.js valkey=7001 troupe=7002
//
// `add` is to add so many jobs, each by a call of its own, from a few clients that have up to 50 calls
// under way each; `process` is to take and complete them all, by a few workers that each run up to 50 at
// once. Round after round the servers are measured in turn, each empty at first. Printed are the medians:
// jobs a second, and user + system time of the server's process a job, in microseconds, from /proc. The
// load comes from this program, on another core, and bounds the rate.
"use strict";
const { execFileSync } = require("node:child_process");
const { once } = require("node:events");
const { readFileSync } = require("node:fs");
const { parseArgs } = require("node:util");
const { Queue, Worker } = require("bullmq");
const Redis = require("ioredis");

const AT_ONCE = 50;
const TICKS = Number(execFileSync("getconf", ["CLK_TCK"]));

// User and system time of all threads of a process so far, in seconds.
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

function median(values) {
  return values.sort((one, other) => one - other)[values.length >> 1];
}

// Microseconds of the server and jobs a second, of what adds or processes so many jobs.
async function measured(pid, jobs, run) {
  const [cpu, from] = [cpuSeconds(pid), performance.now()];
  await run();
  const seconds = (performance.now() - from) / 1000;
  return { micros: ((cpuSeconds(pid) - cpu) / jobs) * 1e6, rate: jobs / seconds };
}

async function round(port, { jobs, clients }) {
  const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
  const redis = new Redis(connection);
  await redis.flushall();
  const pid = (await redis.info("server")).match(/process_id:(\d+)/)[1];
  const queues = Array.from({ length: clients }, () => new Queue("jobs", { connection }));
  await Promise.all(queues.map((queue) => queue.waitUntilReady()));
  let left = jobs;
  const add = async (queue) => {
    while (left-- > 0) await queue.add("job", { number: left, text: "x".repeat(64) });
  };
  const adding = () => Promise.all(queues.flatMap((queue) => Array.from({ length: AT_ONCE }, () => add(queue))));
  const added = await measured(pid, jobs, adding);

  let ran = 0;
  const options = { connection, autorun: false, concurrency: AT_ONCE, removeOnComplete: { count: 0 } };
  const workers = Array.from({ length: clients }, () => new Worker("jobs", async () => null, options));
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  const processing = () =>
    new Promise((done, failed) => {
      for (const worker of workers) {
        worker.on("completed", () => ++ran === jobs && done());
        worker.on("error", failed);
        worker.run().catch(failed);
      }
    });
  const processed = await measured(pid, jobs, processing);
  await Promise.all([...workers, ...queues].map((one) => one.close()));
  redis.disconnect();
  await once(redis, "end");
  return { add: added, process: processed };
}

async function main() {
  const number = (value) => ({ type: "string", default: String(value) });
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { jobs: number(10_000), clients: number(4), rounds: number(5) },
  });
  const servers = positionals.map((each) => each.split("="));
  if (servers.length === 0 || servers.some(([, port]) => !(port > 0))) {
    console.error("usage: jobs.js NAME=PORT ... [--jobs 10000] [--clients 4] [--rounds 5]");
    process.exit(2);
  }
  const settings = { jobs: Number(values.jobs), clients: Number(values.clients) };
  const rounds = Object.fromEntries(servers.map(([name]) => [name, []]));
  for (let count = 0; count < Number(values.rounds); count++)
    for (const [name, port] of servers) rounds[name].push(await round(Number(port), settings));
  console.log("| server | add /s | add us | process /s | process us | both us, ratio |");
  console.log("| --- | --- | --- | --- | --- | --- |");
  let first;
  for (const [name] of servers) {
    const of = (load, what) => median(rounds[name].map((each) => each[load][what]));
    const both = of("add", "micros") + of("process", "micros");
    first ??= both;
    const columns = ["add", "process"].flatMap((load) => [of(load, "rate").toFixed(0), of(load, "micros").toFixed(1)]);
    console.log(`| ${name} | ${columns.join(" | ")} | ${both.toFixed(1)}, ${(both / first).toFixed(2)} |`);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
