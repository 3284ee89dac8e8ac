"""Labelled subsets of the training split: nested, with balanced attributes."""

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.errors import RequestError

Unit = Literal["identity", "video"]
Variant = Literal["gender", "balanced", "random"]
UNITS: tuple[Unit, ...] = get_args(Unit)
VARIANTS: tuple[Variant, ...] = get_args(Variant)
READ: dict[Variant, tuple[str, ...]] = {"gender": ("gender",), "balanced": ("gender", "nationality"), "random": ()}
"""The attributes that the order of each variant depends on."""
# Separate random streams, so that one draw never changes another.
_RANDOM_STREAM, _VIDEO_STREAM = 1, 2


@dataclass(frozen=True)
class Subset:
    """A labelled subset of identities or videos.

    Attributes:
        unit: whether identities or videos are counted.
        rows: `(identity,)` or `(identity, video)`, one per unit, in the order of labelling. In a subset of identities,
            all their training videos are labelled.
        fraction: label fraction of the training identities or videos: the requested one of a drawn subset, the
            actual one of a listed subset.
        total: total number of training identities or videos.
        seed: seed of the draw; None if the subset was not drawn.
        listed: name of the list that it was read from; "" if it was drawn.
        sha: hash of the content of that list; "" if it was drawn.
    """

    unit: Unit
    rows: tuple[tuple[str, ...], ...]
    fraction: float
    total: int
    seed: int | None
    listed: str = ""
    sha: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        """Its size, as in `2 of 150 identities (1.3 %)`."""
        return share_said(len(self), self.total, self.unit)

    @property
    def name(self) -> str:
        """Its name in the names of runs: its fraction, or its list."""
        return self.listed or f"{self.fraction:g}"

    @property
    def identities(self) -> list[str]:
        """The labelled identities."""
        return list(dict.fromkeys(row[0] for row in self.rows))

    @property
    def videos(self) -> list[str] | None:
        """The labelled videos; None for all training videos of the identities."""
        return None if self.unit == "identity" else [row[1] for row in self.rows]


def share_said(count: int, total: int, unit: Unit) -> str:
    """Describe a label fraction, as in `2 of 150 identities (1.3 %)`."""
    plural = "identities" if unit == "identity" else "videos"
    return f"{count} of {total} {plural} ({round(100 * count / total, 1):g} %)"


def labelled_count(identities: int, fraction: float, argument: str = "labels") -> int:
    """Number of identities of a label fraction, rounded half up.

    Args:
        identities: total number of training identities.
        fraction: share to label, in (0, 1].
        argument: name of the argument with the fraction, for messages.

    Raises:
        RequestError: the fraction is out of range, or gives fewer than two identities, which leaves no negatives.
    """
    count, exact = _rounded(identities, fraction, argument)
    if count < 2:
        raise RequestError(
            f"`{argument}={fraction:g}`: labels {float(exact):g} of {identities} training identities, but adaptation "
            f"needs at least 2; {_least(2, identities, argument)}"
        )
    return count


def _rounded(total: int, fraction: float, argument: str) -> tuple[int, Fraction]:
    """A fraction of a number, rounded half up and exact."""
    if not 0 < fraction <= 1:
        raise RequestError(f"`{argument}={fraction:g}`: must be above 0 and at most 1, as in `{argument}=0.1` for 10 %")
    # As a decimal fraction, so that 0.29 of 50 does not depend on binary rounding.
    exact = Fraction(str(fraction)) * total
    return int(exact + Fraction(1, 2)), exact


def _least(needed: int, total: int, argument: str) -> str:
    """The smallest fraction that gives a number, for a message.

    It has three decimals, more for a large total.
    """
    if total < needed:
        return "label more identities"
    scale = 10 ** max(3, len(str(total)))
    return f"the smallest usable value is `{argument}={-(-(2 * needed - 1) * scale // (2 * total)) / scale:g}`"


def labelling_order(people: pd.DataFrame, seed: int, variant: Variant = "gender") -> list[str]:
    """Order in which identities get labels, so that subsets are nested.

    Every prefix of the order is a subset.

    Args:
        people: one row per identity: `identity`, and `gender` and `nationality` if they are known.
        seed: of the subset. The order depends only on the identities' names, the attributes in `READ` and this seed.
        variant: attributes that every prefix balances.

    Returns:
        All identities. `gender`: first one of each gender, then the genders interleaved by their shares, so that every
        prefix has about these shares. `balanced`: genders as in `gender`. Among the labelled of each gender, the count
        of each nationality is within one of its share of that gender. `random`: a random order. Identities without a
        gender or nationality count as one more group.
    """
    ordered = people.sort_values("identity", kind="stable").reset_index(drop=True)
    if variant == "random":
        places = _generator(seed, len(ordered), _RANDOM_STREAM).permutation(len(ordered))
        return ordered["identity"].iloc[places].tolist()
    gender = ordered["gender"] if "gender" in ordered else pd.Series("", index=ordered.index)
    generator = _generator(seed, len(ordered))
    keys = pd.Series(0.0, index=ordered.index)
    for _, rows in gender.groupby(gender, sort=True).groups.items():
        # Evenly spaced places from 0: merging the groups by place keeps the shares in every prefix, and the first of
        # each group share place 0.
        keys[rows] = generator.permutation(len(rows)) / len(rows)
    ranked = ordered.assign(key=keys, tie=generator.permutation(len(ordered)), gender=gender)
    ranked = ranked.sort_values(["key", "tie"], kind="stable").reset_index(drop=True)
    if variant == "gender":
        return ranked["identity"].tolist()
    names = ranked["identity"].to_numpy(dtype=object)
    for _, rows in ranked.groupby("gender").groups.items():
        # Each gender keeps its places; nationality decides the order within it.
        names[rows] = names[rows][_in_fair_shares(ranked["nationality"][rows].tolist())]
    return names.tolist()


def _in_fair_shares(groups: list[str]) -> list[int]:
    """Order members of groups so that every prefix is proportional.

    A prefix holds each group's share, rounded up or down.

    Args:
        groups: the group of each member. Members of a group keep their order.

    Returns:
        Numbers of the members.

    Source:
        Balinski and Young, The quota method of apportionment, American Mathematical Monthly 1975.
    """
    waiting = {group: [place for place, of in enumerate(groups) if of == group] for group in dict.fromkeys(groups)}
    taken = dict.fromkeys(waiting, 0)
    order: list[int] = []
    for size in range(1, len(groups) + 1):
        # No group exceeds its share rounded up; among the others, the one with most members per next place is taken.
        due = [group for group, members in waiting.items() if taken[group] * len(groups) < len(members) * size]
        group = max(due, key=lambda name: Fraction(len(waiting[name]), taken[name] + 1))
        order.append(waiting[group][taken[group]])
        taken[group] += 1
    return order


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *key])))


def training_videos(manifest: pd.DataFrame) -> pd.DataFrame:
    """Training videos that have an identity and both modalities.

    These are the videos that may be labelled.

    Args:
        manifest: as `read_manifest` returns it.

    Returns:
        One row per video, in the order of the manifest: `video`, `identity`, and `gender` and `nationality` if the
        manifest has them.

    Raises:
        RequestError: no training row has an identity.
    """
    rows = manifest[(manifest["split"] == "train") & (manifest["identity"] != "")]
    both = rows.groupby("video")["modality"].transform("nunique") == 2
    columns = ["video", "identity", *(name for name in ("gender", "nationality") if name in rows)]
    videos = rows.loc[both, columns].drop_duplicates("video")
    if videos.empty:
        raise RequestError(
            "no training row of the manifest has an identity, so there is nobody to label; fill that column"
        )
    return videos


def training_people(manifest: pd.DataFrame) -> pd.DataFrame:
    """Identities of `training_videos`, one row each, without the column `video`."""
    return training_videos(manifest).drop_duplicates("identity").drop(columns="video")


def labels_sha(manifest: pd.DataFrame, variant: Variant) -> str:
    """Hash of the data that a subset depends on: 16 hexadecimal digits.

    It covers the training videos, their identities, and the attributes that the variant reads. Features, media, other
    splits and other columns may change without a change of the labelled identities.
    """
    videos = training_videos(manifest).sort_values("video", kind="stable")
    columns = ["video", "identity", *(name for name in READ[variant] if name in videos)]
    return hashlib.sha256(json.dumps(videos[columns].to_numpy().tolist()).encode()).hexdigest()[:16]


def draw_subset(
    manifest: pd.DataFrame,
    fraction: float,
    seed: int,
    unit: Unit = "identity",
    variant: Variant = "gender",
    argument: str = "labels",
) -> Subset:
    """Draw the labelled subset of a label fraction.

    For the same seed, unit and variant, the subset of a smaller fraction is the beginning of that of a larger one.

    Videos are labelled in the order of their identities: first two of each identity, then in further rounds one more of
    each that has any left. The fraction is a prefix of this order. If the prefix would end between the first two videos
    of an identity, the second is labelled as well. A labelled identity therefore has two videos, if two exist.

    Args:
        manifest: as `read_manifest` returns it; identities of the splits val and test are never labelled.
        fraction: share of the training identities or videos, in (0, 1].
        seed: seed of the draw.
        unit: unit of the fraction.
        variant: as in `labelling_order`.
        argument: name of the argument with the fraction, for messages.

    Raises:
        RequestError: see `labelled_count` and `training_videos`; too few videos for two identities; or the manifest
            lacks what `balanced` reads.

    Source:
        This project's own protocol: fractions of identities, by default, not of videos; not the paper's.
    """
    videos = training_videos(manifest)
    people = videos.drop_duplicates("identity")
    if variant == "balanced":
        for attribute in READ[variant]:
            if attribute not in people or (people[attribute] == "").all():
                raise RequestError(
                    f"`variant=balanced`: the manifest gives no {attribute} for any training identity; "
                    "fill that column, or use another variant"
                )
    order = labelling_order(people, seed, variant)
    if unit == "identity":
        count = labelled_count(len(order), fraction, argument)
        return Subset(unit, tuple((name,) for name in order[:count]), fraction, len(order), seed)
    rows, opens = _video_order(videos, order, seed)
    count, exact = _rounded(len(rows), fraction, argument)
    # Round up to complete the pair at the end.
    count += count > 0 and opens[count - 1]
    if len({identity for identity, _ in rows[:count]}) < 2:
        needed = 1 + next((place for place, row in enumerate(rows) if row[0] != rows[0][0]), len(rows))
        raise RequestError(
            f"`{argument}={fraction:g}`: labels {float(exact):g} of {len(rows)} training videos, too few for the 2 "
            f"identities that adaptation needs; {_least(needed, len(rows), argument)}"
        )
    return Subset(unit, tuple(rows[:count]), fraction, len(rows), seed)


def _video_order(videos: pd.DataFrame, people: list[str], seed: int) -> tuple[list[tuple[str, str]], list[bool]]:
    """Order in which videos get labels.

    Returns:
        (identity, video) of each, and whether the next video belongs to the same pair.
    """
    generator = _generator(seed, len(videos), _VIDEO_STREAM)
    shuffled: dict[str, npt.NDArray[np.object_]] = {
        str(identity): generator.permutation(np.array(sorted(names), dtype=object))
        for identity, names in videos.groupby("identity", sort=True)["video"]
    }
    rows: list[tuple[str, str]] = []
    opens: list[bool] = []
    for start, stop in [(0, 2), *((place, place + 1) for place in range(2, max(map(len, shuffled.values()))))]:
        for identity in people:
            part = [(identity, str(video)) for video in shuffled[identity][start:stop]]
            rows += part
            opens += [len(part) == 2, False][: len(part)]
    return rows, opens


def labelled_identities(manifest: pd.DataFrame, fraction: float, seed: int) -> list[str]:
    """The identities of `draw_subset` with its defaults."""
    return draw_subset(manifest, fraction, seed).identities
