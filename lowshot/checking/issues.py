"""Issues that a dataset may have: faults, which prevent a run, and warnings."""

from dataclasses import dataclass

# A shorter clip holds no syllable, seconds; a smaller image has less than the smallest tower sees, pixels.
LEAST_SECONDS = 0.2
LEAST_SIDE = 32
# Level of a sample at full scale, and the share of such samples in a clipped clip.
FULL_SCALE = 0.999
CLIPPED_SHARE = 0.01

FAULTS = {
    "column": "a column that every manifest needs is missing",
    "cells": "a row with more or fewer cells than the header",
    "encoding": "a row that is not UTF-8",
    "no-rows": "the manifest has no rows",
    "modality": "modality is neither voice nor face",
    "one-modality": "the manifest has no voices, or no faces, at all",
    "split": "split is none of train, val, test and empty",
    "no-video": "video is empty: it pairs voices with faces",
    "path": "path is empty, or leads out of the manifest's folder",
    "video-identities": "rows of one video belong to several identities",
    "identity-splits": "an identity in several splits",
    "video-splits": "a video in several splits",
    "path-splits": "a file in several splits",
    "missing": "the file is missing",
    "unreadable": "the file cannot be decoded",
    "truncated": "the file is shorter than its header says",
    "too-short": f"a clip below {LEAST_SECONDS:g} s",
    "silent": "a clip whose peak is below -60 dB of full scale",
    "tiny": f"an image whose shorter side is below {LEAST_SIDE} pixels",
    "shape": "features that do not match the manifest's rows",
    "not-finite": "samples or features that are NaN or infinite",
    "zero": "a feature vector of zeros",
    "duplicate-identities": "one content under several identities",
    "damaged": "a file of a pack that is missing or not as it was written",
    "duplicate-splits": "one content under several paths in several splits",
}
"""Kinds of faults: a run would stop at them, learn nothing, or measure what it was trained on."""

WARNINGS = {
    "short": "a clip shorter than a training crop, which is padded with silence",
    "clipped": f"a clip with more than {CLIPPED_SHARE:.0%} of its samples at full scale",
    "unpaired": "a video with one modality only, which pretraining skips",
    "duplicate": "one content in several rows of one identity and split",
    "no-identity": "rows without an identity: pretraining needs none",
    "no-split": "rows without a split: see docs/data.md for what they are",
}
"""Kinds of warnings: a run ignores them."""

# Rows in several splits stay in the first of these: evaluation before training.
HELD_OUT_FIRST = ("test", "val", "", "train")


@dataclass(frozen=True)
class Issue:
    """One issue of a dataset.

    Attributes:
        kind: a key of `FAULTS` or `WARNINGS`.
        detail: details for a person.
        rows: numbers of the rows at fault, which a clean manifest lacks; the header is row 1.
        path: the file by the manifest's name; "" if the issue is not about one.
        count: number of rows of a warning about several.
    """

    kind: str
    detail: str
    rows: tuple[int, ...] = ()
    path: str = ""
    count: int = 1

    @property
    def fault(self) -> bool:
        """Whether it prevents a run."""
        return self.kind in FAULTS
