"""Write and audit trial lists; sample labelled subsets."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lowshot.files import check_new_folder
from lowshot.progress import Report, quiet, warning
from lowshot.workflows.datasets import open_dataset

if TYPE_CHECKING:
    from lowshot.adapt.subsets import Unit, Variant
    from lowshot.evaluation.trial_lists.counts import Audit


def build_lists(
    data: str | Path,
    *,
    out: str | Path,
    split: str = "test",
    seed: int = 0,
    strata: Sequence[str] = (),
    exclude_same_video: bool = False,
    trust_paths: bool = False,
    report: Report = quiet,
) -> list[Path]:
    """Write the trial lists that `evaluate` scores, and their recipe.

    The lists are CSV; recipe.json says how to make them again.

    Args:
        data: a directory, a manifest, or `synth:tiny|demo|bench`.
        out: the directory to make.
        split: `test` or `val`.
        seed: seed of the sampling of trials.
        strata: any of U, G, N, A, GN and GNA; if none, those that `evaluate` measures. Lists of named strata are for
            verification and matching of unseen people. Lists of seen people are added if the data have unheard clips of
            training identities.
        exclude_same_video: skip probes whose identity has no other video for a positive.
        trust_paths: let the manifest name files outside its folder, now and later, as long as it does not change.
        report: takes progress events and warnings.

    Returns:
        The files, the recipe last.

    Raises:
        RequestError: `out` holds something, or the data have no trials as asked.
    """
    from lowshot.evaluation.trial_lists.writing import write_lists
    from lowshot.evaluation.trial_set import build_trial_set

    check_new_folder(Path(out))
    dataset = open_dataset(data, trust_paths=trust_paths, report=report)
    trials = build_trial_set(
        dataset, split=split, strata=strata or None, seed=seed, exclude_same_video=exclude_same_video
    )
    for text in trials.warnings:
        warning(report, text)
    return write_lists(Path(out), trials, split=split, strata=strata, exclude_same_video=exclude_same_video)


def audit_lists(
    files: Sequence[str | Path],
    *,
    data: str | Path | None = None,
    meta: str | Path | None = None,
    trust_paths: bool = False,
    report: Report = quiet,
) -> "list[Audit]":
    """Count what trial lists contain.

    Args:
        files: the lists.
        data: the dataset that they name; if None, people and videos are read from the names and from `meta`.
        meta: VoxCeleb's vox1_meta.csv; the one beside the manifest if None.
        trust_paths: let the manifest name files outside its folder, now and later, as long as it does not change.
        report: takes progress events.

    Returns:
        One audit of each list, and one of all if there are several.

    Raises:
        RequestError: a file is missing or is not a list.
    """
    from lowshot.evaluation.trial_lists.audit import Auditor
    from lowshot.evaluation.trial_lists.media import MediaIndex
    from lowshot.evaluation.trial_lists.media_metadata import MetadataFinder
    from lowshot.evaluation.trial_lists.read_list import read_list
    from lowshot.evaluation.trial_lists.vox_names import find_meta

    lists = [part for path in files for part in read_list(Path(path))]
    dataset = None if data is None else open_dataset(data, trust_paths=trust_paths, report=report)
    known = find_meta(None if meta is None else Path(meta), dataset)
    auditor = Auditor(MetadataFinder(dataset, known), MediaIndex(dataset, known) if dataset else None)
    return [*auditor.audit(lists), *([auditor.total(lists)] if len(lists) > 1 else [])]


def sample_subset(
    data: str | Path,
    labels: float,
    *,
    subset_seed: int = 0,
    unit: "Unit" = "identity",
    variant: "Variant" = "gender",
    trust_paths: bool = False,
    report: Report = quiet,
) -> list[tuple[str, ...]]:
    """Sample the labelled subset that `finetune` and `probe` use.

    Args:
        data: a directory, a manifest, or `synth:tiny|demo|bench`.
        labels: labelled fraction, in (0, 1]. A small subset is part of every larger one of the same seed.
        subset_seed: seed of the sampling.
        unit: what to label: identities, with all their training videos, or videos.
        variant: stratify by gender (`gender`), by gender and nationality (`balanced`), or by nothing (`random`).
        trust_paths: let the manifest name files outside its folder, now and later, as long as it does not change.
        report: takes progress events.

    Raises:
        RequestError: the fraction labels too few identities or videos.
    """
    from lowshot.adapt.subsets import draw_subset

    dataset = open_dataset(data, trust_paths=trust_paths, report=report)
    return list(draw_subset(dataset.manifest, labels, subset_seed, unit, variant).rows)


def write_subset_lists(
    data: str | Path,
    *,
    out: str | Path,
    fractions: Sequence[float] | None = None,
    seeds: int = 3,
    unit: "Unit" = "identity",
    variant: "Variant" = "gender",
    trust_paths: bool = False,
    report: Report = quiet,
) -> list[Path]:
    """Write labelled subsets as lists that `finetune` and `probe` take.

    Beside them, recipe.json says how to make them again.

    Args:
        data, unit, variant, trust_paths, report: as of `sample_subset`.
        out: the directory to make.
        fractions: labelled fractions; 0.01, 0.05, 0.1, 0.2, 0.5 and 1 if None.
        seeds: number of lists of each fraction; their seeds count from 0.

    Returns:
        The files, the recipe last.

    Raises:
        RequestError: `out` holds something, or as `sample_subset`. Nothing is written then.
    """
    from lowshot.adapt.subset_lists import FRACTIONS, write_subsets

    check_new_folder(Path(out))
    shares = FRACTIONS if fractions is None else tuple(sorted(set(fractions)))
    dataset = open_dataset(data, trust_paths=trust_paths, report=report)
    return write_subsets(Path(out), dataset, shares, range(seeds), unit, variant)
