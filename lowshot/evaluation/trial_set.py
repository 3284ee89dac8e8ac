"""A trial set: every list of trials that models are measured on, built once and the same for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.custom import MEASURES, OwnTrials
from lowshot.evaluation.matching import usable_sizes
from lowshot.evaluation.protocols import (
    PROTOCOLS,
    MatchingProtocol,
    RetrievalProtocol,
    VerificationProtocol,
    matching_protocol,
    retrieval_protocol,
    verification_protocol,
)
from lowshot.evaluation.retrieval import (
    Queries,
    random_order_map,
    retrieval_queries,
)
from lowshot.evaluation.strata import missing_attributes
from lowshot.evaluation.trials import (
    HiddenTrials,
    MatchingTrials,
    Population,
    RetrievalTrials,
    VerificationTrials,
    build_matching,
    build_retrieval,
    build_verification,
    seen_heard_population,
    split_population,
)
from lowshot.schema import SEEN


@dataclass(frozen=True, eq=False)
class TrialSet:
    """Everything a model is measured on, the same for every model.

    Args:
        dataset: voices and faces, and whose they are.
        verification: one list per population and stratum.
        matching: one list per direction and stratum.
        retrieval: the voices and faces of a retrieval, or None.
        queries: one list per direction of the retrieval.
        gallery_sizes: N of the matching figures.
        seed: seed of trials and resamples.
        replicates: number of resamples; None: what each protocol names.
        warnings: what was skipped or left out, a line each, for the reader of the figures.
        verification_protocol, matching_protocol, retrieval_protocol: metrics, settings and intervals.
        hidden: lists whose labels a challenge keeps.
        own: protocols of modules of one's own.
    """

    dataset: Dataset
    verification: tuple[VerificationTrials, ...]
    matching: tuple[MatchingTrials, ...]
    retrieval: RetrievalTrials | None
    queries: tuple[Queries, ...]
    gallery_sizes: tuple[int, ...]
    seed: int
    replicates: int | None
    warnings: tuple[str, ...]
    verification_protocol: VerificationProtocol = field(default_factory=verification_protocol)
    matching_protocol: MatchingProtocol = field(default_factory=matching_protocol)
    retrieval_protocol: RetrievalProtocol = field(default_factory=retrieval_protocol)
    hidden: tuple[HiddenTrials, ...] = ()
    own: tuple[OwnTrials, ...] = ()

    def resamples(self, protocol: VerificationProtocol | MatchingProtocol | RetrievalProtocol) -> tuple[int, int]:
        """Number of resamples for the intervals of a protocol, and their seed."""
        return self.replicates or protocol.interval.replicates, self.seed

    @property
    def voices(self) -> np.ndarray:
        """Row numbers of all voices that take part: what must be embedded, once each."""
        return self._rows("voice")

    @property
    def faces(self) -> np.ndarray:
        """Row numbers of all faces that take part: what must be embedded, once each."""
        return self._rows("face")

    def _rows(self, modality: str) -> np.ndarray:
        used = [part.voice if modality == "voice" else part.face for part in self.verification]
        for part in self.matching:
            is_probe = part.direction.startswith(modality)
            used.append(part.probe if is_probe else np.append(part.target, part.impostors[part.impostors >= 0]))
        if self.retrieval is not None:
            used.append(self.retrieval.voices if modality == "voice" else self.retrieval.faces)
        used += [part.voice if modality == "voice" else part.face for part in self.hidden]
        used += [part.population.rows(modality) for part in self.own]
        return np.unique(np.concatenate(used)) if used else np.empty(0, dtype=np.int64)


def build_trial_set(
    dataset: Dataset,
    *,
    protocols: Sequence[str] = PROTOCOLS,
    split: str = "test",
    strata: Sequence[str] | None = None,
    gallery_sizes: Sequence[int] | None = None,
    seed: int = 0,
    replicates: int | None = None,
    exclude_same_video: bool = False,
) -> TrialSet:
    """Build trials from a manifest.

    Args:
        dataset: voices and faces with identities.
        protocols: some of `PROTOCOLS` and `MEASURES`.
        split: `test`, or `val` for selecting a model.
        strata: strata of verification and matching, for seen-heard people too; None: those that the protocols name.
        gallery_sizes: N of matching, each at least 2; None: those the protocol names.
        seed: seed of trials and resamples.
        replicates: number of resamples for intervals; None: what the protocols name.
        exclude_same_video: leave out probes whose identity has no other video, instead of pairing them within one.

    Raises:
        RequestError: an unknown protocol, stratum or size, a split in which trials cannot be built, or nothing left to
            measure.
    """
    for name in protocols:
        if name not in (*PROTOCOLS, *MEASURES):
            raise RequestError(f"no protocol '{name}'; there are {', '.join((*PROTOCOLS, *MEASURES))}")
    verification, matching, retrieval = verification_protocol(), matching_protocol(), retrieval_protocol()
    for stratum in strata or ():
        verification.attributes(stratum)
        matching.attributes(stratum)
    sizes = sorted(set(gallery_sizes or matching.gallery_sizes))
    if sizes[0] < 2:
        raise RequestError(f"gallery size {sizes[0]}: matching needs at least 2 candidates")
    population = split_population(dataset, split)
    warnings: list[str] = []
    if population.unlabelled:
        warnings.append(f"{population.unlabelled} rows of split {split} have no identity and take part in no trial")
    verified: list[VerificationTrials] = []
    matched: list[MatchingTrials] = []
    # Held-out clips of training identities are a second test population; validation has none.
    held_out = seen_heard_population(dataset) if split == "test" else None
    drawing = _Drawing(dataset, seed, exclude_same_video, warnings)
    if "verification" in protocols:
        verified = drawing.verification(population, verification, strata or verification.default_strata)
        if held_out is not None:
            verified += drawing.verification(held_out, verification, strata or verification.seen_heard_strata)
    if "matching" in protocols:
        matched = drawing.matching(population, matching, strata or matching.default_strata, sizes)
        if held_out is not None and strata:
            matched += drawing.matching(held_out, matching, strata, sizes)
    gallery = build_retrieval(population) if "retrieval" in protocols else None
    queries = find_queries(dataset, gallery, retrieval, warnings) if gallery is not None else []
    own = tuple(OwnTrials(name, population, MEASURES[name]) for name in protocols if name in MEASURES)
    if not (verified or matched or queries or own):
        raise RequestError(
            f"{dataset.name}, split {split}: nothing to measure; {'; '.join(warnings) or 'name a protocol'}"
        )
    return TrialSet(
        dataset=dataset,
        verification=tuple(verified),
        matching=tuple(matched),
        retrieval=gallery,
        queries=tuple(queries),
        gallery_sizes=tuple(sizes),
        seed=seed,
        replicates=replicates,
        warnings=tuple(warnings),
        verification_protocol=verification,
        matching_protocol=matching,
        retrieval_protocol=retrieval,
        own=own,
    )


@dataclass(frozen=True, eq=False)
class _Drawing:
    """Lists drawn from one manifest with one seed; what they lack goes to `warnings`."""

    dataset: Dataset
    seed: int
    exclude_same_video: bool
    warnings: list[str]

    def verification(
        self, population: Population, protocol: VerificationProtocol, strata: Sequence[str]
    ) -> list[VerificationTrials]:
        built = []
        for stratum in strata:
            name = f"verification {stratum} {population.seen}"
            attributes = protocol.attributes(stratum)
            if _lacks(self.dataset, attributes, name, self.warnings):
                continue
            trials = build_verification(
                self.dataset,
                population,
                stratum,
                attributes,
                protocol.age_bounds,
                self.seed,
                self.exclude_same_video,
            )
            if _warn(len(trials) // 2, trials.unmatched, trials.same_video, name, "voice", self.warnings):
                built.append(trials)
        return built

    def matching(
        self, population: Population, protocol: MatchingProtocol, strata: Sequence[str], sizes: Sequence[int]
    ) -> list[MatchingTrials]:
        built = []
        for stratum in strata:
            attributes = protocol.attributes(stratum)
            for direction in protocol.directions:
                # Seen-heard lists are drawn on request only; the others have gone by this name from the beginning.
                heard = f" {population.seen}" if population.seen == SEEN else ""
                name = f"matching {stratum} {direction}{heard}"
                if _lacks(self.dataset, attributes, name, self.warnings):
                    continue
                trials = build_matching(
                    self.dataset,
                    population,
                    direction,
                    sizes[-1],
                    stratum,
                    attributes,
                    protocol.age_bounds,
                    self.seed,
                    self.exclude_same_video,
                )
                if not _warn(len(trials), trials.unmatched, trials.same_video, name, "probe", self.warnings):
                    continue
                if trials.largest < sizes[-1]:
                    few = f"{name}: galleries go up to {trials.largest}, there are too few identities for more"
                    self.warnings.append(few)
                if usable_sizes(trials, sizes):
                    built.append(trials)
        return built


def find_queries(
    dataset: Dataset, trials: RetrievalTrials, protocol: RetrievalProtocol, warnings: list[str]
) -> list[Queries]:
    """The queries of each direction that have something to find; what a reader should know goes to `warnings`."""
    built = []
    for direction in protocol.directions:
        queries = retrieval_queries(trials, direction, dataset)
        if _warn(len(queries), queries.unmatched, 0, f"retrieval {direction}", "query", warnings):
            built.append(queries)
            prevalence = float((queries.relevant / queries.ranked).mean())
            warnings.append(
                f"retrieval {direction}: chance mAP is that of equal scores, {prevalence:.4f}; "
                f"a random order expects {random_order_map(queries):.4f}"
            )
    return built


def _lacks(dataset: Dataset, attributes: Sequence[str], name: str, warnings: list[str]) -> bool:
    missing = missing_attributes(dataset, attributes)
    if missing:
        warnings.append(f"{name}: skipped, the manifest has no column '{missing[0]}'")
    return bool(missing)


def _warn(kept: int, unmatched: int, same_video: int, name: str, noun: str, warnings: list[str]) -> bool:
    """Warn of what a list lacks; false when it has no trials."""
    if not kept:
        warnings.append(f"{name}: skipped, no {noun} has a match of its own and an eligible impostor")
        return False
    if unmatched:
        warnings.append(
            f"{name}: {unmatched} of {kept + unmatched} {noun} rows left out for want of a match or an impostor"
        )
    if same_video:
        warnings.append(f"{name}: {same_video} of {kept} positives are of one video, their identity has no other")
    return True
