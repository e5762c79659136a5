"""CT numbers to network input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SOFT_TISSUE_HU = (-200.0, 300.0)

FloatArray = NDArray[np.float32]


def ct_channels(hu: NDArray[np.int16] | FloatArray) -> FloatArray:
    """Two views of the same CT, (z, y, x) HU to (2, z, y, x) float32 in [-1, 1].

    The soft-tissue window tells urine from muscle and clips bone; tanh(HU / 1000), the paper's localiser input,
    still tells cancellous from cortical bone. No histogram equalisation: a fixed window transfers between scanners
    (SCIENCE 4.3).
    """
    hu = np.asarray(hu, dtype=np.float32)
    low, high = SOFT_TISSUE_HU
    soft = np.clip((hu - low) / (high - low), 0, 1) * 2 - 1
    return np.stack([soft, np.tanh(hu / np.float32(1000))]).astype(np.float32)


def anatomy_guided_input(
    hu: NDArray[np.int16] | FloatArray, bladder: NDArray[np.bool_], rectum: NDArray[np.bool_]
) -> FloatArray:
    """AG-MTN's input: the CT, and the CT inside bladder and rectum, zero elsewhere (paper, CTV segmentation).

    Args:
        hu: CT numbers of the VOI, (z, y, x).
        bladder: its mask on the same voxels.
        rectum: likewise.

    Returns:
        (3, z, y, x) float32: the two channels of `ct_channels`, then the guide. In the guide the soft-tissue window
        runs from 0.2 to 1, so that gas inside the rectum differs from "no organ here", which is 0.
    """
    channels = ct_channels(hu)
    guide = np.where(bladder | rectum, channels[0] * np.float32(0.4) + np.float32(0.6), 0)
    return np.concatenate([channels, guide[None]]).astype(np.float32)
