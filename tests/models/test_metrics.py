import numpy as np
import pytest

from models.evaluation.metrics import average_surface_distance_mm, dice


def cube(low, high, n=20):
    mask = np.zeros((n, n, n), bool)
    mask[low:high, low:high, low:high] = True
    return mask


def test_dice_by_hand():
    assert dice(cube(0, 4), cube(2, 6)) == pytest.approx(2 * 8 / 128)
    assert dice(cube(0, 0), cube(0, 0)) == 1.0
    assert dice(cube(0, 4), cube(0, 0)) == 0.0


def test_surface_distance_of_a_shifted_plate():
    a = np.zeros((10, 30, 30), bool)
    b = a.copy()
    a[2:4], b[5:7] = True, True  # two plates, 3 slices apart
    assert average_surface_distance_mm(a, b, (2.0, 1.0, 1.0)) == pytest.approx(5.0, abs=1.1)


def test_surface_distance_is_zero_infinite_and_symmetric():
    a, b = cube(3, 9), cube(4, 11)
    assert average_surface_distance_mm(a, a, (1, 1, 1)) == 0
    assert average_surface_distance_mm(a, cube(0, 0), (1, 1, 1)) == float("inf")
    there, back = (average_surface_distance_mm(*pair, (1, 1, 1)) for pair in ((a, b), (b, a)))
    assert there == pytest.approx(back)
