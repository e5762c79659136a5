"""Whether a series is still coming from an archive, and so not to be taken as sent however quiet it is."""

from typing import Final

from sqlalchemy import ColumnElement, and_, exists, or_

from service.records import PullRecord, SeriesRecord

OPEN: Final = ("waiting", "running")


def still_coming() -> ColumnElement[bool]:
    """A condition on `SeriesRecord`: a pull of it is open, or ended with less than was announced."""
    return exists().where(
        PullRecord.series_uid == SeriesRecord.series_uid,
        or_(
            PullRecord.state.in_(OPEN),
            and_(PullRecord.state == "incomplete", PullRecord.announced > SeriesRecord.instance_count),
        ),
    )
