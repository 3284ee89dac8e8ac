"""The device that models compute on."""

import torch

from lowshot.errors import RequestError


def default_device() -> torch.device:
    """The first CUDA device, or the CPU without one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_device(name: str | torch.device | None) -> torch.device:
    """The device of a given name.

    Args:
        name: as in `cpu`, `cuda`, `cuda:1` or `mps`; None for `default_device()`.

    Raises:
        RequestError: there is no such device on this machine.
    """
    if name is None:
        return default_device()
    try:
        device = torch.device(name)
        # torch knows the names of devices that this machine lacks.
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RequestError(f"`device={name}`: no such device here; try cpu, or leave it out") from error
    return device
