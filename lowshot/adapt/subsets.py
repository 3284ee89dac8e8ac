"""Which identities are labelled: a share of the training identities, nested and stratified by gender."""

from fractions import Fraction

import numpy as np
import pandas as pd

from lowshot.errors import RequestError


def labelled_count(identities: int, fraction: float) -> int:
    """How many identities a labelled fraction means: the nearest whole number, halves up.

    Args:
        identities: training identities in all.
        fraction: share to label, in (0, 1].

    Raises:
        RequestError: the fraction is out of range, or yields fewer than two identities: one person alone leaves nobody
            to be told apart from.
    """
    if not 0 < fraction <= 1:
        raise RequestError(f"--labels {fraction:g}: must be above 0 and at most 1, as in --labels 0.1 for 10 %")
    # As a decimal fraction, so that 0.29 of 50 does not depend on binary rounding.
    exact = Fraction(str(fraction)) * identities
    count = int(exact + Fraction(1, 2))
    if count < 2:
        least = f"the least here is --labels {np.ceil(1500 / identities) / 1000:g}" if identities >= 2 else "label more"
        raise RequestError(
            f"--labels {fraction:g}: {float(exact):g} of {identities} training identities are fewer than the two "
            f"that learning needs; {least}"
        )
    return count


def labelling_order(people: pd.DataFrame, seed: int) -> list[str]:
    """The order in which identities get labelled: every prefix is a subset, so small subsets lie inside large ones.

    Args:
        people: one row an identity: `identity`, and `gender` where it is known.
        seed: of the subset. The order depends on the identities' names, genders and this seed alone.

    Returns:
        All identities, first one of each gender, then the genders interleaved by their shares, so that every prefix
        has them in about these shares. Identities without a gender count as one more.
    """
    ordered = people.sort_values("identity", kind="stable").reset_index(drop=True)
    gender = ordered["gender"] if "gender" in ordered else pd.Series("", index=ordered.index)
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, len(ordered)])))
    keys = pd.Series(0.0, index=ordered.index)
    for _, rows in gender.groupby(gender, sort=True).groups.items():
        # Evenly spaced places from 0 on: merging the groups by them keeps the shares in every prefix, and the first of
        # each group share place 0.
        keys[rows] = generator.permutation(len(rows)) / len(rows)
    ranked = ordered.assign(key=keys, tie=generator.permutation(len(ordered)))
    return ranked.sort_values(["key", "tie"], kind="stable")["identity"].tolist()


def training_people(manifest: pd.DataFrame) -> pd.DataFrame:
    """The identities that may be labelled: those of the training split with both modalities.

    Args:
        manifest: as `read_manifest` returns it.

    Returns:
        One row an identity: `identity`, and `gender` where the manifest has it.

    Raises:
        RequestError: no training row has an identity.
    """
    rows = manifest[(manifest["split"] == "train") & (manifest["identity"] != "")]
    both = rows.groupby("video")["modality"].transform("nunique") == 2
    columns = ["identity", *(["gender"] if "gender" in rows else [])]
    people = rows.loc[both, columns].drop_duplicates("identity")
    if people.empty:
        raise RequestError("no training row of the manifest has an identity: there is nobody to label")
    return people


def labelled_identities(manifest: pd.DataFrame, fraction: float, seed: int) -> list[str]:
    """The identities that a labelled fraction labels.

    Args:
        manifest: as `read_manifest` returns it; identities of the splits val and test are never labelled.
        fraction: share of the training identities, in (0, 1].
        seed: which of the possible subsets; with one seed, a smaller fraction's subset lies inside a larger one's.

    Raises:
        RequestError: see `labelled_count` and `training_people`.

    Source:
        This project's own protocol: fractions of identities, not of videos; not the paper's.
    """
    people = training_people(manifest)
    return labelling_order(people, seed)[: labelled_count(len(people), fraction)]
