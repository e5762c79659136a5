"""Mixed precision only where it is fast: without instructions for it bfloat16 is many times slower than float32."""

from __future__ import annotations

import torch


def mixed_precision(device: torch.device) -> torch.autocast:
    """The context in which a network runs in training and validation."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device))


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 pay on a device: any GPU, or a CPU with AVX-512.

    On a CPU with AVX2 alone a step of AG-MTN took tens of seconds in bfloat16 and 2 in float32 (PyTorch issue 183815).
    """
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
