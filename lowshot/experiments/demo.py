"""The whole job: CMPC against instance-wise contrast and from-scratch, without labels and with few."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from lowshot.adapt.names import adaptation_name
from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.experiments.cells import ADAPTATIONS, Arm, Plan
from lowshot.experiments.compare import run_comparison
from lowshot.schema import SCRATCH

METHODS = ("cmpc", "cid")


def run_demo(
    config: Config, dataset: Dataset, seeds: int, out: Path | None, say: Callable[[str], None]
) -> tuple[Path, pd.DataFrame]:
    """Pretrain, adapt, evaluate and report; each training seed has a labelled subset of its own.

    Args:
        config: settings; `config.labels` are the fractions.
        dataset, out, say: as of `run_comparison`.
        seeds: how many training seeds, from `config.seed` on.

    Returns:
        The directory and the rows of its results.csv.

    Raises:
        RequestError, RunError: as `run_comparison`.
    """
    rivals = (*METHODS[1:], SCRATCH)
    plan = Plan(
        kind="demo",
        title="CMPC against instance-wise contrast",
        command=("demo", "--seeds", str(seeds)),
        arms=(*(Arm(name, config.with_method(name)) for name in METHODS), Arm(SCRATCH, config)),
        fractions=tuple(dict.fromkeys((0.0, *config.labels))),
        adaptations=tuple(adaptation_name(kind, config.adapt) for kind in ADAPTATIONS),
        seeds=tuple(range(config.seed, config.seed + seeds)),
        subsets=(None,),
        pairs=tuple((METHODS[0], rival) for rival in rivals),
        labels_key="--labels",
        request={"seeds": seeds},
    )
    return run_comparison(plan, config, dataset, out, len(METHODS), say)
