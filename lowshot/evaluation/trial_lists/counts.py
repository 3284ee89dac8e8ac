"""Counts that audits of lists share, and their report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from lowshot.evaluation.strata import age_group
from lowshot.evaluation.trial_lists.listed import Names, TrialList
from lowshot.evaluation.trial_lists.media_metadata import MediaMetadata
from lowshot.evaluation.trials import BoolArray
from lowshot.schema import AGE, ATTRIBUTES

# How many names a count of names is followed by.
_SHOWN = 10


@dataclass(frozen=True)
class Share:
    """A count out of a total."""

    count: int
    of: int

    def __str__(self) -> str:
        percent = f" ({100 * self.count / self.of:.1f} %)" if self.of else ""
        return f"{self.count:,} of {self.of:,}{percent}"


Count = int | float | str | Share


@dataclass
class Audit:
    """The counts of a list.

    Args:
        title: the file or files.
        counts: by name, in the order of reading. Shares are of the trials of which the property is known.
        findings: reasons not to read figures on this list as its name suggests, one line each.
    """

    title: str
    counts: dict[str, Count] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.title]
        for name, value in self.counts.items():
            shown = f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else value
            lines.append(f"  {name.replace('_', ' '):34}  {shown}")
        return "\n".join([*lines, *(f"  ! {finding}" for finding in self.findings)])

    def record(self) -> dict[str, object]:
        """The same for a script."""
        counts = {k: asdict(v) if isinstance(v, Share) else v for k, v in self.counts.items()}
        return {"list": self.title, **counts, "findings": self.findings}


def count_distinct(found: Audit, noun: str, names: Names) -> None:
    """Count distinct names."""
    found.counts[f"distinct_{noun}"] = len(set(names.tolist()))


def comparable(found: Audit, first: MediaMetadata, others: Sequence[MediaMetadata]) -> BoolArray:
    """Mark trials with known identities in one naming on both sides: [T]."""
    known: BoolArray = (first.identity != "") & (others[0].identity != "")
    if known.any() and not set(first.identity[known]) & set().union(*(other.identity[known] for other in others)):
        found.findings.append(
            "voices and faces use different names for people; VoxCeleb's table of people (`meta`, vox1_meta.csv) says "
            "who is who"
        )
        return np.zeros_like(known)
    return known


def count_same_video(found: Audit, name: str, first: MediaMetadata, second: MediaMetadata, positive: BoolArray) -> None:
    """Count positives whose two media are of one video."""
    known = positive & (first.video != "") & (second.video != "")
    share = Share(int((known & (first.video == second.video)).sum()), int(known.sum()))
    found.counts[name] = share
    if share.count:
        found.findings.append(f"{name.replace('_', ' ')}: {share}; they share the recording, not only the person")


def count_shared(
    found: Audit,
    listed: TrialList,
    first: MediaMetadata,
    second: MediaMetadata,
    impostor: BoolArray,
    strata: Mapping[str, Sequence[str]],
    age_bounds: Sequence[float],
) -> None:
    """Count impostors that share an attribute; report breaks of the stratum."""
    asked = strata.get(listed.stratum, ())
    for attribute in ATTRIBUTES:
        left, right = first.attributes[attribute], second.attributes[attribute]
        if attribute == AGE:
            left, right = (_age_groups(values, age_bounds) for values in (left, right))
        known = impostor & (left != "") & (right != "")
        same = known & (left == right)
        found.counts[f"impostors_sharing_{attribute}"] = Share(int(same.sum()), int(known.sum()))
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
            found.findings.append(f"stratum {listed.stratum} cannot be checked: no {attribute} is known")


def _age_groups(ages: Names, bounds: Sequence[float]) -> Names:
    codes, distinct = pd.factorize(ages)
    return np.array([age_group(age, bounds) for age in distinct], dtype=object)[codes]


def stacked(columns: Sequence[MediaMetadata]) -> MediaMetadata:
    """Columns one below the other."""
    return MediaMetadata(
        np.concatenate([column.identity for column in columns]),
        np.concatenate([column.video for column in columns]),
        {a: np.concatenate([column.attributes[a] for column in columns]) for a in ATTRIBUTES},
        None,
    )


def repeated_finding(listed: TrialList, twice: BoolArray) -> str:
    """Finding on trials that repeat earlier ones."""
    return f"trials that repeat earlier ones: {int(twice.sum()):,}, the first in row {row_of(listed, twice)}"


def row_of(listed: TrialList, marked: BoolArray) -> int:
    """Line of the first marked trial in its file."""
    return int(listed.line[int(marked.argmax())])


def first_names(names: Sequence[str]) -> str:
    """The number of some names and the first of them."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{len(names):,}: {', '.join(names[:_SHOWN])}{more}"
