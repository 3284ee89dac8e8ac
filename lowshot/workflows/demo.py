"""The whole job on embedded data: CMPC, instance-wise contrast and fresh weights."""

from pathlib import Path
from typing import Unpack

from lowshot.progress import Report, quiet
from lowshot.workflows.compare import Comparison
from lowshot.workflows.datasets import open_dataset
from lowshot.workflows.settings import AllSections, Settings, resolve_config

METHODS = ("cmpc", "cid")


def demo(
    data: str | Path | None = None,
    *,
    seeds: int = 1,
    preset: str | None = None,
    config: str | Path | Settings | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: Path | None = None,
    trust_paths: bool = False,
    report: Report = quiet,
    **sections: Unpack[AllSections],
) -> Comparison:
    """Pretrain, adapt, evaluate and report.

    Each training seed has its own labelled subset.

    Args:
        data: the dataset; the setting `data` if None.
        seeds: number of training seeds; they count from the setting `seed`.
        preset, config, settings, seed, sections: see `resolve_config`. The setting `labels` holds the fractions.
        out: the directory; the newest stopped one of the same request in `runs/`, or the next one, if None.
        trust_paths: let the manifest name files outside its folder.
        report: takes progress events.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was trained.
        RunError: a pretraining failed or was stopped.
    """
    named = {**sections, "data": data, "seed": seed}
    resolved = resolve_config(preset=preset, config=config, settings=settings, named=named)
    dataset = open_dataset(resolved.data, trust_paths=trust_paths, report=report)

    from lowshot.adapt.names import adaptation_name
    from lowshot.experiments.cells import ADAPTATIONS, Arm, Plan
    from lowshot.schema import SCRATCH
    from lowshot.workflows.comparison import run_comparison

    plan = Plan(
        kind="demo",
        arms=(*(Arm(name, resolved.with_method(name)) for name in METHODS), Arm(SCRATCH, resolved)),
        fractions=tuple(dict.fromkeys((0.0, *resolved.labels))),
        adaptations=tuple(adaptation_name(kind, resolved.adapt) for kind in ADAPTATIONS),
        seeds=tuple(range(resolved.seed, resolved.seed + seeds)),
        subsets=(None,),
        pairs=tuple((METHODS[0], rival) for rival in (*METHODS[1:], SCRATCH)),
        labels_key="labels",
        request={"seeds": seeds},
    )
    title = "CMPC against instance-wise contrast"
    return Comparison(*run_comparison(plan, title, resolved, dataset, out, len(METHODS), report))
