"""What can be wrong with a dataset, and which of it stands in the way."""

from dataclasses import dataclass

# A clip below this holds no syllable, and an image below this less than the smallest tower sees.
LEAST_SECONDS = 0.2
LEAST_SIDE = 32
# A sample at full scale, and the share of such samples in a clipped clip.
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
    "path": "path is empty, or names no file below the manifest's folder",
    "video-identities": "rows of one video belong to several identities",
    "identity-splits": "an identity in several splits",
    "video-splits": "a video in several splits",
    "path-splits": "a file in several splits",
    "missing": "no file is there",
    "unreadable": "the file cannot be decoded",
    "truncated": "the file ends, or breaks off, before what its header promises",
    "too-short": f"a clip below {LEAST_SECONDS:g} s",
    "silent": "a clip whose peak is below -60 dB of full scale",
    "tiny": f"an image whose shorter side is below {LEAST_SIDE} pixels",
    "shape": "features that do not fit the manifest's rows",
    "not-finite": "samples or features that are NaN or infinite",
    "zero": "a feature vector that is zero throughout",
    "duplicate-identities": "one content under several identities",
    "duplicate-splits": "one content under several paths in several splits",
}
"""Kinds that stand in the way: a run would stop at them, learn from nothing, or measure what it was trained on."""

WARNINGS = {
    "short": "a clip shorter than a training crop, which is padded with silence",
    "clipped": f"a clip with more than {CLIPPED_SHARE:.0%} of its samples at full scale",
    "unpaired": "a video with one modality only, which pretraining leaves out",
    "duplicate": "one content in several rows of one identity and split",
    "no-identity": "rows without an identity: pretraining needs none",
    "no-split": "rows without a split: see docs/data.md for what they are",
}
"""Kinds to know of that stop nothing."""

# What a row is kept for where it would be in several places: what is measured on stays, what is trained on goes.
HELD_OUT_FIRST = ("test", "val", "", "train")


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong.

    Attributes:
        kind: a key of `FAULTS` or `WARNINGS`.
        detail: what exactly, for a person.
        rows: numbers of the rows at fault, which a clean manifest leaves out; the header is row 1.
        path: the file, as the manifest has it; "" where it is not about one.
        count: how many rows a warning that stands for many is about.
    """

    kind: str
    detail: str
    rows: tuple[int, ...] = ()
    path: str = ""
    count: int = 1

    @property
    def fault(self) -> bool:
        """Whether it stands in the way."""
        return self.kind in FAULTS
