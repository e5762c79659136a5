"""Mixed precision only where it is fast: without instructions for it bfloat16 is many times slower than float32."""

from __future__ import annotations

import torch


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 pay on a device: any GPU, or a CPU with AVX-512.

    Measured on a CPU with AVX2 alone, one step of AG-MTN: 50 s in bfloat16, 2 s in float32 (PyTorch issue 183815).
    """
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
