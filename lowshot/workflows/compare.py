"""Compare methods at several label fractions over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from lowshot.errors import RequestError
from lowshot.experiments.cells import Plan, Variant, comparison_plan
from lowshot.progress import Report, quiet, warning
from lowshot.runs import read_provenance
from lowshot.schema import SCRATCH
from lowshot.workflows.datasets import open_dataset
from lowshot.workflows.settings import AllSections, Settings, nested, resolve_config

if TYPE_CHECKING:
    import pandas as pd

    from lowshot.data.dataset import Dataset

Method = str | tuple[str, Settings] | Variant
"""A method's name, alone or with its own settings; `scratch` for fresh weights."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The outcome of a comparison.

    Attributes:
        directory: with results.csv, differences.csv, plots and report.html.
        results: the rows of results.csv.
    """

    directory: Path
    results: "pd.DataFrame"

    @property
    def warnings(self) -> list[str]:
        """Warnings to read before relying on the figures."""
        return list(read_provenance(self.directory)["warnings"])


def compare(
    methods: Sequence[Method] = ("cmpc", "cid", SCRATCH),
    *,
    data: str | Path | None = None,
    fractions: Sequence[float] | None = None,
    adaptations: Sequence[str] = ("probe", "finetune"),
    subset_seeds: int = 3,
    seeds: int = 3,
    reference: str = "cid",
    jobs: int = 2,
    preset: str | None = None,
    config: str | Path | Settings | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: Path | None = None,
    trust_paths: bool = False,
    report: Report = quiet,
    **sections: Unpack[AllSections],
) -> Comparison:
    """Compare methods at several label fractions over seeds.

    After a stop, the same call continues.

    Args:
        methods: methods to compare.
        data: the dataset; the setting `data` if None.
        fractions: labelled fractions of the training identities; 0 uses no labels. If None, 0 and those of the setting
            `labels` that give two people or more.
        adaptations: how to use labels, `probe` and `finetune`.
        subset_seeds: number of labelled subsets of each fraction; their seeds count from 0.
        seeds: number of training seeds; they count from the setting `seed`.
        reference: method to compare the others with.
        jobs: number of pretrainings in parallel on a CPU.
        preset, config, settings, seed, sections: see `resolve_config`.
        out: the directory; that of the same request in `runs/`, or the next one, if None.
        trust_paths: let the manifest name files outside its folder.
        report: takes progress events.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was trained.
        RunError: a pretraining failed or was stopped.
    """
    named = {**sections, "data": data, "seed": seed}
    resolved = resolve_config(preset=preset, config=config, settings=settings, named=named)
    variants = [_variant(method) for method in methods]

    def plan_of(shares: Sequence[float] | None) -> Plan:
        return comparison_plan(resolved, variants, shares, adaptations, subset_seeds, seeds, reference)

    # A wrong request is refused before a world is rendered.
    plan = plan_of(fractions)
    dataset = open_dataset(resolved.data, trust_paths=trust_paths, report=report)
    if fractions is None and (possible := _possible(plan.labelled, dataset, report)) != plan.labelled:
        plan = plan_of((0.0, *possible))

    from lowshot.reporting import style
    from lowshot.workflows.comparison import run_comparison

    *first, last = (style.name(arm.label) for arm in plan.arms)
    title = f"{', '.join(first)} and {last}"
    return Comparison(*run_comparison(plan, title, resolved, dataset, out, jobs, report))


def _variant(method: Method) -> Variant:
    if isinstance(method, Variant):
        return method
    if isinstance(method, str):
        return Variant(method)
    name, changes = method
    return Variant(name, _by_key(nested(changes, "methods")))


def _by_key(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted keys."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _by_key(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _possible(shares: tuple[float, ...], dataset: "Dataset", report: Report) -> tuple[float, ...]:
    """Keep the default fractions that the data allow; warn of others.

    If none is left, take the fraction that labels two people.
    """
    from lowshot.adapt.subsets import labelled_count, training_people

    people, possible = len(training_people(dataset.manifest)), []
    for share in shares:
        try:
            labelled_count(people, share, "fractions")
            possible.append(share)
        except RequestError as error:
            warning(report, f"skipped {error}")
    if not possible and people > 1:
        possible.append(math.ceil(200 / people) / 100)
        warning(report, f"using `fractions={possible[0]:g}` instead: two of {people} people")
    return tuple(possible)
