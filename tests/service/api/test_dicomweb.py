"""DICOMweb as a viewer uses it: dicomweb-client against the real server."""

from io import BytesIO

import httpx
import pytest
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

MARK = "ZZPHIMARK"
RTSTRUCT = "1.2.826.0.1.3680043.10.999.55"


@pytest.fixture(scope="module")
def client(server) -> DICOMwebClient:
    return DICOMwebClient(f"{server.url}/dicomweb")


@pytest.fixture(scope="module")
def slices(tmp_path_factory, make_files) -> list[Dataset]:
    folder = tmp_path_factory.mktemp("dicomweb")
    return [dcmread(path) for path in make_files(folder, seed="dicomweb-client", slices=4)]


@pytest.fixture(scope="module")
def stored(client, slices) -> list[Dataset]:
    """The slices, once the server has them."""
    answer = client.store_instances(slices)
    assert len(answer.ReferencedSOPSequence) == 4 and "FailedSOPSequence" not in answer
    return slices


@pytest.fixture(scope="module")
def contoured(stored, server_worker) -> Dataset:
    """The RTSTRUCT that a job made of the slices."""
    job = server_worker.jobs.submit(str(stored[0].SeriesInstanceUID))
    if job.state != "done":
        server_worker.run(job.id)
    made = rtstruct(stored[0])
    made.save_as(
        server_worker.settings.jobs_dir / job.id / "result" / "rtstruct.dcm", enforce_file_format=True
    )
    return made


def rtstruct(ct: Dataset) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{RTSTRUCT}.1"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = ct.StudyInstanceUID, RTSTRUCT
    dataset.PatientID, dataset.PatientName = ct.PatientID, ct.PatientName
    dataset.Modality, dataset.StructureSetLabel = "RTSTRUCT", "PENUMBRA"
    dataset.StructureSetROISequence = []
    return dataset


def test_what_was_stored_comes_back_value_by_value(client, stored) -> None:
    back = client.retrieve_series(stored[0].StudyInstanceUID, stored[0].SeriesInstanceUID)
    assert {each.SOPInstanceUID: each for each in back} == {each.SOPInstanceUID: each for each in stored}


def test_storing_again_changes_nothing(client, stored) -> None:
    again = client.store_instances(stored, study_instance_uid=stored[0].StudyInstanceUID)
    assert len(again.ReferencedSOPSequence) == 4


def test_a_stored_series_waits_to_become_a_job(stored, server_worker) -> None:
    page = server_worker.jobs.list(series_uid=str(stored[0].SeriesInstanceUID))
    assert [(job.sender, job.instance_count) for job in page.jobs] == [("dicomweb", 4)]


def test_studies_series_and_instances_are_found(client, stored, contoured) -> None:
    ct = stored[0]
    (study,) = client.search_for_studies(search_filters={"StudyInstanceUID": ct.StudyInstanceUID})
    assert study["00080061"]["Value"] == ["CT", "RTSTRUCT"]
    assert (study["00201206"]["Value"], study["00201208"]["Value"]) == ([2], [5])
    series = client.search_for_series(ct.StudyInstanceUID)
    assert {each["00080060"]["Value"][0] for each in series} == {"CT", "RTSTRUCT"}
    (rtss,) = client.search_for_series(search_filters={"Modality": "RTSTRUCT", "SeriesInstanceUID": RTSTRUCT})
    assert rtss["00201209"]["Value"] == [1]
    instances = client.search_for_instances(ct.StudyInstanceUID, ct.SeriesInstanceUID)
    assert {each["00080018"]["Value"][0] for each in instances} == {each.SOPInstanceUID for each in stored}
    assert all(each["00280010"]["Value"] == [16] for each in instances)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"PatientID": MARK}, True),
        ({"PatientID": "ZZ*"}, True),
        ({"PatientID": "zz*"}, False),
        ({"PatientName": f"{MARK.lower()}^j?hn"}, True),
        ({"PatientName": MARK}, True),
        ({"00100020": "?" * len(MARK)}, True),
        ({"PatientID": "[Z]*"}, False),
        ({"StudyDate": "19000101-20991231"}, True),
        ({"StudyDate": "-19000101"}, False),
        ({"ModalitiesInStudy": "CT"}, True),
        ({"ModalitiesInStudy": "MR"}, False),
    ],
)
def test_studies_are_matched_as_the_standard_says(client, stored, wanted, found) -> None:
    filters = {**wanted, "StudyInstanceUID": stored[0].StudyInstanceUID}
    assert bool(client.search_for_studies(search_filters=filters)) is found


def test_results_come_in_pages(client, stored) -> None:
    uids = [stored[0].StudyInstanceUID, stored[0].SeriesInstanceUID]
    whole = client.search_for_instances(*uids)
    pages = [client.search_for_instances(*uids, limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [len(page) for page in pages] == [3, 1, 0]
    assert pages[0] + pages[1] == whole


def test_what_a_job_made_is_fetched_like_any_object(client, contoured) -> None:
    back = client.retrieve_instance(contoured.StudyInstanceUID, RTSTRUCT, f"{RTSTRUCT}.1")
    assert back == contoured
    whole = client.retrieve_study(contoured.StudyInstanceUID)
    assert [each.Modality for each in whole].count("CT") == 4 and len(whole) == 5


def test_metadata_have_everything_but_pixels_and_say_where_those_are(client, stored) -> None:
    ct = stored[0]
    uids = [ct.StudyInstanceUID, ct.SeriesInstanceUID]
    metadata = client.retrieve_series_metadata(*uids)
    assert len(metadata) == 4
    (one,) = [each for each in metadata if each["00080018"]["Value"] == [ct.SOPInstanceUID]]
    link = one.pop("7FE00010")["BulkDataURI"]
    assert client.retrieve_bulkdata(link) == [ct.PixelData]
    without_pixels = Dataset({each.tag: each for each in ct if each.keyword != "PixelData"})
    assert Dataset.from_json(one) == without_pixels


def test_frames_are_the_stored_values(client, stored) -> None:
    ct = stored[2]
    uids = (ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID)
    (frame,) = client.retrieve_instance_frames(
        *uids, frame_numbers=[1], media_types=("application/octet-stream",)
    )
    assert frame == ct.PixelData


def test_implicit_little_endian_is_sent_as_explicit_unless_asked_for(
    client, server, slices, instance
) -> None:
    data = instance("1.2.826.0.1.3680043.10.999.77", syntax="1.2.840.10008.1.2")
    implicit = dcmread(BytesIO(data))
    client.store_instances([implicit])
    uids = (implicit.StudyInstanceUID, implicit.SeriesInstanceUID, implicit.SOPInstanceUID)
    back = client.retrieve_instance(*uids, media_types=(("application/dicom", ExplicitVRLittleEndian),))
    assert back.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian and back == implicit
    url = f"{server.url}/dicomweb/studies/{uids[0]}/series/{uids[1]}/instances/{uids[2]}"
    plain = httpx.get(url, headers={"Accept": 'application/dicom; transfer-syntax="*"'})
    assert plain.headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2"
    assert dcmread(BytesIO(plain.content)) == implicit
