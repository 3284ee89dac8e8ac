"""A trial set from lists: what other people's lists ask of a dataset, checked, joined and noted."""

from collections.abc import Callable, Sequence
from pathlib import Path

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.protocols import matching_protocol, retrieval_protocol
from lowshot.evaluation.trial_lists.audit import Auditor
from lowshot.evaluation.trial_lists.listed import GalleryList, HiddenList, MatchingList, TrialList, VerificationList
from lowshot.evaluation.trial_lists.media import MediaIndex, complete, refuse_missing
from lowshot.evaluation.trial_lists.media_metadata import FactFinder
from lowshot.evaluation.trial_lists.read_list import read_list
from lowshot.evaluation.trial_lists.resolve import join_hidden, join_matching, join_retrieval, join_verification
from lowshot.evaluation.trial_lists.vox_names import VoxMeta
from lowshot.evaluation.trial_set import TrialSet, find_queries
from lowshot.evaluation.trials import HiddenTrials, MatchingTrials, RetrievalTrials, VerificationTrials


def read_trial_set(
    dataset: Dataset,
    paths: Sequence[Path],
    *,
    meta: VoxMeta | None = None,
    skip_missing: bool = False,
    on_disk: bool = False,
    seed: int = 0,
    replicates: int | None = None,
) -> TrialSet:
    """Read lists as one trial set.

    Args:
        dataset: voices and faces that the lists name.
        paths: lists of our own form, of VoxCeleb1's or of MAV-Celeb's; the voices and the faces of a retrieval may be
            two of them.
        meta: who is who in the two namings of VoxCeleb1's people.
        skip_missing: leave out trials that name media the dataset lacks, instead of refusing the lists.
        on_disk: media whose files do not exist count as missing; for models that read them.
        seed: seed of the resamples.
        replicates: number of resamples for intervals; None: what the protocols name.

    Returns:
        Trials whose `skipped` says how many were left out. Its warnings say what a reader of the figures should know of
        each list. Gallery sizes are those of the protocol and each list's own.

    Raises:
        RequestError: a list that cannot be read, that names media the dataset lacks, that contradicts the manifest, of
            which nothing is left, or two lists for one place in the results.
    """
    lists = [part for path in paths for part in read_list(path)]
    index = MediaIndex(dataset, meta, on_disk)
    located = [index.locate(part) for part in lists]
    if not skip_missing:
        refuse_missing(lists, located, index)
    auditor = Auditor(FactFinder(dataset, meta), index)
    warnings: list[str] = []
    verified: list[VerificationTrials] = []
    matched: list[MatchingTrials] = []
    hidden: list[HiddenTrials] = []
    galleries, dropped = [], 0
    kept_lists: list[TrialList] = []
    for part, found in zip(lists, located, strict=True):
        kept = complete(found)
        skipped = int((~kept).sum())
        if not kept.any():
            raise RequestError(f"{part.path}: every trial of it names media that {dataset.name} lacks: nothing is left")
        if skipped:
            warnings.append(f"{part.path}: {skipped:,} of {len(part):,} trials skipped, their media are missing")
        listed, rows = part.take(kept), [column[kept] for column in found]
        kept_lists.append(listed)
        if isinstance(listed, VerificationList):
            verified.append(join_verification(listed, rows, dataset, skipped))
        elif isinstance(listed, MatchingList):
            matched.append(join_matching(listed, rows, dataset, skipped))
        elif isinstance(listed, HiddenList):
            hidden.append(join_hidden(listed, rows, skipped))
        elif isinstance(listed, GalleryList):
            galleries.append((listed, rows[0]))
            dropped += skipped
    retrieval: RetrievalTrials | None = join_retrieval(galleries, dataset, meta, dropped) if galleries else None
    _refuse_clashes(kept_lists, verified, matched, hidden)
    for audit in auditor.audit(kept_lists):
        stratum = f", stratum {audit.facts['stratum']}" if "stratum" in audit.facts else ""
        warnings += [f"{audit.title}{stratum}: {finding}" for finding in audit.findings]
    queries = find_queries(dataset, retrieval, retrieval_protocol(), warnings) if retrieval else []
    if not (verified or matched or queries or hidden):
        raise RequestError(f"{', '.join(map(str, paths))}: nothing to measure; {'; '.join(warnings)}")
    sizes = {*matching_protocol().gallery_sizes, *(part.largest for part in matched)}
    return TrialSet(
        dataset=dataset,
        verification=tuple(verified),
        matching=tuple(matched),
        retrieval=retrieval,
        queries=tuple(queries),
        gallery_sizes=tuple(sorted(sizes)),
        seed=seed,
        replicates=replicates,
        warnings=tuple(warnings),
        hidden=tuple(hidden),
    )


def _refuse_clashes(
    lists: Sequence[TrialList],
    verified: Sequence[VerificationTrials],
    matched: Sequence[MatchingTrials],
    hidden: Sequence[HiddenTrials],
) -> None:
    """Refuse lists whose figures could not be told apart in results.csv."""

    def check(kind: type[TrialList], places: Sequence[tuple[str, ...]], what: Callable[[tuple[str, ...]], str]) -> None:
        taken: dict[tuple[str, ...], Path] = {}
        for path, place in zip((part.path for part in lists if isinstance(part, kind)), places, strict=True):
            if place in taken:
                raise RequestError(
                    f"{path}: {what(place)}, as {taken[place]} is; evaluate them one at a time, or name their strata"
                )
            taken[place] = path

    check(VerificationList, [(t.stratum, t.seen) for t in verified], lambda place: f"verification {' '.join(place)}")
    check(
        MatchingList, [(t.stratum, t.seen, t.direction) for t in matched], lambda place: f"matching {' '.join(place)}"
    )
    check(HiddenList, [(t.name,) for t in hidden], lambda place: f"a list called {place[0]}")
