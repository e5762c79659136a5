"""Stands in for the networks: takes passes × 0.1 s, reports every pass, leaves a small valid RTSTRUCT.

A worker process imports it through PENUMBRA_RUNNER. Each start appends one line to `runs.log` in the
job's folder, so that a test can count attempts.
"""

import json
import os
import signal
import time
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from worker.errors import NotCT, Rejected
from worker.job_folder import Outcome, instances_dir, read_request
from worker.ledger import ProgressReport

PASS_S = 0.1
POISON_SEED = 666
STALL_SEED = 667


def run(folder, out, *, progress):
    """As `worker/run_job.py:run_job`."""
    request = read_request(folder)
    with (folder / "runs.log").open("a") as log:
        log.write(f"{os.getpid()} {out.name}\n")
    if request.seed == POISON_SEED:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        first = _first_ct(folder)
    except Rejected as rejected:
        (out / "result.json").write_text(json.dumps({"state": "rejected", "reason": rejected.as_reason()}))
        return Outcome("rejected", rejected.as_reason())
    for number in range(request.passes):
        if request.seed == STALL_SEED:
            time.sleep(3600)
        time.sleep(PASS_S)
        progress(_report(number + 1, request.passes))
    _rtstruct(first, request.job_id).save_as(out / "rtstruct.dcm", enforce_file_format=True)
    (out / "result.json").write_text(json.dumps({"state": "done", "reason": None}))
    return Outcome("done")


def _report(done, total):
    return ProgressReport(
        stage="ctv", structure="CTV", passes_done=done, passes_total=total, percent=100 * done / total
    )


def _first_ct(folder: Path) -> Dataset:
    headers = [dcmread(path, stop_before_pixels=True) for path in sorted(instances_dir(folder).iterdir())]
    if any(header.Modality != "CT" for header in headers):
        raise NotCT("The series is no CT.")
    return headers[0]


def _rtstruct(ct: Dataset, job_id: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[job_id])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for name in ("PatientName", "PatientID", "StudyInstanceUID"):
        setattr(dataset, name, ct.get(name, ""))
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[job_id, "series"])
    dataset.Modality = "RTSTRUCT"
    dataset.StructureSetLabel = "STUB"
    dataset.StructureSetROISequence = []
    return dataset
