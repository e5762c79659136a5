"""What comes in over REST is kept, becomes one job, or is refused with a reason that names no patient."""

import json

import pytest

MARK = "ZZPHIMARK"


def test_a_zip_becomes_a_queued_job(ask, series_zip, settings) -> None:
    answer = ask.upload(series_zip, passes=7, seed=11)
    job = answer.json()
    assert answer.status_code == 202
    assert (job["state"], job["passes"], job["seed"]) == ("queued", 7, 11)
    assert job["upload"] == {"received": 3, "duplicates": 0, "skipped": 0}
    assert answer.headers["location"] == job["links"]["self"] == f"/api/v1/jobs/{job['id']}"
    assert len(list((settings.jobs_dir / job["id"] / "instances").iterdir())) == 3
    assert MARK not in answer.text


def test_loose_files_become_the_same_job_as_their_zip(ask, series, series_zip) -> None:
    first = ask.upload(series_zip).json()
    again = ask.upload(*series).json()
    assert again["id"] == first["id"]
    assert again["upload"]["duplicates"] == 3


def test_a_received_series_can_be_submitted_by_its_uid(ask, series_zip) -> None:
    uid = ask.upload(series_zip).json()["series_instance_uid"]
    answer = ask("POST", "/api/v1/jobs", json={"series_instance_uid": uid, "passes": 3})
    assert (answer.status_code, answer.json()["passes"]) == (202, 3)


def test_an_unknown_series_is_a_404_problem(ask) -> None:
    answer = ask("POST", "/api/v1/jobs", json={"series_instance_uid": "1.2.3"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:penumbra:problem:series-not-found"
    assert answer.json()["remedy"]


def test_files_that_are_not_dicom_are_left_out_and_counted(ask, series, pack) -> None:
    files = {f"{n}.dcm": data for n, data in enumerate(series)} | {
        "readme.txt": b"hello",
        "inner.zip": pack({}),
    }
    answer = ask.upload(pack(files))
    assert (answer.status_code, answer.json()["upload"]["skipped"]) == (202, 2)


def test_a_zip_without_dicom_is_refused(ask, pack) -> None:
    answer = ask.upload(pack({"readme.txt": b"hello"}))
    assert (answer.status_code, answer.json()["code"]) == (422, "no-dicom")


@pytest.mark.parametrize("parts", [[], [b""]])
def test_an_upload_without_content_is_refused(ask, parts) -> None:
    answer = ask.upload(*parts) if parts else ask("POST", "/api/v1/jobs", files={"passes": (None, "3")})
    assert (answer.status_code, answer.json()["code"]) == (422, "no-dicom")


def test_two_series_are_both_kept_and_named(ask, series, other_series, pack) -> None:
    files = {f"{n}.dcm": data for n, data in enumerate([*series, *other_series])}
    answer = ask.upload(pack(files))
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "mixed-series")
    assert len(problem["series_instance_uids"]) == 2
    assert "series_instance_uid" in problem["remedy"]
    for uid in problem["series_instance_uids"]:
        assert uid in problem["detail"]
        job = ask("POST", "/api/v1/jobs", json={"series_instance_uid": uid}).json()
        assert (job["state"], job["instance_count"]) == ("queued", 3)


@pytest.mark.parametrize("kept_share", [0.98, 0.5, 0.2])
def test_a_cut_off_instance_is_named_and_kept_and_can_be_sent_again(
    ask, series, pack, settings, kept_share
) -> None:
    cut = series[1][: int(len(series[1]) * kept_share)]
    problem = ask.upload(pack({"1": series[0], f"{MARK}": cut, "3": series[2]})).json()
    assert problem["code"] == "unreadable-instance"
    assert "entry 2" in problem["detail"]
    assert problem["upload"]["received"] == 2
    assert MARK not in json.dumps(problem)
    quarantined = [path.read_bytes() for path in settings.quarantine_dir.rglob("*.dcm")]
    assert quarantined == [cut]
    job = ask.upload(*series).json()
    assert (job["state"], job["instance_count"]) == ("queued", 3)


def test_a_damaged_entry_is_named_and_the_others_are_kept(ask, series, pack) -> None:
    packed = bytearray(pack({f"{n}.dcm": data for n, data in enumerate(series)}))
    packed[len(packed) // 2] ^= 0xFF
    problem = ask.upload(bytes(packed)).json()
    assert problem["code"] == "unreadable-instance"
    assert "entry 2" in problem["detail"]
    assert problem["upload"]["received"] == 2


def test_changed_content_under_a_known_uid_is_a_conflict(ask, series) -> None:
    ask.upload(*series)
    changed = bytearray(series[0])
    changed[-1] ^= 0xFF
    answer = ask.upload(bytes(changed), *series[1:])
    assert (answer.status_code, answer.json()["code"]) == (409, "conflicting-instance")


def test_other_modalities_are_kept_for_the_worker_to_judge(ask, write_series) -> None:
    mr = write_series(seed="mr", SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR")
    assert ask.upload(*mr).json()["state"] == "queued"


def test_objects_that_are_no_images_are_left_out(ask, series, write_series) -> None:
    plan = write_series(seed="p", slices=1, SOPClassUID="1.2.840.10008.5.1.4.1.1.481.5")
    answer = ask.upload(*series, *plan)
    assert (answer.status_code, answer.json()["upload"]["skipped"]) == (202, 1)


@pytest.mark.parametrize(
    "fields", [{"passes": "0"}, {"passes": MARK}, {"seed": "-1"}, {"bundle": "../x"}, {MARK: "1"}]
)
def test_bad_options_are_named_but_never_echoed(ask, series_zip, fields) -> None:
    answer = ask.upload(series_zip, **fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert MARK not in answer.text
    assert "../" not in answer.text


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"series_instance_uid": "../../etc"}', b'["ZZPHIMARK"]', b"\xff\xfe"]
)
def test_a_bad_json_body_is_never_echoed(ask, body) -> None:
    answer = ask("POST", "/api/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert MARK not in answer.text


def test_other_content_types_are_refused(ask) -> None:
    answer = ask("POST", "/api/v1/jobs", content=b"x", headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")


def test_nothing_of_an_upload_stays_in_the_staging_folder(ask, series_zip, pack, settings) -> None:
    ask.upload(series_zip)
    ask.upload(pack({"../x": b"x"}))
    assert list((settings.data_dir / "uploads").iterdir()) == []


def test_a_full_disk_is_said_before_anything_is_read(ask, series_zip, settings) -> None:
    settings.min_free_bytes = 2**60
    answer = ask.upload(series_zip)
    assert (answer.status_code, answer.json()["code"]) == (507, "out-of-space")
