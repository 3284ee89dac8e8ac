"""Find the spans of a shot in which one face is seen steadily, and say why the rest is skipped."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from lowshot.importers.videos.faces import Face, overlap

REASONS = {
    "unreadable": "the file, or the rest of it, cannot be decoded",
    "no-picture": "the file has no video stream",
    "no-audio": "the file has no sound, or the sound ends before the picture",
    "no-face": "no face is seen",
    "several-faces": "more than one face is seen",
    "too-small": "the face is smaller than asked for",
    "blurred": "no picture of the face is as sharp as asked for",
    "too-short": "one face is seen for less than asked for",
    "silent": "the sound's peak is below -60 dB of full scale",
}
"""Reasons to skip a stretch of a file, or all of it."""

# Boxes of one face in successive pictures overlap at least so much; so many pictures in between may lack it.
_SAME_FACE = 0.3
_MISSED = 1
# A find in fewer pictures is a false alarm.
_STEADY = 3


@dataclass(frozen=True)
class Thresholds:
    """Requirements of a span.

    Attributes:
        per_second: pictures examined per second.
        min_face: least side of a face's box, pixels. The detector looks for faces from half of it on.
        min_sharpness: least sharpness of a kept picture.
        min_seconds, max_seconds: length of a span. Longer ones are cut into equal parts.
        faces: greatest number of pictures kept of a span.
    """

    per_second: float = 4.0
    min_face: int = 64
    min_sharpness: float = 0.02
    min_seconds: float = 2.0
    max_seconds: float = 10.0
    faces: int = 4


USUAL = Thresholds()


@dataclass(frozen=True)
class Sample:
    """One picture of a shot: its time in seconds, and the faces in it."""

    time: float
    faces: list[Face]


@dataclass(frozen=True)
class Span:
    """A stretch in which one face is seen: start and end in seconds, and cut-outs, uint8 [side, side, 3]."""

    start: float
    end: float
    faces: list[np.ndarray]


@dataclass(frozen=True)
class SkippedSpan:
    """A skipped stretch: start and end in seconds, and a key of `REASONS`."""

    start: float
    end: float
    reason: str


# Pairs of the number of a sample and of a face in it.
_Track = list[tuple[int, int]]


def cut_shot(samples: Sequence[Sample], asked: Thresholds) -> tuple[list[Span], list[SkippedSpan]]:
    """Cut a shot into usable spans.

    Args:
        samples: the pictures of one shot, by time.
        asked: requirements of a span.

    Returns:
        The spans, and the skipped stretches. A stretch ends at its last picture.
    """
    tracks = [track for track in _tracks(samples) if len(track) >= _STEADY]
    seen: list[list[int]] = [[] for _ in samples]
    for number, track in enumerate(tracks):
        for place in range(track[0][0], track[-1][0] + 1):
            seen[place].append(number)
    spans: list[Span] = []
    skipped: list[SkippedSpan] = []
    # A stretch has one face all along, or none, or several.
    for who, group in groupby(range(len(samples)), key=lambda place: seen[place] if len(seen[place]) < 2 else None):
        places = list(group)
        start, end = samples[places[0]].time, samples[places[-1]].time
        if not who:
            skipped.append(SkippedSpan(start, end, "several-faces" if who is None else "no-face"))
            continue
        found = [(samples[place].time, samples[place].faces[face]) for place, face in tracks[who[0]]]
        parts, rest = _parts([pair for pair in found if start <= pair[0] <= end], start, end, asked)
        spans += parts
        skipped += rest
    return spans, skipped


def _parts(
    found: list[tuple[float, Face]], start: float, end: float, asked: Thresholds
) -> tuple[list[Span], list[SkippedSpan]]:
    """Return the spans of a stretch with one face, and its skipped stretches."""
    if not found or np.median([face.box.side for _, face in found]) < asked.min_face:
        return [], [SkippedSpan(start, end, "too-small")]
    if end - start < asked.min_seconds:
        return [], [SkippedSpan(start, end, "too-short")]
    count = int(np.ceil((end - start) / asked.max_seconds))
    spans: list[Span] = []
    blurred: list[SkippedSpan] = []
    for first, last in pairwise(np.linspace(start, end, count + 1).tolist()):
        faces = _sharpest(
            [pair for pair in found if first <= pair[0] < last or pair[0] == last == end], first, last, asked
        )
        if faces:
            spans.append(Span(first, last, faces))
        else:
            blurred.append(SkippedSpan(first, last, "blurred"))
    return spans, blurred


def _sharpest(found: list[tuple[float, Face]], start: float, end: float, asked: Thresholds) -> list[np.ndarray]:
    """Cut a span into equal parts and return the sharpest picture of each, if it is sharp enough."""
    best: dict[int, Face] = {}
    for time, face in found:
        part = min(int((time - start) / (end - start) * asked.faces), asked.faces - 1)
        if part not in best or face.sharpness > best[part].sharpness:
            best[part] = face
    return [best[part].crop for part in sorted(best) if best[part].sharpness >= asked.min_sharpness]


def _tracks(samples: Sequence[Sample]) -> list[_Track]:
    """Join faces of successive pictures: those that overlap most, each at most once."""
    tracks: list[_Track] = []
    for place, sample in enumerate(samples):
        open_tracks = [track for track in tracks if place - track[-1][0] <= _MISSED + 1]
        pairs = sorted(
            (
                (overlap(samples[track[-1][0]].faces[track[-1][1]].box, face.box), number, at)
                for number, track in enumerate(open_tracks)
                for at, face in enumerate(sample.faces)
            ),
            key=lambda pair: (-pair[0], pair[1], pair[2]),
        )
        taken_tracks, taken_faces = set(), set()
        for share, number, at in pairs:
            if share >= _SAME_FACE and number not in taken_tracks and at not in taken_faces:
                open_tracks[number].append((place, at))
                taken_tracks.add(number)
                taken_faces.add(at)
        tracks += [[(place, at)] for at in range(len(sample.faces)) if at not in taken_faces]
    return tracks
