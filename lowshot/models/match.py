"""Rankings of candidates by similarity to a probe of the other modality."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from lowshot.data.readers.items import modality_of
from lowshot.errors import RequestError
from lowshot.models.pretrained import FittedMap


@dataclass(frozen=True)
class Match:
    """The place of one candidate.

    Attributes:
        rank: from 1; equally similar candidates share it.
        index: its place in the given order of candidates, from 0.
        file: its path; None for an item in memory.
        similarity: cosine, -1 to 1.
        probability: that both are one person, if half of all pairs are; None for a model without calibration.
    """

    rank: int
    index: int
    file: Path | None
    similarity: float
    probability: float | None


@dataclass(frozen=True)
class Matches:
    """Candidates by similarity to a probe.

    Attributes:
        model: its name.
        probe: path of the probe; None for an item in memory.
        modality: of the probe, `voice` or `face`; candidates are of the other one.
        ranking: the candidates, the most similar first.
        warnings: limits of the ranking, one line each.
    """

    model: str
    probe: Path | None
    modality: str
    ranking: tuple[Match, ...]
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"rank  similarity  probability  {'face' if self.modality == 'voice' else 'voice'}"]
        for each in self.ranking:
            name = each.index if each.file is None else each.file
            lines.append(f"{each.rank:4}  {each.similarity:10.4f}  {percent(each.probability):>11}  {name}")
        return "\n".join([*lines, *(f"warning: {each}" for each in self.warnings)])


def percent(probability: float | None) -> str:
    """A probability in whole per cent; "" if there is none.

    It is never 0 % or 100 %, because no model is certain.
    """
    if probability is None:
        return ""
    return "<1%" if probability < 0.01 else ">99%" if probability > 0.99 else f"{probability:.0%}"


def rank(cosines: np.ndarray, candidates: Sequence[object], calibration: FittedMap | None) -> tuple[Match, ...]:
    """Order candidates by similarity.

    Args:
        cosines: [n], of the candidates with the probe.
        candidates: n items, in the given order.
        calibration: from cosines to probabilities; None if the model has none.
    """
    return tuple(
        Match(
            rank=1 + int((cosines > cosines[place]).sum()),
            index=int(place),
            file=file_of(candidates[place]),
            similarity=float(cosines[place]),
            probability=calibration.probability(float(cosines[place])) if calibration else None,
        )
        for place in np.argsort(-cosines, kind="stable")
    )


def file_of(item: object) -> Path | None:
    """The path of an item; None for one in memory."""
    return Path(fspath(item)) if isinstance(item, str | PathLike) else None


def probe_modality(probe: object, candidates: Sequence[object]) -> str:
    """Check the modalities of probe and candidates; return the probe's.

    Raises:
        RequestError: an item has the wrong modality or none, or its file is missing.
    """
    modality = modality_of("`probe`", probe)
    shown = f" {file_of(probe)}" if file_of(probe) else ""
    for place, item in enumerate(candidates):
        name = file_of(item) or f"`candidates[{place}]`"
        if modality_of(str(name), item) == modality:
            fault = "is an image too; name voices" if modality == "face" else "is no image; name faces"
            raise RequestError(f"{name}: {fault} after the {modality}{shown}")
    return modality


def data_warning(name: str, data: str | None, synthetic: bool) -> str:
    """Warn about a model's use on real people.

    Args:
        name: name of the model.
        data: its training data; None if unknown.
        synthetic: whether these are invented people.
    """
    if data is None:
        return f"{name} does not say what it was trained on: ask its author before you rely on it"
    if synthetic:
        return (
            f"{name} was trained on invented people ({data}): it is not made for real voices and faces, and its "
            "similarities of real people mean nothing"
        )
    return f"{name} was trained on {data}: on other people, recordings or images it may err in other ways"


def calibration_warning(name: str, calibration: FittedMap | None) -> str:
    """Explain the probabilities, or their absence."""
    if calibration is None:
        return (
            f"no probabilities: {name} has no calibration; `lowshot models calibrate` fits one for a run with a "
            "validation split"
        )
    return (
        "a probability is that both are of one person if half of all pairs were; the map was fitted on "
        f"{calibration.identities} people that the model was not trained on"
    )
