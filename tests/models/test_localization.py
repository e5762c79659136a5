import numpy as np

from models.localization import centroids
from models.structures import CHANNELS

SPACING = (3.0, 4.0, 4.0)


def ball(shape, centre, radius):
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    return ((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2).astype(
        np.float32
    )


def volume():
    shape = (30, 48, 64)
    p = np.zeros((CHANNELS, *shape), np.float32)
    p[0] = ball(shape, (15, 22, 32), 5)
    p[1] = ball(shape, (18, 18, 32), 7)
    p[2] = ball(shape, (14, 32, 32), 4)
    p[3] = ball(shape, (14, 22, 12), 5) + ball(shape, (15, 22, 52), 4)
    p[4] = ball(shape, (5, 24, 32), 2)
    return p


def test_centres_are_where_the_structures_are():
    found = centroids(volume(), SPACING)
    assert np.allclose(found["Bladder"].index_zyx, (18, 18, 32))
    assert np.allclose(found["PenileBulb"].index_zyx, (5, 24, 32))
    assert len(found) == 6


def test_left_is_high_x_whichever_head_is_larger():
    found = centroids(volume(), SPACING)
    assert found["Femur_Head_L"].index_zyx[2] == 52
    assert found["Femur_Head_R"].index_zyx[2] == 12


def test_islands_do_not_move_a_centre():
    p = volume()
    p[1, 2, 40:42, 2:5] = 1
    assert np.allclose(centroids(p, SPACING)["Bladder"].index_zyx, (18, 18, 32))


def test_one_head_alone_is_not_given_a_side():
    p = volume()
    p[3, :, :, 40:] = 0
    assert not {"Femur_Head_L", "Femur_Head_R"} & set(centroids(p, SPACING))


def test_a_round_bone_elsewhere_is_no_head():
    """A scan that reaches to the shoulders: the larger ball above is not the partner of either head."""
    p = volume()
    tall = np.zeros((CHANNELS, 100, 48, 64), np.float32)
    tall[:, :30] = p
    tall[3] += ball(tall.shape[1:], (85, 22, 10), 6) + ball(tall.shape[1:], (60, 22, 32), 6)
    found = centroids(tall, SPACING)
    assert np.allclose(found["Femur_Head_L"].index_zyx, (15, 22, 52))
    assert np.allclose(found["Femur_Head_R"].index_zyx, (14, 22, 12))


def test_two_balls_too_near_each_other_are_no_pair():
    p = volume()
    p[3] = ball(p.shape[1:], (14, 22, 22), 5) + ball(p.shape[1:], (15, 22, 42), 5)
    assert not {"Femur_Head_L", "Femur_Head_R"} & set(centroids(p, SPACING))


def test_specks_are_not_organs():
    p = np.zeros_like(volume())
    p[:, 4, 4, 4] = 1
    assert centroids(p, SPACING) == {}


def test_what_is_found_in_two_pieces_has_the_centre_of_both():
    p = volume()
    p[1] = 0
    p[1, 12:16, 14:20, 28:36] = 1
    p[1, 20:24, 14:20, 28:36] = 1
    assert np.allclose(centroids(p, SPACING)["Bladder"].index_zyx, (17.5, 16.5, 31.5))


def test_a_bulb_is_sought_below_the_femoral_heads_even_if_it_is_faint():
    """Something like a bulb among the bowel is larger and clearer, and still is none."""
    p = volume()
    p[4] *= 0.3
    p[4] += ball(p.shape[1:], (27, 24, 32), 3)
    assert np.allclose(centroids(p, SPACING)["PenileBulb"].index_zyx, (5, 24, 32))
