"""Rank every voice against every face, tile by tile, in both directions.

The whole matrix of scores never exists. A tile is scored, counted along its rows and columns, and dropped. Only two
counts remain for each relevant item of each query (`metrics.streaming_ranking`).
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.scorers import ScoreArray, Scorer, checked_scores
from lowshot.metrics.streaming_ranking import Ranking, count_items, joined, parted, ranking_of

# Scores of a tile (two are held at once), its longest side, and scores that one thread counts at a time.
_TILE_SCORES = 2**25
_TILE_SIDE = 2**13
_CHUNK_SCORES = 2**20
_TURNED_COLUMNS = 256
# Scores held at once while those of one identity's voices and faces are gathered.
_GATHERED_SCORES = 2**18
# Relevant items tracked at once; beyond that, queries take turns.
_TRACKED_ITEMS = 2**23


@dataclass(frozen=True, eq=False)
class Side:
    """Voices or faces of a retrieval, sorted by identity, then by video.

    Args:
        rows: [n] row numbers in the dataset.
        identity: [n] codes, rising.
        video: [n] codes, rising within an identity; a video belongs to one identity.
    """

    rows: IntArray
    identity: IntArray
    video: IntArray

    @classmethod
    def of(cls, rows: IntArray, identity: IntArray, video: IntArray) -> "Side":
        """Put rows in order."""
        order = np.lexsort((video, identity))
        return cls(rows[order], identity[order], video[order])

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, part: slice) -> "Side":
        """Select a range of rows."""
        return Side(self.rows[part], self.identity[part], self.video[part])

    def lines_of(self, rows: IntArray) -> IntArray:
        """Find the lines of row numbers; all must be on this side."""
        order = np.argsort(self.rows, kind="stable")
        return order[np.searchsorted(self.rows, rows, sorter=order)]


def rank(
    scorer: Scorer, voices: Side, faces: Side, directions: Sequence[str]
) -> Iterator[tuple[str, IntArray, Ranking]]:
    """Find the ranks of every query's relevant items.

    Relevant items are of the query's identity; items of its own video are excluded.

    Args:
        scorer: scores voices against faces.
        voices, faces: with codes comparable between the two.
        directions: `voice_to_face`, with all voices as queries, `face_to_voice`, or both. Both need hardly more scores
            than one.

    Yields:
        A direction, the lines of some of its queries on their side, and their ranking. Each query with a relevant item
        comes once.

    Raises:
        RunError: scores are not finite.
    """
    relevant = {"voice_to_face": _relevant(voices, faces), "face_to_voice": _relevant(faces, voices)}
    whole = slice(None)
    with ThreadPoolExecutor(max_workers=_threads(), thread_name_prefix="lowshot-rank") as pool:
        if int(relevant["voice_to_face"].sum()) <= _TRACKED_ITEMS:
            turns = [(whole, whole, directions)]
        else:
            turns = [
                (part, whole, [direction]) if direction == "voice_to_face" else (whole, part, [direction])
                for direction in directions
                for part in _turns(relevant[direction])
            ]
        for voice_part, face_part, wanted in turns:
            tracked = _sweep(scorer, voices.part(voice_part), faces.part(face_part), wanted, pool)
            for direction, track in tracked.items():
                start = (voice_part if direction == "voice_to_face" else face_part).start or 0
                lines, found = track.ranking()
                if len(lines):
                    yield direction, lines + start, found


def _threads() -> int:
    """Return the number of counting threads: OMP_NUM_THREADS, else the process's CPUs."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _relevant(queries: Side, gallery: Side) -> IntArray:
    """Count the relevant items of each query."""
    same_identity, same_video = (
        np.bincount(codes, minlength=int(wanted.max(initial=0)) + 1)[wanted]
        for codes, wanted in ((gallery.identity, queries.identity), (gallery.video, queries.video))
    )
    return same_identity - same_video


def _turns(relevant: IntArray) -> list[slice]:
    """Split queries into parts of at most `_TRACKED_ITEMS` relevant items.

    A part has at least one query.
    """
    turns, start, ends = [], 0, np.cumsum(relevant)
    while start < len(relevant):
        reached = ends[start] - relevant[start] + _TRACKED_ITEMS
        stop = max(start + 1, int(np.searchsorted(ends, reached, side="right")))
        turns.append(slice(start, stop))
        start = stop
    return turns


class _Track:
    """The relevant items of the queries along one side, and their counts."""

    def __init__(self, line: IntArray, scores: ScoreArray, n_lines: int) -> None:
        ordered = joined(line, scores)
        ordered.sort()
        _, self.scores = parted(ordered)
        self.starts = np.append(0, np.cumsum(np.bincount(line, minlength=n_lines)))
        self.at_least, self.above = (np.zeros(len(scores), dtype=np.int32) for _ in range(2))

    def count(self, tile: ScoreArray, first: int, pool: ThreadPoolExecutor) -> list[Future[None]]:
        """Start to count a tile with rows from line `first` on."""
        step = max(1, _CHUNK_SCORES // tile.shape[1])
        return [
            pool.submit(self._count, tile[start : start + step], first + start) for start in range(0, len(tile), step)
        ]

    def _count(self, tile: ScoreArray, first: int) -> None:
        starts = self.starts[first : first + len(tile) + 1]
        part = slice(starts[0], starts[-1])
        at_least, above = count_items(_row_by_row(tile), starts - starts[0], self.scores[part])
        self.at_least[part] += at_least.astype(np.int32)
        self.above[part] += above.astype(np.int32)

    def ranking(self) -> tuple[IntArray, Ranking]:
        """Return the lines with relevant items, and their ranking."""
        lines = np.flatnonzero(np.diff(self.starts))
        starts = np.append(self.starts[lines], self.starts[-1])
        return lines, ranking_of(starts, self.scores, self.at_least, self.above)


def _sweep(
    scorer: Scorer, voices: Side, faces: Side, directions: Sequence[str], pool: ThreadPoolExecutor
) -> dict[str, _Track]:
    voice_line, face_line, scores = _relevant_scores(scorer, voices, faces)
    tracked = {}
    for direction in directions:
        line, side = (voice_line, voices) if direction == "voice_to_face" else (face_line, faces)
        tracked[direction] = _Track(line, scores, len(side))
    del voice_line, face_line, scores
    videos = _shared_videos(voices, faces)
    height = _side(len(voices), _TILE_SIDE)
    width = _side(len(faces), _TILE_SCORES // height)
    counting: list[Future[None]] = []
    for top in range(0, len(voices), height):
        for left in range(0, len(faces), width):
            found = scorer.matrix(voices.rows[top : top + height], faces.rows[left : left + width])
            tile = checked_scores(found).astype(np.result_type(found, np.float32), copy=False)
            # Items of the query's own video get the lowest score, so they do not count.
            for row, column in _within(videos, top, left, tile.shape):
                tile[row, column] = -np.inf
            # A tile is counted while the next is scored, because counting does not use all threads.
            _finish(counting)
            for direction, track in tracked.items():
                by_query, first = (tile, top) if direction == "voice_to_face" else (tile.T, left)
                counting += track.count(by_query, first, pool)
            del tile, found, by_query
    _finish(counting)
    return tracked


def _finish(jobs: list[Future[None]]) -> None:
    """Wait for all jobs, raise their errors, and release their tile."""
    for job in jobs:
        job.result()
    jobs.clear()


def _side(length: int, longest: int) -> int:
    """Return the side of tiles that split a length evenly.

    It is odd, because columns a power of two apart collide in the cache.
    """
    side = -(-length // -(-length // max(1, longest))) if length else 1
    return side + 1 - side % 2


def _row_by_row(tile: ScoreArray) -> ScoreArray:
    """Copy a tile so that its rows lie together in memory."""
    if tile.flags.c_contiguous:
        return tile
    turned = np.empty(tile.shape, dtype=tile.dtype)
    # In pieces, so that a cache line fetched for one row also serves its neighbours.
    for start in range(0, tile.shape[1], _TURNED_COLUMNS):
        turned[:, start : start + _TURNED_COLUMNS] = tile[:, start : start + _TURNED_COLUMNS]
    return turned


def _relevant_scores(scorer: Scorer, voices: Side, faces: Side) -> tuple[IntArray, IntArray, ScoreArray]:
    """Score all pairs of one identity and two videos.

    Returns:
        Lines of the voices, lines of the faces, and scores.
    """
    low, high = (np.searchsorted(faces.identity, voices.identity, side=side) for side in ("left", "right"))
    parts: list[tuple[IntArray, IntArray, ScoreArray]] = []
    start = 0
    while start < len(voices):
        stop = min(len(voices), start + max(1, int(np.sqrt(_GATHERED_SCORES))))
        while stop > start + 1 and (stop - start) * (high[stop - 1] - low[start]) > _GATHERED_SCORES:
            stop = start + (stop - start) // 2
        first, last = int(low[start]), int(high[stop - 1])
        width = high[start:stop] - low[start:stop]
        line = np.repeat(np.arange(start, stop), width)
        face = np.arange(len(line)) + np.repeat(low[start:stop] - np.cumsum(width) + width, width)
        apart = voices.video[line] != faces.video[face]
        line, face = line[apart], face[apart]
        if len(line):
            block = checked_scores(scorer.matrix(voices.rows[start:stop], faces.rows[first:last]))
            parts.append((line, face, block[line - start, face - first]))
        start = stop
    if not parts:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, np.empty(0, dtype=np.float32)
    lines, columns, scores = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return lines, columns, scores.astype(np.result_type(scores, np.float32), copy=False)


def _shared_videos(voices: Side, faces: Side) -> npt.NDArray[np.int64]:
    """Find videos on both sides, as rectangles of the matrix.

    A rectangle is the first and last line of the video's voices, and of its faces.
    """
    bounds = []
    for side in (voices, faces):
        video, first, count = np.unique(side.video, return_index=True, return_counts=True)
        bounds.append((video, first, first + count))
    _, of_voices, of_faces = np.intersect1d(bounds[0][0], bounds[1][0], assume_unique=True, return_indices=True)
    return np.stack(
        [bounds[0][1][of_voices], bounds[0][2][of_voices], bounds[1][1][of_faces], bounds[1][2][of_faces]], axis=1
    )


def _within(
    rectangles: npt.NDArray[np.int64], top: int, left: int, shape: tuple[int, ...]
) -> Iterator[tuple[slice, slice]]:
    """Cut rectangles to a tile, in the tile's rows and columns."""
    moved = np.clip(rectangles - [top, top, left, left], 0, [shape[0], shape[0], shape[1], shape[1]])
    for row, row_end, column, column_end in moved[(moved[:, 0] < moved[:, 1]) & (moved[:, 2] < moved[:, 3])].tolist():
        yield slice(row, row_end), slice(column, column_end)
