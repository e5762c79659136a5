"""What tests of training learn from."""

import numpy as np
import pytest

from models.structures import STRUCTURES
from models.training.cases import Case, save_case

SPHERE_MM = 10
BULB = [s.name for s in STRUCTURES].index("PenileBulb")


@pytest.fixture(scope="session")
def save_sphere():
    """Write a case in which the penile bulb is a bright ball in fat, a little elsewhere in each."""

    def save(path, index, *, shown=True):
        z, y, x = np.ogrid[:20, :60, :60]
        ball = ((z - 10) * 3) ** 2 + ((y - 28 - index) * 1.5) ** 2 + ((x - 30) * 1.5) ** 2 < SPHERE_MM**2
        hu = np.where(ball, 80, -90).astype(np.int16)
        labels = (ball & shown).astype(np.uint8) << BULB
        save_case(Case(hu=hu, labels=labels, spacing_zyx_mm=(3.0, 1.5, 1.5)), path)
        return path

    return save
