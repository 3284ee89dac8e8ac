"""A trial set from lists: read, checked, joined to rows, audited."""

from collections.abc import Sequence
from pathlib import Path

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.base import Joining, Located
from lowshot.evaluation.protocols.registry import table_protocols
from lowshot.evaluation.trial_lists.audit import Auditor
from lowshot.evaluation.trial_lists.listed import TrialList
from lowshot.evaluation.trial_lists.media import MediaIndex, complete, refuse_missing
from lowshot.evaluation.trial_lists.media_metadata import MetadataFinder
from lowshot.evaluation.trial_lists.read_list import read_list
from lowshot.evaluation.trial_lists.submission import HiddenTrials, join_hidden
from lowshot.evaluation.trial_lists.vox_names import VoxMeta
from lowshot.evaluation.trial_set import Part, TrialSet


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
        paths: lists of lowshot's own form, of VoxCeleb1's or of MAV-Celeb's; voices and faces of a retrieval may be two
            files.
        meta: who is who in the two namings of VoxCeleb1's people.
        skip_missing: skip trials that name media which the dataset lacks, instead of refusing the lists.
        on_disk: media whose files do not exist count as missing; for models that read them.
        seed: seed of the resamples.
        replicates: number of resamples for intervals; None: what the protocols name.

    Returns:
        Trials. Their `skipped` says how many trials were skipped, and warnings say what a reader should know.

    Raises:
        RequestError: a list cannot be read, names media that the dataset lacks, contradicts the manifest, or has no
            trial left, or two lists have one place in the results.
    """
    lists = [part for path in paths for part in read_list(path)]
    index = MediaIndex(dataset, meta, on_disk)
    located = [index.locate(part) for part in lists]
    if not skip_missing:
        refuse_missing(lists, located, index)
    warnings: list[str] = []
    kept_lists: list[TrialList] = []
    hidden: list[HiddenTrials] = []
    usable: list[Located] = []
    for part, found in zip(lists, located, strict=True):
        kept = complete(found)
        skipped = int((~kept).sum())
        if not kept.any():
            raise RequestError(f"{part.path}: every trial of it names media that {dataset.name} lacks: nothing is left")
        if skipped:
            warnings.append(f"{part.path}: skipped {skipped:,} of {len(part):,} trials: their media are missing")
        listed, rows = part.take(kept), [column[kept] for column in found]
        kept_lists.append(listed)
        if listed.hides_labels:
            hidden.append(join_hidden(listed, rows, skipped))
        else:
            usable.append(Located(listed, rows, skipped))
    _refuse_same_name(hidden, kept_lists)
    for audit in Auditor(MetadataFinder(dataset, meta), index).audit(kept_lists):
        stratum = f", stratum {audit.counts['stratum']}" if "stratum" in audit.counts else ""
        warnings += [f"{audit.title}{stratum}: {finding}" for finding in audit.findings]
    parts = []
    for protocol in table_protocols():
        own = [item for item in usable if type(item.listed) is protocol.list_kind]
        if own and (joined := protocol.join(own, Joining(dataset, meta, warnings))):
            parts.append(Part(protocol, tuple(joined)))
    if not (parts or hidden):
        raise RequestError(f"{', '.join(map(str, paths))}: nothing to measure; {'; '.join(warnings)}")
    return TrialSet(
        dataset=dataset,
        parts=tuple(parts),
        seed=seed,
        replicates=replicates,
        warnings=tuple(warnings),
        hidden=tuple(hidden),
    )


def _refuse_same_name(hidden: Sequence[HiddenTrials], lists: Sequence[TrialList]) -> None:
    """Refuse lists with hidden labels whose scores would be one file."""
    taken: dict[str, Path] = {}
    for trials, path in zip(hidden, (listed.path for listed in lists if listed.hides_labels), strict=True):
        if trials.name in taken:
            raise RequestError(
                f"{path}: a second list called {trials.name}, besides {taken[trials.name]}; evaluate one at a time"
            )
        taken[trials.name] = path
