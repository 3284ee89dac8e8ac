"""Sampling by keyed hash, without order or state.

The sample of a probe depends only on (seed, purpose, probe, candidate). Every candidate gets a pseudo-random number: a
hash of its name and of the probe. The smallest wins, so sampling is uniform. If rows are added, moved or removed, a
trial changes only if its own choice is removed, or if a new row has a smaller number.

Source:
    Thaler and Ravishankar, Using name-based mappings to increase hit rates, IEEE/ACM Transactions on Networking
    1998 (highest random weight hashing); the mixer is the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
KeyArray = npt.NDArray[np.uint64]

_WORST = np.uint64(2**64 - 1)
# Keys held at once while a block of probes is worked on.
_BLOCK_KEYS = 2**22


def text_key(*parts: object) -> np.uint64:
    """Hash parts to 64 bits, the same on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def text_keys(texts: Iterable[str]) -> KeyArray:
    """Compute `text_key` of each text: [n]."""
    return np.array([text_key(text) for text in texts], dtype=np.uint64)


def mix(keys: KeyArray) -> KeyArray:
    """Scramble 64-bit keys so that related ones give unrelated numbers; a bijection."""
    mixed = np.asarray(keys, dtype=np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows to draw from.

    Args:
        row: [M] row numbers, as the caller counts them.
        key: [M] hash of each row's name.
        identity: [M] identity code of each row, an index into `identity_key`.
        video: [M] video code of each row.
        identity_key: [I] hash of each identity's name.
    """

    row: IntArray
    key: KeyArray
    identity: IntArray
    video: IntArray
    identity_key: KeyArray

    def take(self, places: IntArray) -> "Pool":
        """Return the pool of the rows at these places."""
        return Pool(self.row[places], self.key[places], self.identity[places], self.video[places], self.identity_key)


def draw_rows(
    keys: KeyArray, wanted: IntArray, pool: Pool, avoid_video: IntArray | None = None
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Draw one row of a wanted identity for each trial, uniformly.

    Args:
        keys: [T] what the draw of each trial depends on.
        wanted: [T] identity codes.
        pool: the rows to draw from.
        avoid_video: [T] video codes; a row of that video is taken only when the identity has no other.

    Returns:
        [T] row numbers, -1 where the identity has no row; and [T] whether the row is of the video to avoid.
    """
    rows = np.full(len(wanted), -1, dtype=np.int64)
    avoided = np.zeros(len(wanted), dtype=bool)
    by_identity = np.argsort(pool.identity, kind="stable")
    sorted_identity = pool.identity[by_identity]
    for identity in np.unique(wanted):
        low, high = np.searchsorted(sorted_identity, [identity, identity + 1])
        if low == high:
            continue
        members = by_identity[low:high]
        trials = np.flatnonzero(wanted == identity)
        numbers = mix(keys[trials, None] ^ pool.key[members])
        if avoid_video is not None:
            same = avoid_video[trials, None] == pool.video[members]
            # The top bit puts every row of the avoided video behind all others.
            numbers = (numbers >> np.uint64(1)) | (same.astype(np.uint64) << np.uint64(63))
        choice = numbers.argmin(axis=1)
        rows[trials] = pool.row[members[choice]]
        if avoid_video is not None:
            avoided[trials] = same[np.arange(len(trials)), choice]
    return rows, avoided


def draw_impostors(
    keys: KeyArray,
    identity: IntArray,
    group: IntArray,
    pool: Pool,
    pool_group: IntArray,
    count: int,
) -> IntArray:
    """Draw impostors for each probe.

    Identities are drawn uniformly without repetition, then a row of each uniformly.

    Args:
        keys: [P] what the draw of each probe depends on.
        identity: [P] identity code of each probe; never drawn.
        group: [P] attribute group of each probe; -1: unknown, nothing is eligible.
        pool: the rows to draw from.
        pool_group: [M] attribute group of each row; an impostor row is of the probe's group.
        count: impostors wanted per probe, at least 1.

    Returns:
        [P, count] row numbers, -1 from where a probe runs out of eligible identities. The first n columns are what a
        smaller `count` would have given.
    """
    rows = np.full((len(identity), count), -1, dtype=np.int64)
    for code in np.unique(group[group >= 0]):
        part = pool.take(np.flatnonzero(pool_group == code))
        identities = np.unique(part.identity)
        if not len(identities):
            continue
        probes = np.flatnonzero(group == code)
        step = max(1, _BLOCK_KEYS // len(identities))
        for start in range(0, len(probes), step):
            block = probes[start : start + step]
            chosen = _draw_identities(keys[block], identity[block], identities, pool.identity_key, count)
            probe, place = np.nonzero(chosen >= 0)
            rows[block[probe], place] = draw_rows(keys[block[probe]], chosen[probe, place], part)[0]
    return rows


def _draw_identities(
    keys: KeyArray, own: IntArray, identities: IntArray, identity_key: KeyArray, count: int
) -> IntArray:
    """Draw other identities for each probe, by the smallest keyed hashes.

    Returns:
        [P, count] identity codes, -1 past the end.
    """
    numbers = mix(keys[:, None] ^ identity_key[identities])
    is_own = own[:, None] == identities
    # Last in the order, and cut off there by the number that remains.
    numbers[is_own] = _WORST
    width = min(count, len(identities))
    best = np.argpartition(numbers, width - 1, axis=1)[:, :width]
    order = np.take_along_axis(best, np.take_along_axis(numbers, best, axis=1).argsort(axis=1), axis=1)
    remaining = len(identities) - is_own.any(axis=1)
    chosen = np.full((len(keys), count), -1, dtype=np.int64)
    chosen[:, :width] = np.where(np.arange(width) < remaining[:, None], identities[order], -1)
    return chosen
