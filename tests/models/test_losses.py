import pytest
import torch

from models.ag_mtn import AGMTNOutput
from models.losses import (
    BOUNDARY_WEIGHT,
    ELSEWHERE_WEIGHT,
    boundary_weights,
    ctv_loss,
    dice_loss,
    distance_loss,
    sensitive_dice_loss,
)


@pytest.fixture
def q():
    truth = torch.zeros(1, 1, 8, 8, 8)
    truth[..., 2:6, 2:6, 2:6] = 1
    return truth


def test_perfect_is_minus_one_and_disjoint_is_zero(q):
    assert float(dice_loss(q, q)) == pytest.approx(-1, abs=1e-5)
    assert float(dice_loss(1 - q, q)) == pytest.approx(0, abs=1e-6)


def test_l1_by_hand():
    p, q = torch.full((1, 1, 1, 1, 2), 0.5), torch.tensor([1.0, 0.0]).view(1, 1, 1, 1, 2)
    assert float(dice_loss(p, q)) == pytest.approx(-2 * 0.5 / (1 + 1), abs=1e-5)


def test_weights_decide_where_an_error_hurts(q):
    w = boundary_weights(q)
    assert w.unique().tolist() == pytest.approx([ELSEWHERE_WEIGHT, BOUNDARY_WEIGHT])
    at_boundary, far = q.clone(), q.clone()
    at_boundary[..., 2, 2, 2] = 0
    far[..., 0, 0, 0] = 1
    assert float(dice_loss(at_boundary, q, w)) > float(dice_loss(far, q, w))


def test_l2_pulls_missed_foreground_harder(q):
    def pull(loss):
        p = torch.full_like(q, 0.01, requires_grad=True)
        loss(p, q).backward()
        return float(-p.grad[q > 0].mean())

    assert pull(sensitive_dice_loss) > 2 * pull(dice_loss)


def test_the_four_parts_add_up(q):
    logits = torch.randn(1, 1, 8, 8, 8)
    auxiliary = (torch.randn(1, 1, 2, 2, 2), torch.randn(1, 1, 4, 4, 4))
    distance = torch.rand(1, 1, 8, 8, 8)
    zero_distance = torch.zeros_like(distance)
    whole = ctv_loss(AGMTNOutput(logits, auxiliary, distance), q, zero_distance)
    parts = dice_loss(torch.sigmoid(logits), q, boundary_weights(q)) + distance_loss(distance, zero_distance)
    for a in auxiliary:
        up = torch.nn.functional.interpolate(a, size=q.shape[2:], mode="trilinear", align_corners=False)
        parts = parts + dice_loss(torch.sigmoid(up), q)
    assert float(whole) == pytest.approx(float(parts), abs=1e-5)
