"""A trial set: the lists that all models are measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.base import Protocol, Request, Trials
from lowshot.evaluation.protocols.registry import find, in_all
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.trial_lists.submission import HiddenTrials
from lowshot.evaluation.trials import seen_heard_population, split_population

T = TypeVar("T", bound=Trials)


@dataclass(frozen=True, eq=False)
class Part:
    """The lists of one protocol, at least one."""

    protocol: Protocol[Any]
    lists: tuple[Trials, ...]


@dataclass(frozen=True, eq=False)
class TrialSet:
    """Everything a model is measured on, the same for every model.

    Args:
        dataset: voices and faces with identities.
        parts: one per protocol that has trials.
        seed: seed of trials and resamples.
        replicates: number of resamples; that of each protocol if None.
        warnings: what was skipped, one line each.
        hidden: lists whose labels a challenge keeps.
    """

    dataset: Dataset
    parts: tuple[Part, ...]
    seed: int
    replicates: int | None
    warnings: tuple[str, ...]
    hidden: tuple[HiddenTrials, ...] = ()

    def of(self, kind: type[T]) -> tuple[T, ...]:
        """The lists of one kind, such as `VerificationTrials`."""
        return tuple(trials for part in self.parts for trials in part.lists if isinstance(trials, kind))

    @property
    def voices(self) -> IntArray:
        """Return the row numbers of all voices that take part."""
        return self._rows("voice")

    @property
    def faces(self) -> IntArray:
        """Return the row numbers of all faces that take part."""
        return self._rows("face")

    def _rows(self, modality: str) -> IntArray:
        used = [trials.rows(modality) for part in self.parts for trials in part.lists]
        used += [part.voice if modality == "voice" else part.face for part in self.hidden]
        return np.unique(np.concatenate(used)) if used else np.empty(0, dtype=np.int64)


def build_trial_set(
    dataset: Dataset,
    *,
    protocols: Sequence[str | Protocol[Any]] | None = None,
    split: str = "test",
    strata: Sequence[str] | None = None,
    seed: int = 0,
    replicates: int | None = None,
    exclude_same_video: bool = False,
) -> TrialSet:
    """Build trials from a manifest.

    Args:
        dataset: voices and faces with identities.
        protocols: names of protocols, or protocols, as in `find("matching").using(gallery_sizes=(2, 5))`; None: those
            that `all` means.
        split: `test`, or `val` for selecting a model.
        strata: strata of protocols that have strata, for seen-heard people too; None: those that each protocol names.
        seed: seed of trials and resamples.
        replicates: number of resamples for intervals; None: what each protocol names.
        exclude_same_video: skip probes whose identity has no other video, instead of pairing them within one.

    Raises:
        RequestError: a protocol or stratum is unknown, the split allows no trials, or there is nothing to measure.
    """
    asked = [find(name) if isinstance(name, str) else name for name in (in_all() if protocols is None else protocols)]
    population = split_population(dataset, split)
    warnings: list[str] = []
    if population.unlabelled:
        warnings.append(f"skipped {population.unlabelled:,} rows of split {split}: they have no identity")
    request = Request(
        dataset=dataset,
        population=population,
        # Held-out clips of training identities are a second test population; validation has none.
        held_out=seen_heard_population(dataset) if split == "test" else None,
        strata=tuple(strata or ()),
        seed=seed,
        exclude_same_video=exclude_same_video,
        warnings=warnings,
    )
    built = [Part(protocol, tuple(protocol.build(request))) for protocol in asked]
    parts = tuple(part for part in built if part.lists)
    if not parts:
        raise RequestError(
            f"{dataset.name}, split {split}: nothing to measure; {'; '.join(warnings) or 'name a protocol'}"
        )
    return TrialSet(dataset=dataset, parts=parts, seed=seed, replicates=replicates, warnings=tuple(warnings))
