"""Job queues of Python against a running Troupe: `producers.py PORT`. Ends non-zero at the first surprise.

Of RQ and Celery the producers run, and what hands a job to a worker (BLMOVE of RQ, BRPOP of kombu), step by
step. The workers themselves are in `workers.py` and `celery_jobs.py`.
"""

import base64
import json
import sys
from datetime import timedelta

import redis
from celery import Celery
from rq import Queue
from rq.job import Job, JobStatus

PORT = int(sys.argv[1])


def rq():
    """What producers do, and the hand-over to a worker."""
    connection = redis.Redis(port=PORT)
    connection.flushall()
    queue = Queue("low", connection=connection)
    jobs = [queue.enqueue("math.sqrt", number, result_ttl=100) for number in range(5)]
    assert len(queue) == 5 and queue.job_ids == [job.id for job in jobs]
    fetched = Job.fetch(jobs[2].id, connection=connection)
    assert (fetched.func_name, fetched.args, fetched.get_status()) == ("math.sqrt", (2,), JobStatus.QUEUED)
    assert [job.id for job in Job.fetch_many(queue.job_ids, connection=connection)] == queue.job_ids
    # Both watch what they depend on.
    after = queue.enqueue("math.sqrt", 9, depends_on=jobs[0])
    assert after.get_status() == JobStatus.DEFERRED
    assert queue.deferred_job_registry.get_job_ids() == [after.id]
    later = queue.enqueue_in(timedelta(hours=1), "math.sqrt", 16)
    assert queue.scheduled_job_registry.get_job_ids() == [later.id]
    many = queue.enqueue_many([Queue.prepare_data("math.sqrt", (number,)) for number in range(10)])
    assert len(many) == 10 and queue.count == 15
    jobs[1].cancel()
    assert jobs[1].get_status(refresh=True) == JobStatus.CANCELED
    assert queue.canceled_job_registry.get_job_ids() == [jobs[1].id]
    many[0].delete()
    assert not Job.exists(many[0].id, connection=connection) and queue.count == 13
    job, origin = Queue.dequeue_any([queue], 1, connection=connection)
    assert (job.id, origin.name) == (jobs[0].id, "low")
    other = Queue("high", connection=connection)
    urgent = other.enqueue("math.sqrt", 25, at_front=True)
    job, origin = Queue.dequeue_any([other, queue], 1, connection=connection)
    assert (job.id, origin.name) == (urgent.id, "high")
    assert Queue.all(connection=connection) and queue.started_job_registry.count == 0
    connection.close()


def celery():
    """A message stands in its list as workers of Celery want it, and kombu gets it out of there."""
    connection = redis.Redis(port=PORT, decode_responses=True)
    connection.flushall()
    app = Celery("tests", broker=f"redis://127.0.0.1:{PORT}/0")
    app.conf.broker_transport_options = {"priority_steps": [0, 3, 6, 9], "queue_order_strategy": "priority"}

    @app.task(name="add", ignore_result=True)
    def add(left, right):
        return left + right

    sent = [add.apply_async((number, 1), queue="sums") for number in range(20)]
    assert connection.llen("sums") == 20
    message = json.loads(connection.lindex("sums", -1))
    assert (message["headers"]["task"], message["headers"]["id"]) == ("add", sent[0].id)
    assert json.loads(base64.b64decode(message["body"]))[0] == [0, 1]
    assert message["properties"]["delivery_info"]["routing_key"] == "sums"
    assert connection.smembers("_kombu.binding.sums")
    urgent = app.send_task("add", (1, 2), queue="sums", priority=9, countdown=100)
    assert connection.llen("sums\x06\x169") == 1
    expected = [task.id for task in sent] + [urgent.id]
    with app.connection_for_read() as broker, broker.SimpleQueue("sums") as queue:
        assert queue.qsize() == 21
        queue.get(timeout=10).requeue()
        got = []
        for _ in expected:
            message = queue.get(timeout=10)
            # Until it is acknowledged it is kept, to be handed out again.
            assert connection.hlen("unacked") == 1 and connection.zcard("unacked_index") == 1
            got.append(message.headers["id"])
            message.ack()
        assert sorted(got) == sorted(expected)
    assert not connection.exists("sums", "unacked", "unacked_index")
    app.close()
    connection.close()


rq()
print("RQ, producers: ok")
celery()
print("Celery, producers; kombu: ok")
