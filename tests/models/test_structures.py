"""The structures' colours can be told apart by everybody."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from models.structures import STRUCTURES

# Machado, Oliveira, Fernandes 2009, severity 1: what linear RGB becomes.
SEEN_BY = {
    "everybody else": np.eye(3),
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}
LEAST_DIFFERENCE = 12.0  # CIEDE2000; 2.3 is just noticeable side by side


def linear(srgb):
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encoded(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("eye", SEEN_BY)
def test_no_two_colours_look_alike(eye):
    colours = np.array([row.rgb for row in STRUCTURES])
    seen = rgb2lab(encoded(linear(colours) @ np.asarray(SEEN_BY[eye]).T)[None])[0]
    apart = deltaE_ciede2000(seen[:, None], seen[None]) + 1000 * np.eye(len(seen))
    assert apart.min() >= LEAST_DIFFERENCE
