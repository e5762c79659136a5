"""The paper's losses: one function per equation (Balagopal et al. 2021; symbols as there).

p is a prediction in [0, 1], q a truth in {0, 1}, w voxel weights; all (batch, 1, z, y, x). Each loss is the mean over
the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ag_mtn import AGMTNOutput

BOUNDARY_WEIGHT, ELSEWHERE_WEIGHT = 0.8, 0.2
DISTANCE_SCALE_MM = 30.0
EPSILON = 1e-6


def dice_loss(p: Tensor, q: Tensor, w: Tensor | None = None) -> Tensor:
    """L1: weighted soft Dice, -2 Σ w p q / (Σ w p + Σ w q); -1 is perfect."""
    weight = torch.ones_like(q) if w is None else w
    overlap = (weight * p * q).flatten(1).sum(1)
    size = (weight * p).flatten(1).sum(1) + (weight * q).flatten(1).sum(1)
    return (-2 * overlap / (size + EPSILON)).mean()


def sensitive_dice_loss(p: Tensor, q: Tensor) -> Tensor:
    """L2: Dice on the square root of the prediction.

    d(√p)/dp is large where p is near 0, so foreground that is missed is pulled hardest.
    """
    return dice_loss(torch.sqrt(p + EPSILON), q)


def boundary_weights(q: Tensor, *, voxels: int = 1) -> Tensor:
    """W of the CTV's main output: 0.8 within `voxels` of the true boundary, 0.2 elsewhere."""
    edge = 2 * voxels + 1
    grown = F.max_pool3d(q, edge, stride=1, padding=voxels)
    shrunk = -F.max_pool3d(-q, edge, stride=1, padding=voxels)
    return torch.where(grown > shrunk, BOUNDARY_WEIGHT, ELSEWHERE_WEIGHT)


def distance_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of the distance map (0 inside, distance to the boundary outside)."""
    return F.mse_loss(predicted, truth)


def ctv_loss(output: AGMTNOutput, q: Tensor, distance: Tensor) -> Tensor:
    """The four-part loss of AG-MTN: weighted L1, L1 on each auxiliary output, MSE of the distance map.

    Without the second task the last part is left out.

    Args:
        output: the network's, as logits.
        q: the true CTV.
        distance: true distance map in units of `DISTANCE_SCALE_MM`.
    """
    main = dice_loss(torch.sigmoid(output.segmentation), q, boundary_weights(q))
    auxiliary = torch.zeros_like(main)
    for logits in output.auxiliary:
        whole = F.interpolate(logits, size=q.shape[2:], mode="trilinear", align_corners=False)
        auxiliary = auxiliary + dice_loss(torch.sigmoid(whole), q)
    task = main + auxiliary
    return task if output.distance is None else task + distance_loss(output.distance, distance)
