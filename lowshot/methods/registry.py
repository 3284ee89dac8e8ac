"""The registry of methods by the class of their settings."""

from collections.abc import Callable
from typing import Any

from lowshot.methods.avid import Avid
from lowshot.methods.barlow import Barlow
from lowshot.methods.base import Method, RunShape
from lowshot.methods.cid import Cid
from lowshot.methods.cmpc import Cmpc
from lowshot.methods.cmpc_released import CmpcReleased
from lowshot.methods.pins import Pins
from lowshot.methods.robust_xid import RobustXid
from lowshot.methods.self_lifting import SelfLifting
from lowshot.methods.siglip import Siglip
from lowshot.settings import (
    AvidConfig,
    BarlowConfig,
    CidConfig,
    CmpcConfig,
    CmpcReleasedConfig,
    MethodConfig,
    PinsConfig,
    RobustXidConfig,
    SelfLiftingConfig,
    SiglipConfig,
)

# Methods by the class of their settings; lowshot.extend adds others.
BUILDERS: dict[type[MethodConfig], Callable[[Any, RunShape], Method]] = {
    CidConfig: Cid,
    CmpcConfig: Cmpc,
    AvidConfig: Avid,
    RobustXidConfig: RobustXid,
    CmpcReleasedConfig: CmpcReleased,
    SelfLiftingConfig: SelfLifting,
    PinsConfig: Pins,
    BarlowConfig: Barlow,
    SiglipConfig: Siglip,
}


def build_method(config: MethodConfig, shape: RunShape) -> Method:
    """Build the method of `config` for a run of the given shape."""
    return BUILDERS[type(config)](config, shape)
