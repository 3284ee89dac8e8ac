"""Adapt a model with a few labelled identities, or probe its embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from lowshot.adapt.names import Adaptation, adaptation_name
from lowshot.config import Config
from lowshot.errors import RequestError
from lowshot.progress import Report, message, quiet, warning
from lowshot.runs import WITHIN, check_out
from lowshot.schema import SCRATCH
from lowshot.settings import Strategy
from lowshot.workflows.datasets import open_dataset
from lowshot.workflows.settings import Sections, Settings, resolve_config

if TYPE_CHECKING:
    import pandas as pd

    from lowshot.adapt.early_stopping import Selected
    from lowshot.adapt.subsets import Subset
    from lowshot.data.dataset import Dataset
    from lowshot.data.readers.base import Reader
    from lowshot.models.loaded import LoadedModel

LABELS = 0.1
"""Default labelled fraction of the training identities."""


@dataclass(frozen=True)
class Adapted:
    """An adapted model.

    Attributes:
        directory: the run directory.
        selected: how its weights were chosen.
    """

    directory: Path
    selected: "Selected"


@dataclass(frozen=True, eq=False)
class Probed:
    """Results of probes within a modality.

    Attributes:
        directory: the run directory.
        results: the rows of results.csv, including chance.
    """

    directory: Path
    results: "pd.DataFrame"


def finetune(
    model: str | Path | None = None,
    *,
    labels: float | None = None,
    subset: Path | None = None,
    subset_seed: int | None = None,
    strategy: Strategy | None = None,
    data: str | Path | None = None,
    preset: str | None = None,
    config: str | Path | Settings | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: Path | None = None,
    trust_paths: bool = False,
    report: Report = quiet,
    **sections: Unpack[Sections],
) -> Adapted:
    """Train all or some weights with a few labelled identities.

    Args:
        model: a run directory, a weights file, `pretrained:NAME` or `scratch`; the newest pretrained run if None.
        labels: labelled fraction of the training identities, in (0, 1]; `LABELS` if None.
        subset: list of labelled identities or videos, instead of `labels` and `subset_seed`.
        subset_seed: seed of the labelled subset; 0 if None.
        strategy: which weights to train; the setting `adapt.strategy` if None.
        data: the dataset; the model's if None.
        preset, config, settings, sections: see `resolve_config`.
        seed: of the order and of augmentation.
        out: the run directory; the next one in `runs/` if None.
        trust_paths: let the manifest name files outside its folder.
        report: takes progress events.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
    """
    named = {**sections, "data": data, "seed": seed}
    if strategy is not None:
        named["adapt"] = {**(sections.get("adapt") or {}), "strategy": strategy}
    resolved = {"preset": preset, "config": config, "settings": settings, "named": named}
    return _adapt("finetune", model, _Labels(labels, subset, subset_seed), resolved, out, trust_paths, report)


def probe(
    model: str | Path | None = None,
    *,
    labels: float | None = None,
    subset: Path | None = None,
    subset_seed: int | None = None,
    data: str | Path | None = None,
    preset: str | None = None,
    config: str | Path | Settings | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: Path | None = None,
    trust_paths: bool = False,
    report: Report = quiet,
    **sections: Unpack[Sections],
) -> Adapted:
    """Train one linear map per frozen tower with a few labelled identities.

    Args:
        model, labels, subset, subset_seed, data, preset, config, settings, seed, out, trust_paths, report, sections:
            as of `finetune`.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
    """
    named = {**sections, "data": data, "seed": seed}
    resolved = {"preset": preset, "config": config, "settings": settings, "named": named}
    return _adapt("probe", model, _Labels(labels, subset, subset_seed), resolved, out, trust_paths, report)


def probe_within(
    modalities: Sequence[str],
    model: str | Path | None = None,
    *,
    targets: Sequence[str] = (),
    labels: float | None = None,
    subset: Path | None = None,
    subset_seed: int | None = None,
    data: str | Path | None = None,
    preset: str | None = None,
    config: str | Path | Settings | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: Path | None = None,
    trust_paths: bool = False,
    report: Report = quiet,
    **sections: Unpack[Sections],
) -> Probed:
    """Classify people by the frozen embeddings of one modality.

    Args:
        modalities: `voice`, `face` or both; each is probed alone.
        targets: some of identity, gender, age, nationality; all that the data allow if empty.
        model, labels, subset, subset_seed, data, preset, config, settings, seed, out, trust_paths, report, sections:
            as of `finetune`.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
    """
    asked = _Labels(labels, subset, subset_seed)
    check_out(out, WITHIN)
    named = {**sections, "data": data, "seed": seed}
    resolved = {"preset": preset, "config": config, "settings": settings, "named": named}
    pretrained, found, reader = _open(model, resolved, trust_paths, report)
    labelled = asked.subset_of(reader.dataset, report)
    message(report, f"probe {' and '.join(modalities)} of {pretrained.name} with {labelled} labelled ...")
    # It imports scikit-learn, which nothing else here needs.
    from lowshot.evaluation.linear_probe.run import probe_within as fit_probes

    return Probed(*fit_probes(pretrained, modalities, targets, labelled, reader, found, out, report))


class _Labels:
    """The labels that a person asked for.

    Args:
        share: labelled fraction of the training identities.
        listed: list of labelled identities or videos, instead of a fraction.
        seed: seed of the subset.

    Raises:
        RequestError: a list and a fraction are given, or a number is out of range.
    """

    def __init__(self, share: float | None, listed: Path | None, seed: int | None) -> None:
        for name, value in (("labels", share), ("subset_seed", seed)):
            if listed is not None and value is not None:
                raise RequestError(f"`subset` says what is labelled; leave `{name}` out")
        share, seed = LABELS if share is None else share, 0 if seed is None else seed
        if not isinstance(share, Real) or isinstance(share, bool):
            raise RequestError(f"`labels={share!r}`: give a number above 0 and at most 1, as in `labels=0.1` for 10 %")
        if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
            raise RequestError(f"`subset_seed={seed!r}`: give a whole number from 0 on, as in `subset_seed=1`")
        self._share: float = float(share)
        self._seed: int = int(seed)
        self._listed: Path | None = listed

    def subset_of(self, dataset: "Dataset", report: Report) -> "Subset":
        """The labelled rows of a dataset."""
        from lowshot.adapt.listed_subset import read_subset
        from lowshot.adapt.subsets import draw_subset

        if self._listed is None:
            return draw_subset(dataset.manifest, self._share, self._seed)
        subset, caution = read_subset(self._listed, dataset)
        if caution:
            warning(report, caution)
        return subset


def _adapt(
    adaptation: Adaptation,
    model: str | Path | None,
    labels: _Labels,
    resolved: Mapping[str, Any],
    out: Path | None,
    trust_paths: bool,
    report: Report,
) -> Adapted:
    check_out(out, adaptation)
    pretrained, config, reader = _open(model, resolved, trust_paths, report)
    labelled = labels.subset_of(reader.dataset, report)
    message(report, f"{adaptation_name(adaptation, config.adapt)} of {pretrained.name} with {labelled} labelled ...")
    from lowshot.adapt.run import adapt_to

    return Adapted(*adapt_to(pretrained, adaptation, labelled, reader, config, out))


def _open(
    model: str | Path | None, resolved: Mapping[str, Any], trust_paths: bool, report: Report
) -> "tuple[LoadedModel, Config, Reader]":
    """Open a model to adapt, with its settings and reader.

    Args:
        model: as of `finetune`.
        resolved: arguments of `resolve_config`.
        trust_paths, report: as of `open_dataset`.
    """
    if model == SCRATCH:
        config = resolve_config(**resolved)
        from lowshot.data.readers.choice import open_reader
        from lowshot.models.loaded import model_from_scratch

        dataset = open_dataset(config.data, trust_paths=trust_paths, report=report)
        reader = open_reader(dataset, config.model, config.voice, config.face)
        return model_from_scratch(config, reader.statistics), config, reader
    from lowshot.models.loaded import load_model

    pretrained = load_model(model, kinds=("pretrain",))
    # A run's own settings come first: its data, its crops, its seed.
    config = resolve_config(**resolved, base=pretrained.config)
    # Weights fit only the input and the towers that they were trained with.
    towers = pretrained.towers
    config = config.model_copy(
        update={"voice": towers.voice_config, "face": towers.face_config, "model": towers.model_config}
    )
    return pretrained, config, pretrained.open_reader(open_dataset(config.data, trust_paths=trust_paths, report=report))
