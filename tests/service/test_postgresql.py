"""Hosts that share a PostgreSQL: who is cut off, who waits, and what those who ask are told."""

import subprocess
import threading
import time

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

import service.database
import service.postgresql
from service.database import Database
from service.faults.postgres import Postgres
from service.postgresql import postgresql_engine
from service.records import ChangeCounter
from service.transitions import next_version


@pytest.fixture
def database_url(emptied_postgres):
    return emptied_postgres


def counter(database):
    with database.read() as session:
        return session.scalar(select(ChangeCounter.value))


def test_a_host_that_falls_silent_in_a_write_loses_its_turn(database, database_url, monkeypatch):
    monkeypatch.setattr(service.postgresql, "SILENCE_S", 1.0)
    other = Database(database_url)
    with pytest.raises(OperationalError), database.write() as session:
        next_version(session)
        with other.write() as turn:  # waits until the server has cut the silent one off
            next_version(turn)
        next_version(session)
    assert counter(other) == 1, "the write of the one that was cut off never was"
    with database.write() as session:
        next_version(session)
    assert counter(other) == 2
    other.dispose()


def test_nobody_waits_for_his_turn_for_ever(database, database_url, monkeypatch):
    monkeypatch.setattr(service.database, "BUSY_TIMEOUT_S", 1.0)
    other = Database(database_url)
    with database.write(), pytest.raises(OperationalError), other.write():
        pass
    other.dispose()


def test_a_reader_may_be_silent_for_as_long_as_it_likes(database, monkeypatch):
    monkeypatch.setattr(service.postgresql, "SILENCE_S", 1.0)
    with database.write():
        pass
    with database.read() as session:
        session.scalar(select(ChangeCounter.value))
        time.sleep(1.5)
        assert session.scalar(select(ChangeCounter.value)) == 0


def test_a_server_that_is_gone_is_noticed_and_the_settings_may_say_how_soon(database_url):
    engine = postgresql_engine(f"{database_url}?keepalives_idle=7")
    with engine.connect() as connection:
        found = connection.connection.driver_connection.info.get_parameters()
    assert (found["keepalives_idle"], found["keepalives_count"], found["connect_timeout"]) == ("7", "4", "10")
    engine.dispose()


def test_writers_of_several_hosts_take_turns(database, database_url):
    hosts = [Database(database_url) for _ in range(3)]
    taken = []

    def write(host):
        for _ in range(5):
            with host.write() as session:
                taken.append(next_version(session))

    threads = [threading.Thread(target=write, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == list(range(1, 16))
    for host in hosts:
        host.dispose()


def test_a_server_that_has_ended_by_itself_is_no_more_signalled(tmp_path):
    ended = Postgres(tmp_path)
    ended._server = subprocess.Popen(["true"])
    ended._server.wait()  # its number may be given to another process now
    ended.hang()
    ended.stop("immediate")
