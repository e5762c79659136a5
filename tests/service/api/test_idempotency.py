"""A request that is sent again makes no second job, and says so when it is another request."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from service.idempotency import KEPT_S
from service.records import IdempotencyRecord
from service.roles import Role
from service.tokens import Tokens

PATH = "/api/v1/jobs"


@pytest.fixture
def series_uid(ask, series_zip) -> str:
    return ask.upload(series_zip).json()["series_instance_uid"]


def submit(ask, series_uid, key, **options):
    body = {"series_instance_uid": series_uid, **options}
    return ask("POST", PATH, json=body, headers={"Idempotency-Key": key})


def test_the_same_key_gives_the_same_job_although_the_series_has_grown(ask, series_uid, write_series) -> None:
    first = submit(ask, series_uid, "k1", seed=1).json()
    assert ask.upload(*write_series(slices=4)).json()["series_instance_uid"] == series_uid
    assert submit(ask, series_uid, "k1", seed=1).json()["id"] == first["id"]
    assert submit(ask, series_uid, "k2", seed=1).json()["id"] != first["id"]


def test_a_key_cannot_stand_for_two_requests(ask, series_uid) -> None:
    submit(ask, series_uid, "k1", seed=1)
    answer = submit(ask, series_uid, "k1", seed=2)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
    assert len(ask("GET", PATH).json()["jobs"]) == 2


def test_an_upload_is_known_by_its_content_whatever_its_boundary(ask, series_zip, other_series) -> None:
    ask.headers["Idempotency-Key"] = "upload"
    first = ask.upload(series_zip, seed=5).json()
    assert ask.upload(series_zip, seed=5).json()["id"] == first["id"]
    assert ask.upload(*other_series, seed=5).json()["code"] == "idempotency-key-reused"


def test_a_rerun_is_repeated_safely_too(ask, series_uid) -> None:
    job = ask("GET", PATH).json()["jobs"][0]
    answers = [
        ask("POST", f"{PATH}/{job['id']}/rerun", json={"seed": 9}, headers={"Idempotency-Key": "r"})
        for _ in range(2)
    ]
    assert answers[0].json()["id"] == answers[1].json()["id"] != job["id"]


def test_many_requests_at_once_with_one_key_make_one_job(ask, series_uid) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: submit(ask, series_uid, "k", seed=4).json()["id"], range(6)))
    assert len(set(found)) == 1


def test_another_clients_key_is_another_key(ask, series_uid) -> None:
    tokens, found = Tokens(ask.app.state.parts.database), []
    for seed in (1, 2):
        _, text = tokens.create(Role.OPERATE)
        ask.headers["Authorization"] = f"Bearer {text}"
        found.append(submit(ask, series_uid, "k", seed=seed).json()["id"])
    assert found[0] != found[1]


def test_keys_are_kept_as_hashes_and_for_a_week(ask, series_uid, worker) -> None:
    submit(ask, series_uid, "secret-key", seed=1)
    with worker.database.write() as session:
        (kept,) = session.query(IdempotencyRecord).all()
        assert "secret-key" not in str(vars(kept))
        session.execute(update(IdempotencyRecord).values(created_at=IdempotencyRecord.created_at - KEPT_S))
    assert submit(ask, series_uid, "secret-key", seed=2).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_has_a_length(ask_shared, key) -> None:
    answer = submit(ask_shared, "1.2.3", key)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
