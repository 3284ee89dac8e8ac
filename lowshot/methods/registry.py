"""From a configuration to the method it names."""

import torch

from lowshot.config import CidConfig, Config
from lowshot.methods.base import Method
from lowshot.methods.cid import Cid
from lowshot.methods.cmpc import Cmpc


def build_method(config: Config, videos: int, steps_per_epoch: int, device: torch.device) -> Method:
    """The method of `config.method`, for a run over `videos` training videos."""
    if isinstance(config.method, CidConfig):
        return Cid(config.method)
    return Cmpc(
        config.method,
        videos,
        config.model.dim,
        steps_per_epoch,
        config.train.epochs,
        config.seed,
        device,
    )
