"""A small file for each of a crowd's newest series, so that searching for a patient has headers to read.

A series has as many rows as one of a clinic has slices; they share its one file.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, Final

from pydicom import FileDataset, dcmread
from sqlalchemy import insert

from service.records import InstanceRecord
from service.showcase.crowd import uid_of
from service.showcase.stage import Stage

SLICES: Final = 160


def name_the_crowd(stage: Stage, template: Path, count: int) -> None:
    """Write one file for each of the newest `count` series and register its slices; patients are `Crowd^N0` and on."""
    dataset = dcmread(template)
    del dataset.PixelData  # searches stop before it
    with stage.database.write() as session:
        for number in range(count):
            path = Path("crowd") / f"{number % 100:02d}" / f"{number:06d}.dcm"
            size = _write(dataset, number, stage.settings.inbox_dir / path)
            rows = [_row(number, slice_, str(path), size) for slice_ in range(SLICES)]
            session.execute(insert(InstanceRecord), rows)


def _write(dataset: FileDataset, number: int, file: Path) -> int:
    dataset.PatientName = f"Crowd^N{number}"
    dataset.SeriesInstanceUID = uid_of(number)
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.write_bytes(stream.getvalue())


def _row(number: int, slice_: int, path: str, size: int) -> dict[str, Any]:
    return {
        "sop_uid": f"{uid_of(number)}.9.{slice_}",
        "series_uid": uid_of(number),
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "sha256": f"{SLICES * number + slice_:064x}",
        "path": path,
        "size_bytes": size,
        "sender": "PLANNING",
        "received_at": 0.0,
    }
