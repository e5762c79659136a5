"""What training minimises: the paper's losses plus cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ag_mtn import AGMTNOutput
from models.losses import ctv_loss, dice_loss, sensitive_dice_loss
from models.recipes import NetworkRecipe
from models.training.batches import Batch

# Weight of a structure's pixels where one network finds all, by channel; unweighted, the bulb is never found.
RARITY = (2.0, 2.0, 4.0, 2.0, 20.0)

Output = Tensor | AGMTNOutput


def objective(output: Output, batch: Batch, recipe: NetworkRecipe, *, sensitive: bool) -> Tensor:
    """Dice with cross-entropy: Dice alone leaves probabilities uncalibrated (SCIENCE 2.2).

    The CTV's is the paper's loss of several parts, in every variant of its network; `sensitive` takes L2, not L1.
    """
    logits, q = main_logits(output).float(), batch.q
    all_organs = q.shape[1] == len(RARITY)
    rarity = torch.tensor(RARITY, device=q.device).view(-1, *[1] * (q.dim() - 2)) if all_organs else None
    entropy = F.binary_cross_entropy_with_logits(logits, q, pos_weight=rarity)
    if isinstance(output, AGMTNOutput):
        if batch.distance is None:
            raise ValueError(f"{recipe.name}: the CTV's network needs a distance map")
        return entropy + ctv_loss(output.float(), q, batch.distance)
    p = torch.sigmoid(logits)
    if all_organs:  # one Dice per channel over the whole batch
        p, q = p.transpose(0, 1), q.transpose(0, 1)
    return entropy + (sensitive_dice_loss(p, q) if sensitive else dice_loss(p, q))


def main_logits(output: Output) -> Tensor:
    """The logits of the segmentation."""
    return output.segmentation if isinstance(output, AGMTNOutput) else output
