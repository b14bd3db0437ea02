"""arq, a job queue on asyncio, against a running Troupe: `arq_jobs.py PORT`. Ends non-zero at the first
surprise.

All of it is there: producers and workers, results, jobs that are deferred, tried again or aborted.
"""

import asyncio
import logging
import sys
from collections import Counter
from datetime import timedelta

from arq import Retry, create_pool
from arq.connections import RedisSettings
from arq.jobs import Job, JobStatus
from arq.worker import Worker, func

PORT = int(sys.argv[1])
JOBS = 60


async def main():
    """Three workers at one queue: each job is run once, but for those that ask to be tried again."""
    ran = Counter()

    async def add(ctx, left, right):
        ran[ctx["job_id"]] += 1
        return left + right

    async def stubborn(ctx):
        ran[ctx["job_id"]] += 1
        if ctx["job_try"] < 3:
            raise Retry(defer=0.01)
        return ctx["job_try"]

    async def broken(ctx):
        raise ValueError("on purpose")

    async def endless(ctx):
        await asyncio.Event().wait()

    pool = await create_pool(RedisSettings(port=PORT))
    await pool.flushall()
    sums = [await pool.enqueue_job("add", number, number) for number in range(JOBS)]
    assert await pool.enqueue_job("add", 1, 1, _job_id="one") is not None
    assert await pool.enqueue_job("add", 1, 1, _job_id="one") is None, "there is one of that name"
    again = await pool.enqueue_job("stubborn")
    later = await pool.enqueue_job("add", 20, 22, _defer_by=timedelta(milliseconds=200))
    fails = await pool.enqueue_job("broken")
    aborted = await pool.enqueue_job("endless")
    assert await later.status() == JobStatus.deferred and await sums[0].status() == JobStatus.queued
    assert len(await pool.queued_jobs()) == JOBS + 5

    functions = [func(function, name=function.__name__) for function in (add, stubborn, broken, endless)]
    options = dict(burst=True, poll_delay=0.02, allow_abort_jobs=True, handle_signals=False, max_jobs=5)
    settings = RedisSettings(port=PORT)
    workers = [Worker(functions=functions, redis_settings=settings, **options) for _ in range(3)]

    async def abort():
        while await aborted.status() != JobStatus.in_progress:
            await asyncio.sleep(0.01)
        return await aborted.abort(timeout=10, poll_delay=0.02)

    *_, was_aborted = await asyncio.gather(*(worker.async_run() for worker in workers), abort())
    assert was_aborted
    assert [await job.result(timeout=1) for job in sums] == [2 * number for number in range(JOBS)]
    assert await again.result(timeout=1) == 3 and await later.result(timeout=1) == 42
    try:
        await fails.result(timeout=1)
        raise AssertionError("it has failed")
    except ValueError as error:
        assert str(error) == "on purpose"
    one = await Job("one", pool).result_info()
    assert one.success and one.result == 2 and one.function == "add"
    expected = {job.job_id: 1 for job in sums + [later]} | {"one": 1, again.job_id: 3}
    assert ran == expected, ran
    assert await pool.zcard("arq:queue") == 0 and not await pool.keys("arq:in-progress:*")
    done = Counter()
    for worker in workers:
        done.update(complete=worker.jobs_complete, retried=worker.jobs_retried, failed=worker.jobs_failed)
        await worker.close()
    assert (done["complete"], done["failed"]) == (JOBS + 3, 2), done
    await pool.aclose()
    print("arq: ok")


# One job fails on purpose, and one is aborted.
logging.disable()
asyncio.run(main())
