"""Finding a patient's jobs: names come from headers, to those who may see the job, and leave an audit event each."""

import shutil
from io import BytesIO
from types import SimpleNamespace

import pytest
from pydicom import dcmread
from sqlalchemy import select

from service.audit import Action
from service.patients import Patients
from service.records import AuditRecord
from service.roles import Role
from service.showcase.crowd import crowd, uid_of
from service.showcase.named_crowd import SLICES, name_the_crowd
from service.tokens import Tokens

JOBS, PATIENTS = "/api/v1/jobs", "/api/v1/patients"
MARK = "ZZPHIMARK"


def listed(ask, **query) -> list[str]:
    return [job["id"] for job in ask("GET", JOBS, params=query).json()["jobs"]]


def questions(ask) -> list[AuditRecord]:
    with ask.app.state.parts.database.read() as session:
        return list(session.scalars(select(AuditRecord).where(AuditRecord.action == Action.QUERIED.value)))


def test_a_job_is_found_by_patient_uid_id_or_sender(ask, series_zip, other_series) -> None:
    first, second = ask.upload(series_zip).json(), ask.upload(*other_series).json()
    both = [second["id"], first["id"]]
    assert listed(ask, q="john zzphi") == listed(ask, q="ZZPHIMARK^JOHN") == listed(ask, q="Rest") == both
    assert listed(ask, q=first["id"][:9]) == listed(ask, q=first["series_instance_uid"]) == [first["id"]]
    assert listed(ask, q="john smith") == listed(ask, q="%") == listed(ask, q=first["id"][1:9]) == []
    assert len(questions(ask)) == 8, "looking for a patient is an event of its own"
    assert all(MARK not in str(vars(each)).upper() for each in questions(ask)), "and does not say for whom"


def test_whose_series_it_is_is_told_and_noted(ask, series_zip) -> None:
    job = ask.upload(series_zip).json()
    assert MARK not in ask("GET", JOBS).text, "a list of jobs alone names nobody"
    (patient,) = ask("GET", PATIENTS, params={"job": job["id"]}).json()["patients"]
    assert (patient["job_id"], patient["name"], patient["patient_id"]) == (job["id"], f"{MARK}^JOHN", MARK)
    assert len(questions(ask)) == 1


def test_a_uid_is_looked_up_without_reading_a_header(ask, settings, series_zip, monkeypatch) -> None:
    job = ask.upload(series_zip).json()
    monkeypatch.setattr("service.patients.patient_in", None)
    assert listed(ask, q=job["series_instance_uid"][:20]) == listed(ask, q=job["id"]) == [job["id"]]


def test_what_was_deleted_is_left_out(ask, settings, series_zip) -> None:
    job = ask.upload(series_zip).json()
    shutil.rmtree(settings.inbox_dir)
    assert ask("GET", PATIENTS, params={"job": job["id"]}).json() == {"patients": []}
    assert listed(ask, q=MARK) == []


def test_those_who_only_submit_learn_of_their_own_patients_only(ask, series_zip) -> None:
    job = ask.upload(series_zip).json()
    secret = Tokens(ask.app.state.parts.database).create(Role.SUBMIT)[1]
    ask.headers["Authorization"] = f"Bearer {secret}"
    assert ask("GET", PATIENTS, params={"job": job["id"]}).json() == {"patients": []}
    assert listed(ask, q=MARK) == []
    assert ask("GET", JOBS, params={"counts": True}).json()["counts"] == {}


def test_nobody_asks_for_all_or_by_nonsense(ask_shared) -> None:
    for query in ("", "?job=..", "?job=" + "&job=".join(["00000000-0000-4000-8000-000000000000"] * 201)):
        assert ask_shared("GET", PATIENTS + query).json()["code"] == "invalid-request"


@pytest.mark.parametrize("patient_id", ["12345678-5", "123.456.789"])
def test_a_patients_id_of_digits_with_dashes_or_dots_is_no_uid(ask, series, patient_id) -> None:
    for number, data in enumerate(series):
        dataset, stream = dcmread(BytesIO(data)), BytesIO()
        dataset.PatientID = patient_id
        dataset.save_as(stream)
        series[number] = stream.getvalue()
    job = ask.upload(*series).json()
    assert listed(ask, q=patient_id) == [job["id"]]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # it counts SQLite's steps
def test_a_search_does_not_read_every_slice_of_every_series(settings, worker, series, tmp_path) -> None:
    (tmp_path / "one.dcm").write_bytes(series[0])
    stage = SimpleNamespace(settings=settings, database=worker.database)
    crowd(stage.database, 20)
    name_the_crowd(stage, tmp_path / "one.dcm", 20)
    steps = []
    with stage.database.engine.connect() as connection:  # pooled: the search takes the same
        driver = connection.connection.driver_connection
        driver.set_progress_handler(lambda: steps.append(1), 1)
    assert Patients(settings, stage.database).series_that_fit("crowd n7") == [uid_of(7)]
    assert 0 < len(steps) < 20 * SLICES, "fewer steps of the database's than there are slices"
