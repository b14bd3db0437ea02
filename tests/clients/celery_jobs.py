"""Celery against a running Troupe: `celery_jobs.py PORT`. Ends non-zero at the first surprise.

Troupe is its broker, in one database, and keeps its results, in another. A worker takes jobs, sends events
and obeys commands; what a worker that was killed had begun, another one takes up.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings

import redis
from celery import Celery, chain, chord, group
from celery.exceptions import ChordError, TaskRevokedError

PORT = int(sys.argv[1])
JOBS = 50
SOON = 20

app = Celery("jobs", broker=f"redis://127.0.0.1:{PORT}/0", backend=f"redis://127.0.0.1:{PORT}/1")
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_send_sent_event=True,
    task_track_started=True,
    worker_hijack_root_logger=False,
    worker_send_task_events=True,
)


@app.task(name="add")
def add(left, right):
    return left + right


@app.task(name="total")
def total(numbers):
    return sum(numbers)


@app.task(name="stubborn", bind=True, max_retries=3)
def stubborn(self, fails):
    if self.request.retries < fails:
        raise self.retry(countdown=0.05)
    return self.request.retries


@app.task(name="broken")
def broken():
    raise ValueError("on purpose")


@app.task(name="sleepy")
def sleepy(seconds):
    time.sleep(seconds)


@app.task(name="interrupted", acks_late=True)
def interrupted():
    """Never ends for whoever begins it first."""
    with redis.Redis(port=PORT) as connection:
        if connection.incr("begun") == 1:
            time.sleep(1000)
    return "done"


def until(what, ask):
    end = time.monotonic() + SOON
    while not ask():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.01)


def work(pool, options):
    # So that its children go with it.
    os.setsid()
    app.conf.broker_transport_options = options
    # That it runs as root it says aloud. There is no other worker, whose state it would ask for.
    warnings.simplefilter("ignore")
    worker = app.Worker(pool=pool, concurrency=3, loglevel="CRITICAL", quiet=True, without_mingle=True)
    worker.start()
    sys.exit(worker.exitcode)


@contextlib.contextmanager
def worker(pool="prefork", **options):
    process = multiprocessing.get_context("spawn").Process(target=work, args=(pool, options))
    process.start()
    try:
        until("the worker is there", lambda: app.control.ping(timeout=0.1, limit=1))
        yield process
        # Unless the check has killed it.
        if process.is_alive():
            process.terminate()
            process.join(SOON)
            assert process.exitcode == 0, f"the worker ended with {process.exitcode}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()


def jobs():
    """Jobs of every kind, and their results."""
    results = group(add.s(number, number) for number in range(JOBS))()
    assert results.get(timeout=SOON) == [2 * number for number in range(JOBS)]
    assert stubborn.delay(3).get(timeout=SOON) == 3
    result = broken.delay()
    try:
        result.get(timeout=SOON)
        raise AssertionError("it has failed")
    except ValueError as error:
        assert str(error) == "on purpose"
    assert result.state == "FAILURE" and "ValueError" in result.traceback
    assert chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=SOON) == 10
    ignored = add.apply_async((1, 1), ignore_result=True)
    result.forget()
    assert result.state == "PENDING" and ignored.get(timeout=SOON) is None


def countdown():
    """What is to run later runs later."""
    at = time.monotonic()
    result = add.apply_async((20, 22), countdown=0.5)
    assert result.get(timeout=SOON) == 42
    assert time.monotonic() - at >= 0.5


def chords():
    """What runs when all of others are done: once, with the results of all."""
    parts = [add.s(number, 1) for number in range(JOBS)]
    result = chord(parts)(total.s())
    nested = chord([chord([add.s(1, 2), add.s(3, 4)], total.s()), group(add.s(5, 6), add.s(7, 8)) | total.s()])
    other = nested(total.s())
    assert result.get(timeout=SOON) == JOBS * (JOBS + 1) // 2
    assert other.get(timeout=SOON) == 36
    failed = chord([add.s(1, 1), broken.s()])(total.s())
    until("one of them has failed", lambda: failed.state == "FAILURE")
    assert isinstance(failed.result, ChordError) and "on purpose" in str(failed.result)


def revoked():
    """One that runs is ended, and one that waits never runs."""
    runs = sleepy.delay(1000)
    waits = sleepy.apply_async((1000,), countdown=1000)
    until("it runs", lambda: runs.state == "STARTED")
    inspect = app.control.inspect(limit=1, timeout=1)
    until("the other is scheduled", lambda: any((inspect.scheduled() or {}).values()))
    app.control.revoke(waits.id)
    runs.revoke(terminate=True, signal="SIGKILL")
    until("it has ended", lambda: runs.state == "REVOKED")
    assert isinstance(runs.result, TaskRevokedError)
    said = lambda: list((inspect.revoked() or {}).values())
    until("both are revoked", lambda: any({runs.id, waits.id} <= set(ids) for ids in said()))


class Events(threading.Thread):
    """All events of workers and jobs."""

    def __init__(self):
        super().__init__()
        self.heard = []
        self.ends = False

    def run(self):
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": self.heard.append})
            while not self.ends:
                with contextlib.suppress(TimeoutError):
                    receiver.capture(limit=None, timeout=0.2, wakeup=False)

    def of(self, result):
        return [event["type"] for event in list(self.heard) if event.get("uuid") == result.id]


def events(heard):
    kinds = lambda: {event["type"] for event in list(heard.heard)}
    app.control.broadcast("heartbeat")
    until("the worker's heart beats", lambda: "worker-heartbeat" in kinds())
    result = add.delay(1, 2)
    assert result.get(timeout=SOON) == 3
    expected = ["task-sent", "task-received", "task-started", "task-succeeded"]
    until("all of it is heard", lambda: sorted(heard.of(result)) == sorted(expected))
    result = broken.delay()
    until("that it fails, too", lambda: heard.of(result)[-1:] == ["task-failed"])


def restored(connection):
    """A worker is killed while it runs a job, that it has not acknowledged."""
    with worker("solo") as first:
        result = interrupted.delay()
        until("it is begun", lambda: connection.get("begun") == b"1")
        assert connection.hlen("unacked") == 1 and connection.zcard("unacked_index") == 1
        first.kill()
        first.join()
    soon = dict(visibility_timeout=1, unacked_restore_interval=0.1, unacked_restore_throttle=1)
    with worker("solo", **soon):
        assert result.get(timeout=SOON) == "done"
        until("it is acknowledged", lambda: connection.hlen("unacked") == 0)
    assert connection.get("begun") == b"2" and connection.zcard("unacked_index") == 0


def main():
    connection = redis.Redis(port=PORT)
    connection.flushall()
    with worker():
        heard = Events()
        heard.start()
        try:
            for check in (jobs, countdown, chords, revoked):
                check()
            events(heard)
        finally:
            heard.ends = True
            heard.join()
    # A worker that ends gives back what it has not begun.
    connection.flushall()
    restored(connection)
    connection.close()


if __name__ == "__main__":
    main()
    print("Celery: ok")
