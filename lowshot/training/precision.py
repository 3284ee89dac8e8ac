"""Precision of the towers, float32 or bfloat16; losses are always float32."""

import torch


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The autocast context for the towers' forward pass.

    Args:
        device: where they compute.
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 if the device has instructions for it. Without them it
            is emulated, which is slower than float32.
    """
    wanted = precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # Older versions of torch do not report it; float32 works everywhere.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
