"""A small file for each of a crowd's newest series, so that searching for a patient has headers to read."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread
from sqlalchemy import insert

from service.records import InstanceRecord
from service.showcase.crowd import uid_of
from service.showcase.stage import Stage


def name_the_crowd(stage: Stage, template: Path, count: int) -> None:
    """Write and register one slice for each of the newest `count` series; patients are called `Crowd^N0` and on."""
    dataset = dcmread(template)
    del dataset.PixelData  # searches stop before it
    rows: list[dict[str, Any]] = []
    for number in range(count):
        dataset.PatientName = f"Crowd^N{number}"
        dataset.SeriesInstanceUID = uid_of(number)
        stream = BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        path = Path("crowd") / f"{number % 100:02d}" / f"{number:06d}.dcm"
        (stage.settings.inbox_dir / path).parent.mkdir(parents=True, exist_ok=True)
        (stage.settings.inbox_dir / path).write_bytes(stream.getvalue())
        rows.append(_row(number, str(path), len(stream.getvalue())))
    with stage.database.write() as session:
        session.execute(insert(InstanceRecord), rows)


def _row(number: int, path: str, size: int) -> dict[str, Any]:
    return {
        "sop_uid": f"{uid_of(number)}.9",
        "series_uid": uid_of(number),
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "sha256": f"{number:064x}",
        "path": path,
        "size_bytes": size,
        "sender": "PLANNING",
        "received_at": 0.0,
    }
