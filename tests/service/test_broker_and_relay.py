"""The relay against real brokers: the embedded one as the supervisor starts it, and a redis-server."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest
import redis
from sqlalchemy import select, text

from service.broker import EmbeddedBroker
from service.faults.redis_server import RedisServer
from service.records import JobRecord, OutboxRecord
from service.relay import Relay
from service.settings import ServiceSettings
from worker.celery_app import create_celery
from worker.ledger import Outcome

NORMAL = 3
SERIES = "1.2.826.0.1.3680043.10.999.7"


class EmbeddedServer:
    def __init__(self, settings):
        self.broker = EmbeddedBroker(settings)
        self.url = self.broker.url
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.broker.prepare(), stdout=subprocess.DEVNULL)
        assert self.broker.wait_until_ready(30)

    def kill(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def client(self):
        return redis.Redis(unix_socket_path=self.url.removeprefix("redis+socket://").partition("?")[0])


def messages(broker, queue, step=0):
    """What waits in a queue. Redis keeps a list per step of priority; kombu's separator is 0x06 0x16."""
    name = f"pnb:{queue}" + (f"\x06\x16{step}" if step else "")
    return [json.loads(each) for each in broker.client().lrange(name, 0, -1)]


@pytest.fixture
def broker(settings):
    """The embedded one, and beside PostgreSQL a redis-server."""
    is_embedded = settings.database_url is None
    running = EmbeddedServer(settings) if is_embedded else RedisServer(settings.data_dir / "redis-server")
    running.start()
    yield running
    running.kill()


@pytest.fixture
def relay(settings, database, broker):
    settings = settings.model_copy(update={"broker_url": broker.url})
    return Relay(settings, database, create_celery(settings))


def waiting(database):
    with database.read() as session:
        return session.scalars(select(OutboxRecord.ref).where(OutboxRecord.done_at.is_(None))).all()


@pytest.mark.both_databases
def test_message_carries_the_job_id_and_nothing_else(relay, broker, receive, jobs, database):
    receive()
    job = jobs.submit(SERIES)
    assert relay.publish_due()
    (message,) = messages(broker, "gpu", NORMAL)
    assert message["headers"]["task"] == "penumbra.segment_series"
    assert message["headers"]["argsrepr"] == f"['{job.id}']"
    assert "ZZPHIMARK" not in json.dumps(message)
    assert waiting(database) == []
    with database.read() as session:
        assert session.get(JobRecord, job.id).enqueue_count == 1
    assert relay.publish_due()
    assert len(messages(broker, "gpu", NORMAL)) == 1


@pytest.mark.both_databases
def test_delivery_goes_to_its_own_queue(relay, broker, receive, jobs, ledger):
    receive()
    claim = ledger.claim(jobs.submit(SERIES).id, "one")
    ledger.publish(claim, Outcome("done"))
    relay.publish_due()
    (message,) = messages(broker, "delivery")
    assert message["headers"]["task"] == "penumbra.deliver"
    assert len(messages(broker, "gpu", NORMAL)) == 1


@pytest.mark.both_databases
def test_messages_wait_while_the_broker_is_away_and_survive_its_death(relay, broker, receive, jobs, database):
    receive()
    job = jobs.submit(SERIES)
    broker.kill()
    assert not relay.publish_due()
    assert waiting(database) == [job.id]
    broker.start()
    assert relay.publish_due() or relay.publish_due()  # the first call may meet the dead connection
    broker.kill()
    broker.start()
    assert len(messages(broker, "gpu", NORMAL)) == 1


@pytest.mark.both_databases
def test_the_relay_goes_on_when_the_database_was_away(relay, broker, receive, jobs, database):
    receive()
    _rename(database, "outbox", "gone")
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    time.sleep(1.0)
    _rename(database, "gone", "outbox")
    jobs.submit(SERIES)
    deadline = time.monotonic() + 60
    while not messages(broker, "gpu", NORMAL) and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    thread.join()
    assert len(messages(broker, "gpu", NORMAL)) == 1


def _rename(database, old, new):
    with database.write() as session:
        session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def test_message_is_not_sent_before_its_time(relay, broker, database):
    with database.write() as session:
        session.add(OutboxRecord(kind="deliver", ref="later", not_before=2e9))
    assert relay.publish_due()
    assert messages(broker, "delivery") == []


def test_leftover_server_is_stopped_before_another_starts(broker, settings):
    EmbeddedBroker(settings).stop_leftover()
    assert broker.process.wait(10) == 0
    assert not broker.broker.answers()


def test_socket_path_is_short_enough_whatever_the_data_folder(tmp_path):
    deep = tmp_path / ("x" * 120) / "data"
    broker = EmbeddedBroker(ServiceSettings(data_dir=deep))
    path = broker.url.removeprefix("redis+socket://").partition("?")[0]
    assert len(path) < 108
    broker.prepare()
    assert os.stat(os.path.dirname(path)).st_mode & 0o077 == 0  # noqa: PTH116, PTH120


def test_worker_without_a_broker_says_what_to_set(settings):
    with pytest.raises(ValueError, match="PENUMBRA_BROKER_URL"):
        create_celery(settings)


def test_queues_share_no_exchange(settings):
    """With a common one, a message for one queue reaches every queue that a worker has declared."""
    queues = create_celery(settings.model_copy(update={"broker_url": "redis://nowhere"})).conf.task_queues
    assert [(each.name, each.exchange.name, each.routing_key) for each in queues] == [
        ("gpu", "gpu", "gpu"),
        ("delivery", "delivery", "delivery"),
    ]


@pytest.mark.both_databases
def test_an_urgent_job_waits_in_a_list_that_is_served_first(relay, broker, receive, jobs):
    receive()
    usual, urgent = jobs.submit(SERIES), jobs.submit(SERIES, seed=1, priority=0)
    last = jobs.submit(SERIES, seed=2, priority=9)
    assert relay.publish_due()
    assert [
        [
            json.loads(each["headers"]["argsrepr"].replace("'", '"'))[0]
            for each in messages(broker, "gpu", step)
        ]
        for step in (0, 3, 9)
    ] == [[urgent.id], [usual.id], [last.id]]
    jobs.set_priority(last.id, 0)
    assert relay.publish_due()
    assert len(messages(broker, "gpu", 0)) == 2
