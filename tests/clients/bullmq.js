// BullMQ against a running Troupe: `node bullmq.js PORT`. Ends non-zero at the first surprise.
//
// Its prefix is the default one, without a hash tag: the keys of a queue are on all shards, and most of
// its scripts build the names of keys that they do not declare.
"use strict";
const assert = require("node:assert");
const { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } = require("bullmq");
const { connect, disconnectAll, until } = require("./connections");

const JOBS = 100;
const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };
const opened = [];

// A queue, a worker or whatever else has connections; closed at the end of a check.
function open(Kind, ...settings) {
  const options = typeof settings.at(-1) === "object" ? settings.pop() : {};
  opened.push(new Kind(...settings, { connection, ...options }));
  opened.at(-1).setMaxListeners(0);
  return opened.at(-1);
}

// A worker; what goes wrong in it, and not in its jobs, is noted.
function work(name, process, options = {}) {
  const worker = open(Worker, name, process, options);
  worker.errors = [];
  worker.on("error", (error) => worker.errors.push(error.message));
  return worker;
}

// Events of a queue, from its first on.
async function listen(name) {
  const events = open(QueueEvents, name, { lastEventId: "0" });
  events.heard = [];
  const kinds = ["active", "completed", "delayed", "failed", "paused", "progress", "resumed", "stalled"];
  for (const kind of kinds) events.on(kind, ({ jobId }) => events.heard.push(jobId ? `${kind} ${jobId}` : kind));
  await events.waitUntilReady();
  return events;
}

function counted(queue, expected) {
  const says = async () => {
    const counts = await queue.getJobCounts();
    return Object.entries(counts).every(([state, count]) => count === (expected[state] ?? 0));
  };
  return until(`${queue.name} has ${JSON.stringify(expected)}`, says);
}

// Three workers at one queue: each job is run once.
async function bulk() {
  const queue = open(Queue, "bulk");
  const ran = [];
  const run = async (job) => ran.push(job.data.number) && { doubled: job.data.number * 2 };
  const workers = [1, 2, 3].map(() => work("bulk", run, { concurrency: 5 }));
  const events = await listen("bulk");
  const numbers = Array.from({ length: JOBS }, (_, number) => number);
  const half = numbers.splice(JOBS / 2);
  const jobs = await queue.addBulk(numbers.map((number) => ({ name: "double", data: { number } })));
  for (const number of half) jobs.push(await queue.add("double", { number }));
  const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
  results.forEach(({ doubled }, number) => assert.strictEqual(doubled, 2 * number));
  ran.sort((a, b) => a - b).forEach((number, at) => assert.strictEqual(number, at));
  assert.strictEqual(ran.length, JOBS);
  await counted(queue, { completed: JOBS });
  assert.deepStrictEqual(workers.flatMap((worker) => worker.errors), []);
  // A job of that name is not added again, nor one that stands for the same.
  await queue.pause();
  const [one, other] = [await queue.add("own", {}, { jobId: "own" }), await queue.add("own", {}, { jobId: "own" })];
  assert.strictEqual(one.id, other.id);
  const same = { deduplication: { id: "same", ttl: 60_000 } };
  const [first, second] = [await queue.add("one", {}, same), await queue.add("one", {}, same)];
  assert.strictEqual(first.id, second.id);
  await counted(queue, { completed: JOBS, waiting: 2 });
  assert.strictEqual(await queue.remove("own"), 1);
  assert.strictEqual((await queue.clean(0, 1000, "completed")).length, JOBS);
  await queue.drain();
  await counted(queue, {});
}

async function delays() {
  const queue = open(Queue, "delays");
  const events = await listen("delays");
  const ran = [];
  work("delays", async (job) => ran.push([job.name, Date.now() - job.timestamp]));
  const promoted = await queue.add("promoted", {}, { delay: 1_000_000 });
  await counted(queue, { delayed: 1 });
  assert.strictEqual(await promoted.getState(), "delayed");
  await promoted.promote();
  await promoted.waitUntilFinished(events);
  const waits = (name, delay) => ({ name, data: {}, opts: { delay } });
  const jobs = await queue.addBulk([waits("late", 300), waits("soon", 100)]);
  await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
  assert.deepStrictEqual(ran.map(([name]) => name), ["promoted", "soon", "late"]);
  assert(ran[1][1] >= 100 && ran[2][1] >= 300, String(ran));
  assert(events.heard.includes(`delayed ${jobs[0].id}`), String(events.heard));
  const changed = await queue.add("changed", {}, { delay: 1_000_000 });
  await changed.changeDelay(20);
  await changed.waitUntilFinished(events);
}

async function retries() {
  const queue = open(Queue, "retries");
  const events = await listen("retries");
  const tries = [];
  const run = async (job) => {
    if (job.name === "never") throw new UnrecoverableError("on purpose");
    tries.push(Date.now());
    if (job.attemptsMade < job.data.fails) throw new Error("on purpose");
    return job.attemptsMade;
  };
  work("retries", run);
  const backoff = { type: "exponential", delay: 50 };
  const stubborn = await queue.add("stubborn", { fails: 2 }, { attempts: 3, backoff });
  assert.strictEqual(await stubborn.waitUntilFinished(events), 2);
  const waited = tries.slice(1).map((time, at) => time - tries[at]);
  assert(waited.length === 2 && waited[0] >= 50 && waited[1] >= 100, String(waited));
  const hopeless = await queue.add("hopeless", { fails: 3 }, { attempts: 2, backoff: 1 });
  await assert.rejects(hopeless.waitUntilFinished(events), /on purpose/);
  const never = await queue.add("never", {}, { attempts: 5 });
  await assert.rejects(never.waitUntilFinished(events), /on purpose/);
  const failed = await queue.getFailed();
  assert.deepStrictEqual(failed.map((job) => [job.name, job.attemptsMade]), [["never", 1], ["hopeless", 2]]);
  await failed[1].updateData({ fails: 0 });
  await failed[1].retry();
  await failed[1].waitUntilFinished(events);
  await counted(queue, { completed: 2, failed: 1 });
  await queue.retryJobs();
  await until("it has failed again", async () => (await queue.getJob(never.id)).attemptsMade === 2);
}

// At most three jobs a quarter of a second, and a pause that a job asks for.
async function rates() {
  const queue = open(Queue, "rates");
  const events = await listen("rates");
  const [max, duration] = [3, 250];
  const ran = [];
  let limited = false;
  const run = async (job) => {
    if (job.name === "limits" && !limited) {
      limited = true;
      await worker.rateLimit(200);
      throw Worker.RateLimitError();
    }
    ran.push(Date.now());
  };
  const worker = work("rates", run, { limiter: { max, duration }, concurrency: 5 });
  const jobs = await queue.addBulk(Array.from({ length: 3 * max }, () => ({ name: "job", data: {} })));
  await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
  const from = ran[0];
  assert.strictEqual(ran.length, 3 * max);
  assert(ran.at(-1) - from >= 2 * duration - 50, `all have run after ${ran.at(-1) - from} ms`);
  const asks = await queue.add("limits", {});
  await until("it is limited", () => limited);
  await asks.waitUntilFinished(events);
  assert(ran.at(-1) - asks.timestamp >= 200, `it has run after ${ran.at(-1) - asks.timestamp} ms`);
}

async function priorities() {
  const queue = open(Queue, "priorities");
  const ran = [];
  await queue.pause();
  for (const [name, options] of [
    ["fifth", { priority: 9 }],
    ["fourth", { priority: 2 }],
    ["second", {}],
    ["first", { lifo: true }],
    ["third", { priority: 1 }],
    ["last", { priority: 9 }],
  ]) await queue.add(name, {}, options);
  const changed = await queue.add("sixth", {}, { priority: 1 });
  await changed.changePriority({ priority: 10 });
  await counted(queue, { waiting: 2, prioritized: 5 });
  assert.deepStrictEqual(await queue.getCountsPerPriority([0, 1, 2, 9, 10]), { 0: 2, 1: 1, 2: 1, 9: 2, 10: 1 });
  work("priorities", async (job) => ran.push(job.name));
  await queue.resume();
  await counted(queue, { completed: 7 });
  assert.deepStrictEqual(ran, ["first", "second", "third", "fourth", "fifth", "last", "sixth"]);
}

// Jobs that wait for others, in other queues.
async function flows() {
  const [dishes, parts] = [open(Queue, "dishes"), open(Queue, "parts")];
  const events = await listen("dishes");
  const bake = async (job) => {
    const values = Object.values(await job.getChildrenValues());
    return values.reduce((sum, value) => sum + value, job.data.own);
  };
  work("dishes", bake);
  work("parts", async (job) => {
    if (job.data.broken) throw new Error("broken");
    return job.data.value;
  }, { concurrency: 3 });
  const producer = open(FlowProducer);
  const part = (value) => ({ name: "part", queueName: "parts", data: { value } });
  const inner = { name: "inner", queueName: "dishes", data: { own: 100 }, children: [part(10), part(20)] };
  const children = [part(1), part(2), inner];
  const flow = await producer.add({ name: "dish", queueName: "dishes", data: { own: 1000 }, children });
  assert.strictEqual(await flow.job.waitUntilFinished(events), 1133);
  assert.strictEqual((await flow.job.getDependenciesCount()).processed, 3);
  const tree = await producer.getFlow({ id: flow.job.id, queueName: "dishes" });
  assert.strictEqual(tree.children.length, 3);
  const broken = (options) => ({ name: "part", queueName: "parts", data: { broken: true }, opts: options });
  const dish = (child) => ({ name: "dish", queueName: "dishes", data: { own: 5 }, children: [part(1), child] });
  const [fails, ignores] = await producer.addBulk([
    dish(broken({ failParentOnFailure: true })),
    dish(broken({ ignoreDependencyOnFailure: true })),
  ]);
  await assert.rejects(fails.job.waitUntilFinished(events), /child .* failed/);
  assert.strictEqual(await ignores.job.waitUntilFinished(events), 6);
  // One that waits, and goes with those that it waits for.
  await parts.pause();
  const waits = await producer.add({ name: "dish", queueName: "dishes", data: {}, children: [part(1), part(2)] });
  assert.strictEqual(await waits.job.getState(), "waiting-children");
  await waits.job.remove();
  assert.strictEqual(await parts.getWaitingCount(), 0);
}

async function schedules() {
  const queue = open(Queue, "schedules");
  const ran = [];
  work("schedules", async (job) => ran.push(job.data.of));
  await queue.upsertJobScheduler("often", { every: 50, limit: 4 }, { name: "tick", data: { of: "often" } });
  await queue.upsertJobScheduler("rarely", { pattern: "0 0 3 29 2 *" }, { name: "tock", data: { of: "rarely" } });
  await until("it has run four times", () => ran.length === 4);
  const { key, pattern, template } = await queue.getJobScheduler("rarely");
  assert.deepStrictEqual([key, pattern, template.data.of], ["rarely", "0 0 3 29 2 *", "rarely"]);
  // It is put off, by another time.
  await queue.upsertJobScheduler("rarely", { every: 100 }, { name: "tock", data: { of: "often enough" } });
  await until("it runs", () => ran.filter((of) => of === "often enough").length >= 2);
  for (const name of ["often", "rarely"]) assert(await queue.removeJobScheduler(name));
  assert.strictEqual(await queue.getJobSchedulersCount(), 0);
  assert.deepStrictEqual(ran.filter((of) => of !== "often enough"), Array(4).fill("often"));
}

// What a worker has begun and lets lie, another one takes; but only so often.
async function stalls() {
  const queue = open(Queue, "stalls");
  const events = await listen("stalls");
  const check = { stalledInterval: 50, maxStalledCount: 1 };
  const lies = { skipLockRenewal: true, lockDuration: 100, concurrency: 3, ...check };
  const ends = [];
  const began = [];
  const lie = (job) => {
    began.push(job.name);
    return new Promise((end) => ends.push(end));
  };
  const lazy = work("stalls", lie, lies);
  const job = await queue.add("job", {}, { jobId: "begun" });
  // The same worker takes it again, and it stalls once too often.
  await assert.rejects(job.waitUntilFinished(events), /stalled more than allowable limit/);
  assert.deepStrictEqual(began, ["job", "job"]);
  assert(events.heard.includes("stalled begun"), String(events.heard));
  ends.splice(0).forEach((end) => end());
  await until("what comes too late is refused", () => lazy.errors.some((error) => error.startsWith("Missing lock")));
  const next = await queue.add("next", {}, { jobId: "next" });
  await until("the next one is begun", () => began.includes("next"));
  const closed = lazy.close(true);
  work("stalls", async () => "done", check);
  assert.strictEqual(await next.waitUntilFinished(events), "done");
  ends.forEach((end) => end());
  await closed;
}

async function pauses() {
  const queue = open(Queue, "pauses");
  const events = await listen("pauses");
  const worker = work("pauses", async (job) => {
    await job.updateProgress({ half: true });
    await job.log("half");
  });
  await queue.pause();
  assert(await queue.isPaused());
  const jobs = await queue.addBulk(["a", "b", "c"].map((name) => ({ name, data: {} })));
  await counted(queue, { waiting: 3 });
  await queue.resume();
  await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
  assert.deepStrictEqual((await queue.getJobLogs(jobs[0].id)).logs, ["half"]);
  assert.deepStrictEqual((await queue.getJob(jobs[0].id)).progress, { half: true });
  await worker.pause();
  const waits = await queue.add("d", {});
  await counted(queue, { completed: 3, waiting: 1 });
  worker.resume();
  await waits.waitUntilFinished(events);
  const ofOne = (id) => ["active", "progress", "completed"].map((kind) => `${kind} ${id}`);
  const expected = ["paused", "resumed", ...[...jobs, waits].flatMap((job) => ofOne(job.id))];
  await until("all events are there", () => events.heard.length >= expected.length);
  assert.deepStrictEqual(events.heard, expected);
}

async function main() {
  const redis = connect();
  await redis.flushall();
  for (const check of [bulk, delays, retries, rates, priorities, flows, schedules, stalls, pauses]) {
    await check();
    const queues = opened.filter((one) => one instanceof Queue);
    await Promise.all(opened.filter((one) => one instanceof Worker).map((one) => one.close()));
    for (const queue of queues) await queue.obliterate({ force: true });
    await Promise.all(opened.splice(0).map((one) => one.close()));
  }
  const left = (await redis.keys("*")).sort();
  assert.deepStrictEqual(left, [], "obliterated queues leave nothing");
  disconnectAll();
  console.log("BullMQ: ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
