import numpy as np
import pytest
import torch

from models.recipes import SMALL
from models.structures import STRUCTURES
from models.training.augmentation import corrupt_mask
from models.training.cases import Case, load_case, save_case
from models.training.examples import slices_example, voi_example

RECIPES = {network.name: network for network in SMALL.networks}
BITS = {s.name: bit for bit, s in enumerate(STRUCTURES)}


@pytest.fixture
def case():
    """Two femoral heads of different size, a CTV, bladder and rectum between them; HU tell which is which."""
    hu = np.full((60, 120, 200), -100, np.int16)
    labels = np.zeros(hu.shape, np.uint8)
    z, y, x = np.ogrid[:60, :120, :200]

    def put(name, centre, radius_mm, value):
        r2 = (3 * (z - centre[0])) ** 2 + (1.5 * (y - centre[1])) ** 2 + (1.5 * (x - centre[2])) ** 2
        labels[r2 <= radius_mm**2] |= 1 << BITS[name]
        hu[r2 <= radius_mm**2] = value

    put("Femur_Head_R", (30, 60, 45), 21, 300)
    put("Femur_Head_L", (30, 60, 155), 27, 900)
    put("Bladder", (38.3, 50.4, 100.2), 30, 10)
    put("Rectum", (30, 90, 100), 15, 30)
    put("CTV", (28, 68, 100), 18, 45)
    put("PenileBulb", (12, 66, 100), 9, 60)
    return Case(hu=hu, labels=labels, spacing_zyx_mm=(3.0, 1.5, 1.5))


def test_an_unmoved_voi_is_centred_on_the_structure(case):
    for name in BITS:
        q = voi_example(case, RECIPES[name], np.random.default_rng(0), vary=False).q[0]
        centre = torch.nonzero(q).double().mean(0)
        middle = (torch.tensor(q.shape).double() - 1) / 2
        assert torch.allclose(centre, middle, atol=0.6), name


def test_volume_survives_the_cut(case):
    truth = case.mask("Bladder").sum() * np.prod(case.spacing_zyx_mm)
    recipe = RECIPES["Bladder"]
    q = voi_example(case, recipe, np.random.default_rng(0), vary=False).q
    assert float(q.sum()) * np.prod(recipe.spacing_zyx_mm) == pytest.approx(truth, rel=0.03)


def test_a_flip_lends_the_other_sides_head(case):
    """Half of the time the left network learns from the mirrored right head; HU tell which one it was."""
    lent = 0
    for seed in range(12):
        example = voi_example(case, RECIPES["Femur_Head_L"], np.random.default_rng(seed), vary=True)
        bone = float(example.x[1][example.q[0] > 0.5].median())
        lent += bone < 0.5  # tanh(0.3) = 0.29 is the right head, tanh(0.9) = 0.72 the left one
    assert 2 <= lent <= 10


def test_a_lent_head_is_mirrored(case):
    """A plate lies medially of each head. However it was augmented, the left network sees it towards low x."""
    case.hu[:, :, 66:72] = case.hu[:, :, 128:134] = 2000
    for seed in range(12):
        example = voi_example(case, RECIPES["Femur_Head_L"], np.random.default_rng(seed), vary=True)
        plate = torch.nonzero(example.x[1] > 0.93)[:, 2].double()
        head = torch.nonzero(example.q[0])[:, 2].double()
        assert plate.mean() < head.mean(), seed


def test_the_guide_shows_both_organs_and_nothing_else(case):
    x = voi_example(case, RECIPES["CTV"], np.random.default_rng(0), vary=False).x
    guide = x[2]
    assert float(guide[guide > 0].min()) >= 0.2
    assert 0.02 < float((guide > 0).float().mean()) < 0.6


def test_the_localiser_gets_mostly_labelled_slices(case):
    example = slices_example(case, RECIPES["Localizer"], np.random.default_rng(1), vary=True)
    assert example.x.shape == (16, 2, 96, 128) and example.q.shape == (16, 5, 96, 128)
    assert float(example.q.amax((1, 2, 3)).mean()) > 0.5


def test_corruption_leaves_an_organ_recognisable():
    mask = torch.zeros(24, 48, 48)
    mask[6:18, 12:36, 12:36] = 1
    for seed in range(10):
        corrupted = corrupt_mask(np.random.default_rng(seed), mask)
        overlap = 2 * (corrupted * mask).sum() / (corrupted.sum() + mask.sum())
        assert 0.6 < float(overlap) < 0.999


def test_a_case_survives_the_disk(case, tmp_path):
    save_case(case, tmp_path / "one.npz")
    again = load_case(tmp_path / "one.npz")
    assert (again.hu == case.hu).all() and (again.labels == case.labels).all()
    assert again.spacing_zyx_mm == case.spacing_zyx_mm
