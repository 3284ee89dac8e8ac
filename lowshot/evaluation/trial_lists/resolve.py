"""Lists joined to a dataset: names become rows, and trials that contradict the manifest are refused by file and row."""

from collections.abc import Sequence

import numpy as np

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.trial_files import FORM
from lowshot.evaluation.trial_lists.audit import duplicated
from lowshot.evaluation.trial_lists.listed import (
    GalleryList,
    HiddenList,
    MatchingList,
    Names,
    TrialList,
    VerificationList,
)
from lowshot.evaluation.trial_lists.media import ABSENT
from lowshot.evaluation.trial_lists.vox_names import VoxMeta
from lowshot.evaluation.trials import BoolArray, HiddenTrials, MatchingTrials, RetrievalTrials, VerificationTrials
from lowshot.schema import MIXED, SEEN, UNSEEN, VALIDATION

"""`seen` of a list some of whose people are trained on."""


def join_verification(
    listed: VerificationList, rows: Sequence[IntArray], dataset: Dataset, skipped: int
) -> VerificationTrials:
    """Make trials of a verification list whose media are all there.

    Args:
        listed: the list.
        rows: as `MediaIndex.locate` gives them.
        dataset: whose rows they are.
        skipped: number of trials that were left out before.

    Raises:
        RequestError: a medium without identity, a label that contradicts the identities, a trial that stands twice in
            a list of our own form, or trials of one class only.
    """
    voice, face = rows
    identities = [
        _identities(listed, dataset, modality, r) for (modality, _), r in zip(listed.media(), rows, strict=True)
    ]
    wrong = (identities[0] == identities[1]) != listed.label
    if wrong.any():
        trial = int(wrong.argmax())
        raise RequestError(
            f"{listed.place(trial)}: label {int(listed.label[trial])}, but {dataset.name} says that the voice is of "
            f"'{identities[0][trial]}' and the face of '{identities[1][trial]}'"
        )
    _check_duplicates(listed, rows)
    if listed.label.all() or not listed.label.any():
        kind = "positives" if listed.label.all() else "negatives"
        raise RequestError(
            f"{listed.path}, rows {listed.line[0]} to {listed.line[-1]}: stratum {listed.stratum} has {kind} only; "
            "a figure of verification needs both classes"
        )
    return VerificationTrials(
        voice,
        face,
        listed.label,
        listed.stratum,
        seen_of_rows(listed, rows, dataset),
        same_video=int((_same_video(dataset, "voice", voice, face) & listed.label).sum()),
        skipped=skipped,
    )


def join_matching(listed: MatchingList, rows: Sequence[IntArray], dataset: Dataset, skipped: int) -> MatchingTrials:
    """Make trials of a matching list whose media are all there.

    Args:
        listed, rows, dataset, skipped: as in `join_verification`.

    Raises:
        RequestError: a medium without identity, a target among its impostors or of another identity than the probe, an
            impostor of the probe's identity or named twice, or a trial that stands twice in a list of our own form.
    """
    probe, target = rows[:2]
    impostors = np.stack(rows[2:], axis=1)
    itself = (impostors == target[:, None]).any(axis=1)
    if itself.any():
        place = listed.place(int(itself.argmax()))
        raise RequestError(f"{place}: the target stands among the candidates too; name it once, as target")
    (own, of_target, *others) = (
        _identities(listed, dataset, modality, column)
        for (modality, _), column in zip(listed.media(), rows, strict=True)
    )
    wrong = own != of_target
    if wrong.any():
        trial = int(wrong.argmax())
        raise RequestError(
            f"{listed.place(trial)}: the probe is of '{own[trial]}', but its target of '{of_target[trial]}'"
        )
    for other, names in zip(others, listed.impostors.T, strict=True):
        wrong = own == other
        if wrong.any():
            trial = int(wrong.argmax())
            raise RequestError(f"{listed.place(trial)}: '{names[trial]}' is of '{own[trial]}' too, as the probe is")
    ordered = np.sort(impostors, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != ABSENT)).any(axis=1)
    if twice.any():
        raise RequestError(f"{listed.place(int(twice.argmax()))}: a candidate stands twice")
    _check_duplicates(listed, rows)
    modality, other_modality = listed.direction.split("_to_")
    videos = (
        dataset.rows(modality)["video"].to_numpy()[probe],
        dataset.rows(other_modality)["video"].to_numpy()[target],
    )
    return MatchingTrials(
        listed.direction,
        probe,
        target,
        impostors,
        listed.stratum,
        seen_of_rows(listed, rows, dataset),
        same_video=int((videos[0] == videos[1]).sum()),
        skipped=skipped,
    )


def join_retrieval(
    galleries: Sequence[tuple[GalleryList, IntArray]], dataset: Dataset, meta: VoxMeta | None, skipped: int
) -> RetrievalTrials:
    """Make a retrieval of its two lists whose media are all there.

    Args:
        galleries: a list of voices and one of faces, with their rows.
        dataset: whose rows they are.
        meta: who is who in the two namings of people.
        skipped: number of items that were left out before.

    Raises:
        RequestError: not one list of each modality, an item that stands twice, without identity, or with another
            identity than the manifest says.
    """
    found: dict[str, IntArray] = {}
    seen = []
    for listed, rows in galleries:
        if listed.modality in found:
            raise RequestError(f"{listed.path}: a second list of {listed.modality}s; evaluate one retrieval at a time")
        found[listed.modality] = rows
        known = _identities(listed, dataset, listed.modality, rows)
        same = {
            (a, b): _canonical(meta, a) == _canonical(meta, b) for a, b in set(zip(known, listed.identity, strict=True))
        }
        for trial, pair in enumerate(zip(known, listed.identity, strict=True)):
            if not same[pair]:
                raise RequestError(f"{listed.place(trial)}: identity '{pair[1]}', but the manifest says '{pair[0]}'")
        twice = duplicated(rows)
        if twice.any():
            trial = int(twice.argmax())
            raise RequestError(f"{listed.place(trial)}: '{listed.name[trial]}' stands in the list already")
        seen.append(seen_of_rows(listed, [rows], dataset))
    missing = {"voice", "face"} - set(found)
    if missing:
        path, other = galleries[0][0].path, missing.pop()
        raise RequestError(f"{path}: no row with modality '{other}'; retrieval needs both: add the list of {other}s")
    return RetrievalTrials(found["voice"], found["face"], seen[0] if seen[0] == seen[1] else MIXED, skipped)


def join_hidden(listed: HiddenList, rows: Sequence[IntArray], skipped: int) -> HiddenTrials:
    """Make trials of a list with hidden labels; its name is the file's."""
    return HiddenTrials(listed.path.stem, listed.key, rows[0], rows[1], skipped)


def seen_of_rows(listed: TrialList, rows: Sequence[IntArray], dataset: Dataset) -> str:
    """Whether a list's people are trained on: as its name says, else as the manifest does."""
    if listed.seen:
        return listed.seen
    table = dataset.manifest
    trained = set(table.loc[table["split"] == "train", "identity"]) - {""}
    people: set[str] = set()
    splits: set[str] = set()
    for (modality, _), column in zip(listed.media(), rows, strict=True):
        used = dataset.rows(modality).iloc[np.unique(column[column >= 0])]
        people |= set(used["identity"])
        splits |= set(used["split"])
    if people & trained:
        return SEEN if people <= trained else MIXED
    return VALIDATION if splits == {"val"} else UNSEEN


def _canonical(meta: VoxMeta | None, identity: str) -> str:
    return meta.canonical(identity) if meta else identity


def _identities(listed: TrialList, dataset: Dataset, modality: str, rows: IntArray) -> Names:
    """[T] identities of rows, empty where a trial names none."""
    identity = np.append(dataset.rows(modality)["identity"].to_numpy(dtype=object), "")[rows]
    unknown = (identity == "") & (rows >= 0)
    if unknown.any():
        trial = int(unknown.argmax())
        row = dataset.rows(modality)["path"].iloc[rows[trial]]
        raise RequestError(
            f"{listed.place(trial)}: {modality} '{row}' has no identity in {dataset.name}; intervals need it"
        )
    return identity


def _check_duplicates(listed: TrialList, rows: Sequence[IntArray]) -> None:
    twice = duplicated(*rows)
    # What the field has published is scored as it is; the audit counts them.
    if listed.form == FORM and twice.any():
        raise RequestError(
            f"{listed.place(int(twice.argmax()))}: this trial stands in the list already ({int(twice.sum()):,} such "
            "rows); name each once"
        )


def _same_video(dataset: Dataset, modality: str, rows: IntArray, others: IntArray) -> BoolArray:
    other = "face" if modality == "voice" else "voice"
    same: BoolArray = np.asarray(
        dataset.rows(modality)["video"].to_numpy()[rows] == dataset.rows(other)["video"].to_numpy()[others], dtype=bool
    )
    return same
