"""What a trial list really contains, counted: how many of what, and what a reader of its figures should know."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from lowshot.evaluation.protocols import verification_protocol
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.trial_lists.chance_levels import retrieval_chance_levels
from lowshot.evaluation.trial_lists.listed import (
    GalleryList,
    HiddenList,
    MatchingList,
    Names,
    TrialList,
    VerificationList,
    names_of,
)
from lowshot.evaluation.trial_lists.media import UNKNOWN, MediaIndex
from lowshot.evaluation.trial_lists.media_metadata import FactFinder, MediaFacts
from lowshot.evaluation.trials import BoolArray
from lowshot.schema import ATTRIBUTES, SEEN, UNSEEN

# How many names a count of names is followed by.
_SHOWN = 10


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int
    of: int

    def __str__(self) -> str:
        percent = f" ({100 * self.count / self.of:.1f} %)" if self.of else ""
        return f"{self.count:,} of {self.of:,}{percent}"


Fact = int | float | str | Share


@dataclass
class Audit:
    """What was counted in a list.

    Args:
        title: the file or files.
        facts: by name, in the order of reading. Shares are of those of which the fact is known.
        findings: what stands in the way of reading the list's figures as what its name says, a line each.
    """

    title: str
    facts: dict[str, Fact] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.title]
        for name, value in self.facts.items():
            shown = f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else value
            lines.append(f"  {name.replace('_', ' '):34}  {shown}")
        return "\n".join([*lines, *(f"  ! {finding}" for finding in self.findings)])

    def record(self) -> dict[str, object]:
        """The same for a script."""
        facts = {k: asdict(v) if isinstance(v, Share) else v for k, v in self.facts.items()}
        return {"list": self.title, **facts, "findings": self.findings}


class Auditor:
    """Audits lists against a dataset, or by what their names tell.

    Args:
        finder: facts of media.
        index: rows of the dataset, where there is one.
    """

    def __init__(self, finder: FactFinder, index: MediaIndex | None = None) -> None:
        self._finder = finder
        self._index = index

    def audit(self, lists: Sequence[TrialList]) -> list[Audit]:
        """Audit lists: one audit for each, voices and faces of one retrieval together."""
        galleries = [listed for listed in lists if isinstance(listed, GalleryList)]
        together = sorted(part.modality for part in galleries) == ["face", "voice"]
        audits = [self._audit(listed) for listed in lists if not (together and isinstance(listed, GalleryList))]
        if together:
            audits.append(self._retrieval(galleries))
        return audits

    def total(self, lists: Sequence[TrialList]) -> Audit:
        """What all lists together name: what must be encoded once, and how often it would be, trial by trial."""
        distinct: dict[str, set[str]] = {"voice": set(), "face": set()}
        named = 0
        for listed in lists:
            for modality, column in listed.media():
                distinct[modality].update(column.tolist())
                named += int((column != "").sum())
        found = Audit("all lists together", {"media_named": named})
        for modality, names in distinct.items():
            # A medium may stand in two lists under two names.
            found.facts[f"distinct_{modality}s"] = len({self._finder.medium(modality, name) for name in names - {""}})
        return found

    def _audit(self, listed: TrialList) -> Audit:
        rows = None if self._index is None else self._index.locate(listed)
        facts = self._facts(listed, rows)
        found = Audit(str(listed.path), {"form": listed.form})
        if isinstance(listed, VerificationList):
            _verification(found, listed, facts)
        elif isinstance(listed, MatchingList):
            _matching(found, listed, facts)
        elif isinstance(listed, HiddenList):
            found.facts |= {"protocol": "verification, labels hidden", "trials": len(listed)}
            _distinct(found, "voices", listed.voice)
            _distinct(found, "faces", listed.face)
            found.facts["duplicate_trials"] = int(duplicated(listed.voice, listed.face).sum())
        elif isinstance(listed, GalleryList):
            found.facts |= {"protocol": "retrieval", "items": len(listed), "modality": listed.modality}
            found.facts["duplicate_items"] = int(duplicated(listed.name).sum())
        self._people(found, [listed], [facts], [rows])
        return found

    def _retrieval(self, galleries: Sequence[GalleryList]) -> Audit:
        titles = dict.fromkeys(str(part.path) for part in galleries)
        found = Audit(" and ".join(titles), {"form": galleries[0].form, "protocol": "retrieval"})
        rows = [None if self._index is None else self._index.locate(part) for part in galleries]
        facts = [self._facts(part, located) for part, located in zip(galleries, rows, strict=True)]
        for part in galleries:
            found.facts[f"{part.modality}s"] = len(part)
            found.facts[f"duplicate_{part.modality}s"] = int(duplicated(part.name).sum())
        sizes = np.concatenate([np.unique(whose[0].identity, return_counts=True)[1] for whose in facts])
        found.facts |= {"fewest_items_of_an_identity": int(sizes.min()), "most_items_of_an_identity": int(sizes.max())}
        self._people(found, galleries, facts, rows)
        of = {part.modality: whose[0] for part, whose in zip(galleries, facts, strict=True)}
        for query, gallery in (("voice", "face"), ("face", "voice")):
            for name, value in retrieval_chance_levels(of[query], of[gallery]).items():
                found.facts[f"chance_{name}_{query}_to_{gallery}"] = value
        return found

    def _facts(self, listed: TrialList, rows: Sequence[IntArray] | None) -> list[MediaFacts]:
        """Facts of each column of media."""
        media = listed.media()
        if rows is not None:
            return [self._finder.of_rows(modality, column) for (modality, _), column in zip(media, rows, strict=True)]
        identity = None
        if isinstance(listed, GalleryList):
            identity = listed.identity
        elif isinstance(listed, HiddenList):
            # Such a list says nothing of people, whatever its paths look like.
            identity = names_of([""] * len(listed))
        return [self._finder.of_names(modality, names, identity) for modality, names in media]

    def _people(
        self,
        found: Audit,
        lists: Sequence[TrialList],
        facts: Sequence[Sequence[MediaFacts]],
        rows: Sequence[Sequence[IntArray] | None],
    ) -> None:
        """Whose media they are, who of them is trained on, and which are unknown."""
        columns = [column for listed in facts for column in listed]
        people = {name: bool(trained) for column in columns for name, trained in _trained(column)}
        people.pop("", None)
        found.facts["identities"] = len(people)
        meta, seen = self._finder.meta, lists[0].seen
        if any(column.trained is not None for column in columns):
            trained = Share(sum(people.values()), len(people))
            found.facts["identities_trained_on"] = trained
            if seen == UNSEEN and trained.count:
                found.findings.append(f"{seen}, but {trained} identities are trained on")
            if seen == SEEN and trained.count < trained.of:
                found.findings.append(f"{seen}, but only {trained} identities are trained on")
            if not seen and 0 < trained.count < trained.of:
                found.findings.append(f"{trained} identities are trained on, the others are not")
        if self._index is None and meta is not None:
            strangers = [name for name in people if name not in meta.gender]
            found.facts["unknown_identities"] = len(strangers)
            if strangers:
                found.findings.append(f"{meta.path} does not know {_first(strangers)}")
        if self._index is None:
            return
        nameless: dict[str, None] = {}
        unknown: dict[str, None] = {}
        for listed, columns_of, located in zip(lists, facts, rows, strict=True):
            for (_, names), fact, column in zip(listed.media(), columns_of, located or (), strict=True):
                nameless |= dict.fromkeys(names[(column >= 0) & (fact.identity == "")])
                unknown |= dict.fromkeys(names[column == UNKNOWN])
        found.facts |= {"media_without_identity": len(nameless), "unknown_files": len(unknown)}
        if nameless and not isinstance(lists[0], HiddenList):
            found.findings.append(f"{self._index.dataset.name} gives no identity to {_first(list(nameless))}")
        if unknown:
            found.findings.append(f"{self._index.dataset.name} lacks {_first(list(unknown))}")


def _verification(found: Audit, listed: VerificationList, facts: Sequence[MediaFacts]) -> None:
    voice, face = facts
    positive = listed.label
    found.facts |= {
        "protocol": "verification",
        "stratum": listed.stratum,
        "seen": listed.seen or "not said",
        "trials": len(listed),
        "positives": int(positive.sum()),
        "negatives": int((~positive).sum()),
    }
    _distinct(found, "voices", listed.voice)
    _distinct(found, "faces", listed.face)
    found.facts["most_trials_of_a_voice"] = int(pd.Series(listed.voice).value_counts().max())
    twice = duplicated(listed.voice, listed.face)
    found.facts["duplicate_trials"] = int(twice.sum())
    if twice.any():
        found.findings.append(_twice(listed, twice))
    known = _comparable(found, voice, [face], listed)
    same = voice.identity == face.identity
    wrong = known & (same != positive)
    found.facts["labels_against_identities"] = Share(int(wrong.sum()), int(known.sum()))
    if wrong.any():
        found.findings.append(
            f"{int(wrong.sum()):,} labels contradict the identities, the first in row {_row(listed, wrong)}"
        )
    if positive.all() or not positive.any():
        found.findings.append(
            f"only {'positives' if positive.all() else 'negatives'}: no figure can be made of one class"
        )
    _same_video(found, "positives_of_one_video", voice, face, positive)
    _shared(found, listed, voice, face, ~positive)
    found.facts |= {"chance_auc": 0.5, "chance_eer": 0.5}


def _matching(found: Audit, listed: MatchingList, facts: Sequence[MediaFacts]) -> None:
    probe, target, *others = facts
    given = listed.impostors != ""
    sizes = 1 + given.sum(axis=1)
    found.facts |= {
        "protocol": "matching",
        "direction": listed.direction,
        "stratum": listed.stratum,
        "seen": listed.seen or "not said",
        "trials": len(listed),
        "candidates_of_a_trial": int(sizes[0]) if (sizes == sizes[0]).all() else f"{sizes.min()} to {sizes.max()}",
    }
    _distinct(found, "probes", listed.probe)
    _distinct(found, "candidates", np.concatenate([listed.target, listed.impostors[given]]))
    twice = duplicated(listed.probe, listed.target, *listed.impostors.T)
    itself = (listed.impostors == listed.target[:, None]).any(axis=1)
    found.facts |= {"duplicate_trials": int(twice.sum()), "targets_among_their_impostors": int(itself.sum())}
    if twice.any():
        found.findings.append(_twice(listed, twice))
    if itself.any():
        found.findings.append(
            f"the target is an impostor too in {int(itself.sum()):,} trials, the first in row {_row(listed, itself)}"
        )
    known = _comparable(found, probe, [target, *others], listed)
    wrong = known & (probe.identity != target.identity)
    for other in others:
        wrong |= known & (other.identity != "") & (other.identity == probe.identity)
    found.facts["targets_against_identities"] = Share(int(wrong.sum()), int(known.sum()))
    if wrong.any():
        found.findings.append(
            f"in {int(wrong.sum()):,} trials the target is of another identity than the probe, or an impostor of the "
            f"same, the first in row {_row(listed, wrong)}"
        )
    _same_video(found, "targets_of_one_video", probe, target, np.ones(len(listed), dtype=bool))
    everyone = _flat(others)
    repeated = _repeat(probe, len(others))
    _shared(found, listed, repeated, everyone, given.T.ravel())
    for size in sorted({int(sizes.min()), int(sizes.max())}):
        found.facts[f"chance_accuracy_1:{size}"] = 1 / size


def duplicated(*columns: Names | IntArray) -> BoolArray:
    """[T] which trials were in the list before."""
    codes = {place: pd.factorize(column)[0] for place, column in enumerate(columns)}
    return np.asarray(pd.DataFrame(codes).duplicated())


def _distinct(found: Audit, what: str, names: Names) -> None:
    found.facts[f"distinct_{what}"] = len(set(names.tolist()))


def _comparable(found: Audit, first: MediaFacts, others: Sequence[MediaFacts], listed: TrialList) -> BoolArray:
    """[T] where the identities of both sides are known, in names of one kind."""
    known: BoolArray = (first.identity != "") & (others[0].identity != "")
    if known.any() and not set(first.identity[known]) & set().union(*(other.identity[known] for other in others)):
        found.findings.append(
            "voices and faces go by different names of their people; --meta vox1_meta.csv says who is who"
        )
        return np.zeros_like(known)
    return known


def _same_video(found: Audit, name: str, first: MediaFacts, second: MediaFacts, positive: BoolArray) -> None:
    known = positive & (first.video != "") & (second.video != "")
    share = Share(int((known & (first.video == second.video)).sum()), int(known.sum()))
    found.facts[name] = share
    if share.count:
        found.findings.append(f"{name.replace('_', ' ')}: {share}; they share their recording, not only their person")


def _shared(found: Audit, listed: TrialList, first: MediaFacts, second: MediaFacts, impostor: BoolArray) -> None:
    """What impostors share with the probe, and whether that is what the stratum says."""
    asked = verification_protocol().strata.get(listed.stratum, ())
    for attribute in ATTRIBUTES:
        left, right = first.attributes[attribute], second.attributes[attribute]
        known = impostor & (left != "") & (right != "")
        same = known & (left == right)
        found.facts[f"impostors_sharing_{attribute}"] = Share(int(same.sum()), int(known.sum()))
        if attribute not in asked:
            continue
        leaks = known & ~same
        if leaks.any():
            trial = int(leaks.argmax()) % len(listed)
            found.findings.append(
                f"stratum {listed.stratum} leaks: {Share(int(leaks.sum()), int(known.sum()))} impostors do not share "
                f"{attribute}, the first in row {listed.line[trial]}"
            )
        if not known.any():
            found.findings.append(f"stratum {listed.stratum} cannot be checked: the {attribute} of nobody is known")


def _trained(column: MediaFacts) -> list[tuple[str, bool]]:
    trained = np.zeros(len(column.identity), dtype=bool) if column.trained is None else column.trained
    return list(dict(zip(column.identity.tolist(), trained.tolist(), strict=True)).items())


def _flat(columns: Sequence[MediaFacts]) -> MediaFacts:
    """Columns one below the other."""
    return MediaFacts(
        np.concatenate([column.identity for column in columns]),
        np.concatenate([column.video for column in columns]),
        {a: np.concatenate([column.attributes[a] for column in columns]) for a in ATTRIBUTES},
        None,
    )


def _repeat(column: MediaFacts, times: int) -> MediaFacts:
    return _flat([column] * times)


def _twice(listed: TrialList, twice: BoolArray) -> str:
    return f"trials that stand in the list already: {int(twice.sum()):,}, the first in row {_row(listed, twice)}"


def _row(listed: TrialList, marked: BoolArray) -> int:
    return int(listed.line[int(marked.argmax())])


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{len(names):,}: {', '.join(names[:_SHOWN])}{more}"
