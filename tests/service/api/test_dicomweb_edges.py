"""What DICOMweb refuses and how it says so; what it writes down; where it is lenient."""

from io import BytesIO

import pytest
from pydicom import dcmread
from sqlalchemy import select

from service import inbox, instance_header
from service.dicomweb import store as stow
from service.records import AuditRecord

MARK = "ZZPHIMARK"
STUDIES = "/dicomweb/studies"
RELATED = 'multipart/related; type="application/dicom"; boundary=B'


def body_of(*parts: bytes) -> bytes:
    head = b"--B\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + part + b"\r\n" for part in parts) + b"--B--\r\n"


@pytest.fixture
def store(ask):
    def post(*parts: bytes, path=STUDIES, kind=RELATED):
        return ask("POST", path, content=body_of(*parts), headers={"Content-Type": kind})

    return post


@pytest.fixture
def held(store, series):
    """The address of a study that was stored, and its slices."""
    assert store(*series).status_code == 200
    slices = [dcmread(BytesIO(data)) for data in series]
    return f"{STUDIES}/{slices[0].StudyInstanceUID}", slices


def test_some_good_some_bad_is_202_with_an_account_of_each(store, series) -> None:
    cut_off = series[1][:-20]
    answer = store(series[0], cut_off, b"no dicom at all")
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/dicom+json")
    told = answer.json()
    assert len(told["00081199"]["Value"]) == 1
    (failed,) = told["00081198"]["Value"]
    assert failed["00081155"]["Value"] == [str(dcmread(BytesIO(series[1])).SOPInstanceUID)]
    assert failed["00081197"]["Value"] == [0xC000]
    assert told["0008119A"]["Value"][0]["00081197"]["Value"] == [0x0122]
    assert MARK not in answer.text


def test_each_instance_is_read_and_hashed_once(store, series, monkeypatch) -> None:
    read, was_read = instance_header.read_header, []
    for module in (inbox, stow):
        monkeypatch.setattr(module, "read_header", lambda data: was_read.append(data) or read(data))
    assert store(*series).status_code == 200
    assert len(was_read) == len(series)


def test_an_instance_of_another_study_or_with_other_content_is_refused(ask, store, series, instance) -> None:
    answer = store(series[0], path=f"{STUDIES}/1.2.3")
    assert answer.status_code == 409
    assert answer.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xA901]
    uid = "1.2.826.0.1.3680043.10.999.71"
    assert store(instance(uid, value=1)).status_code == 200
    answer = store(instance(uid, value=2))
    assert (answer.status_code, answer.json()["00081198"]["Value"][0]["00081197"]["Value"]) == (409, [0xC000])


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("multipart/related; type=application/dicom; boundary=B", 200),
        ('multipart/related; type="application/dicom+json"; boundary=B', 415),
        ("multipart/form-data; boundary=B", 415),
        ("application/dicom", 415),
        ('multipart/related; type="application/dicom"', 400),
        ('multipart/related; type="application/dicom"; boundary=C', 400),
    ],
)
def test_the_body_must_be_what_it_says(store, series, kind, status) -> None:
    assert store(series[0], kind=kind).status_code == status


def test_no_parts_are_no_success(store) -> None:
    assert store().status_code == 400


def test_a_full_disk_is_told_and_nothing_kept_of_it(ask, store, series) -> None:
    ask.app.state.parts.settings.__dict__["min_free_bytes"] = 2**60
    answer = store(*series)
    assert (answer.status_code, answer.json()["code"]) == (507, "out-of-space")


@pytest.mark.parametrize(
    "query",
    ["Patience=1", "0010=1", "limit=-1", "limit=x", "offset=1e3", "PatientID.PatientID.A=1", "a.b.c.d.e=1"],
)
def test_a_query_that_cannot_be_understood_is_refused_without_echo(ask_shared, query) -> None:
    answer = ask_shared("GET", f"{STUDIES}?{query}")
    assert answer.status_code == 400
    assert "Patience" not in answer.text


@pytest.mark.parametrize("uid", ["1..2", "01.2", "1" * 65, "%2e%2e%2fetc", "ZZPHIMARK", "1.2%00"])
@pytest.mark.parametrize("tail", ["", "/metadata", "/series", "/instances"])
def test_what_is_no_uid_reaches_no_file(ask_shared, uid, tail) -> None:
    answer = ask_shared("GET", f"{STUDIES}/{uid}{tail}")
    assert answer.status_code in {404, 422}
    assert MARK not in answer.text


@pytest.mark.parametrize("tail", ["", "/metadata", "/series/1.2", "/series/1.2/instances/1.2/frames/1"])
def test_what_is_not_held_is_404(ask_shared, tail) -> None:
    assert ask_shared("GET", f"{STUDIES}/1.2.3{tail}").json()["code"] == "not-held"


def test_nothing_found_is_204(ask_shared) -> None:
    assert ask_shared("GET", f"{STUDIES}?PatientID=NOBODY").status_code == 204


@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "application/json",
        'multipart/related; type="image/jpeg"',
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.70',
        "*/*;q=0",
    ],
)
def test_what_cannot_be_had_so_is_406_with_what_can(ask, held, accept) -> None:
    answer = ask("GET", held[0], headers={"Accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")
    assert "application/dicom" in answer.json()["remedy"]


@pytest.mark.parametrize("accept", ["*/*", "multipart/related", 'multipart/related;type="application/dicom"'])
def test_usual_wishes_are_granted(ask, held, accept) -> None:
    answer = ask("GET", held[0], headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert answer.content.count(b"Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1") == 3


def test_fields_that_are_asked_for_are_told_too(ask, held) -> None:
    url, slices = held
    usual = ask("GET", f"{url}/series").json()[0]
    assert "00280030" not in usual
    more = ask("GET", f"{url}/series?includefield=PixelSpacing&includefield=PatientPosition").json()[0]
    assert more["00280030"]["Value"] == [float(each) for each in slices[0].PixelSpacing]
    everything = ask("GET", f"{url}/series?includefield=all").json()[0]
    assert set(usual) < set(everything)


def test_fuzzy_matching_is_refused_with_a_warning_not_an_error(ask, held) -> None:
    answer = ask("GET", f"{STUDIES}?fuzzymatching=true&PatientName=x*")
    assert answer.headers["warning"].startswith("299 penumbra")


def test_frames_that_are_not_there_are_404(ask, held) -> None:
    url, slices = held
    instance = f"{url}/series/{slices[0].SeriesInstanceUID}/instances/{slices[0].SOPInstanceUID}"
    assert ask("GET", f"{instance}/frames/1").status_code == 200
    for numbers in ("2", "1,2"):
        assert ask("GET", f"{instance}/frames/{numbers}").json()["code"] == "no-such-frame"
    for numbers in ("0", "x", "1,,2", "-1"):
        assert ask("GET", f"{instance}/frames/{numbers}").status_code == 422
    assert ask("GET", f"{instance}/bulkdata/00100010").json()["code"] == "no-such-value"


def test_links_lead_where_the_settings_say(ask, store, series) -> None:
    ask.app.state.parts.settings.__dict__["api_url"] = "https://penumbra.clinic.example/p"
    links = store(*series).json()["00081190"]["Value"]
    assert links[0].startswith("https://penumbra.clinic.example/p/dicomweb/studies/")


def test_each_search_and_each_fetch_is_one_event_in_the_audit_log(ask, held, worker) -> None:
    url, slices = held

    def noted() -> list[tuple[str, str | None]]:
        with worker.database.read() as session:
            events = session.scalars(select(AuditRecord).order_by(AuditRecord.seq))
            return [
                (each.action, each.study_uid) for each in events if each.action in {"queried", "downloaded"}
            ]

    study = str(slices[0].StudyInstanceUID)
    series = f"{url}/series/{slices[0].SeriesInstanceUID}"
    for path in (f"{url}/series", url, f"{series}/metadata", series):
        assert ask("GET", path).status_code == 200
    assert noted() == [("queried", study), *3 * [("downloaded", study)]]
    assert ask("GET", f"{STUDIES}/1.2.3").status_code == 404
    assert len(noted()) == 4
