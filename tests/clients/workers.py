"""RQ's worker against a running Troupe: `workers.py PORT`. Ends non-zero at the first surprise.

The worker takes jobs, and obeys the commands that it hears on its channel: it stops the job that it runs,
kills the process that runs one, and ends. Its scheduler, in a process of its own, adds what is due; it
gives its locks back by a script.
"""

import multiprocessing
import sys
import time
from datetime import timedelta

import redis
from rq import Queue, Worker
from rq.command import send_kill_horse_command, send_shutdown_command, send_stop_job_command
from rq.job import JobStatus

PORT = int(sys.argv[1])
JOBS = 50
SOON = 30


def work():
    worker = Worker(["default"], connection=redis.Redis(port=PORT), name="worker")
    worker.work(logging_level="ERROR", with_scheduler=True)


def until(what, ask):
    end = time.monotonic() + SOON
    while not ask():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.01)


def rq():
    connection = redis.Redis(port=PORT)
    connection.flushall()
    queue = Queue(connection=connection)
    worker = multiprocessing.Process(target=work)
    worker.start()
    jobs = [queue.enqueue("math.sqrt", number, result_ttl=100) for number in range(JOBS)]
    after = queue.enqueue("math.sqrt", 9, depends_on=jobs[-1])
    later = queue.enqueue_in(timedelta(seconds=0.5), "math.sqrt", 16)
    endless = queue.enqueue("time.sleep", 1000, depends_on=after)
    until("the last job runs", lambda: endless.get_status(refresh=True) == JobStatus.STARTED)
    assert [job.return_value() for job in jobs] == [number**0.5 for number in range(JOBS)]
    assert after.return_value() == 3
    send_stop_job_command(connection, endless.id)
    until("it is stopped", lambda: endless.get_status(refresh=True) == JobStatus.STOPPED)
    until("what was put off has run", lambda: later.return_value() == 4)
    doomed = queue.enqueue("time.sleep", 1000)
    until("the next one runs", lambda: doomed.get_status(refresh=True) == JobStatus.STARTED)
    send_kill_horse_command(connection, "worker")
    until("it has failed", lambda: doomed.get_status(refresh=True) == JobStatus.FAILED)
    assert set(queue.failed_job_registry.get_job_ids()) == {endless.id, doomed.id}
    send_shutdown_command(connection, "worker")
    worker.join(SOON)
    assert worker.exitcode == 0, worker.exitcode
    assert connection.keys("rq:scheduler-lock:*") == []
    assert connection.pubsub_channels() == []
    connection.close()


if __name__ == "__main__":
    rq()
    print("RQ, worker: ok")
