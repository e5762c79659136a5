"""Stands in for the networks: some passes of 50 ms, each reported, then a small RTSTRUCT.

A worker process imports it through PENUMBRA_RUNNER. What is tried is the system around a job, not the job.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from worker.job_folder import RESULT_NAME, RTSTRUCT_NAME, Outcome, instances_dir, read_request
from worker.ledger import ProgressReport
from worker.run_job import Progress
from worker.uids import uid_from

PASS_S = 0.05
POISON_SEED = 666
"""A job of this seed kills the process that computes it."""


def run_job(folder: Path, out: Path, *, progress: Progress) -> Outcome:
    """As `worker/run_job.py:run_job`."""
    request = read_request(folder)
    if request.seed == POISON_SEED:
        os.kill(os.getpid(), signal.SIGKILL)
    first = dcmread(min(instances_dir(folder).iterdir()), stop_before_pixels=True)
    for number in range(1, request.passes + 1):
        time.sleep(PASS_S)
        progress(
            ProgressReport(
                stage="ctv",
                structure="CTV",
                passes_done=number,
                passes_total=request.passes,
                percent=100 * number / request.passes,
            )
        )
    _rtstruct(first, request.job_id).save_as(out / RTSTRUCT_NAME, enforce_file_format=True)
    (out / RESULT_NAME).write_text(json.dumps({"state": "done", "reason": None}))
    return Outcome("done")


def _rtstruct(ct: Dataset, job_id: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid_from(job_id, "rtstruct")
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for name in ("PatientName", "PatientID", "StudyInstanceUID"):
        setattr(dataset, name, ct.get(name, ""))
    dataset.SeriesInstanceUID = uid_from(job_id, "series")
    dataset.Modality, dataset.StructureSetLabel, dataset.StructureSetROISequence = "RTSTRUCT", "STUB", []
    return dataset
