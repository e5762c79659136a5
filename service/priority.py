"""How urgent a job is: 0 goes first, 9 last. Within one step jobs start in the order in which they were queued.

Redis keeps one list per step (`priority_steps` in `worker/celery_app.py`), so that numbers between two steps are
alike: 0-2, 3-5, 6-8 and 9.
"""

from typing import Annotated, Final

from pydantic import Field

MOST_URGENT: Final = 0
NORMAL: Final = 3
LEAST_URGENT: Final = 9

Priority = Annotated[int, Field(ge=MOST_URGENT, le=LEAST_URGENT)]
