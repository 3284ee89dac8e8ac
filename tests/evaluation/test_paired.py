"""Paired differences: on the same trials, over seeds, by every protocol."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation import pair_figures as room
from lowshot.evaluation.evaluate import EvaluationResult, score
from lowshot.evaluation.paired import paired_difference
from lowshot.evaluation.protocols.matching import Matching
from lowshot.evaluation.protocols.retrieval import Retrieval
from lowshot.evaluation.protocols.verification import Verification
from lowshot.evaluation.results import read_scores, write_scores
from lowshot.evaluation.trial_set import TrialSet, build_trial_set
from lowshot.metrics.bootstrap import identity_codes, identity_counts, percentile_interval
from lowshot.metrics.curve_replicates import auc_replicates, curve_replicates

from .test_evaluate import QUICK, noisy

VERIFICATION = "verification-unseen-unheard-U"
MATCHING = "matching-unseen-unheard-voice_to_face"
RETRIEVAL = "retrieval-unseen-unheard-voice_to_face"


def paired_auc(a: list[pd.DataFrame], b: list[pd.DataFrame], replicates: int, seed: int):
    return paired_difference(Verification(), Verification.compared[0], a, b, replicates, seed)


def paired_accuracy(a: list[pd.DataFrame], b: list[pd.DataFrame], size: int, replicates: int, seed: int):
    return paired_difference(Matching(), {**Matching.compared[0], "gallery_size": size}, a, b, replicates, seed)


def accuracy(a: list[pd.DataFrame], b: list[pd.DataFrame], replicates: int, seed: int):
    return paired_accuracy(a, b, 2, replicates, seed)


def paired_map(a: list[pd.DataFrame], b: list[pd.DataFrame], replicates: int, seed: int):
    return paired_difference(Retrieval(), Retrieval.compared[0], a, b, replicates, seed)


PAIRED = ((VERIFICATION, paired_auc), (MATCHING, accuracy), (RETRIEVAL, paired_map))


@pytest.fixture(scope="module")
def trials(dataset: Dataset) -> TrialSet:
    return build_trial_set(dataset, strata=["U"], replicates=QUICK)


@pytest.fixture(scope="module")
def better(dataset: Dataset, trials: TrialSet) -> list[EvaluationResult]:
    return [score(trials, noisy(dataset, 1.0, seed), {}) for seed in (0, 1)]


@pytest.fixture(scope="module")
def worse(dataset: Dataset, trials: TrialSet) -> list[EvaluationResult]:
    return [score(trials, noisy(dataset, 3.0, seed), {}) for seed in (0, 1)]


def of(results: list[EvaluationResult], key: str) -> list[pd.DataFrame]:
    return [result.scores[key] for result in results]


@pytest.mark.parametrize(("key", "paired"), PAIRED)
def test_seeds_are_averaged_on_the_same_trials(better, worse, key, paired) -> None:
    a, b = of(better, key), of(worse, key)
    found = paired(a, b, 400, 0)
    assert 0 < found.low < found.value < found.high
    assert found.p_value < 0.02
    shuffled = [table.sample(frac=1, random_state=1) for table in a]
    assert paired(shuffled, b, 400, 0) == pytest.approx(found)
    back = paired(b, a, 400, 0)
    np.testing.assert_allclose((back.value, back.low, back.high), (-found.value, -found.high, -found.low))


@pytest.mark.parametrize(("key", "paired"), PAIRED)
def test_the_difference_is_that_of_the_published_figures(better, worse, key, paired) -> None:
    metric, size = {VERIFICATION: ("auc", None), MATCHING: ("accuracy", 2), RETRIEVAL: ("map", None)}[key]
    means = []
    for results in (better, worse):
        values = []
        for result in results:
            whole = result.rows[result.rows["group"] == ""]
            rows = whole[(whole["metric"] == metric) & (whole["seen"] == "unseen-unheard")]
            rows = rows[rows["direction"].isin(["", "voice_to_face"])]
            values.append(rows[rows["gallery_size"] == size if size else rows["gallery_size"].isna()]["value"].item())
        means.append(np.mean(values))
    assert paired(of(better, key), of(worse, key), QUICK, 0).value == pytest.approx(means[0] - means[1])


def test_auc_is_that_of_scikit_learn(better, worse) -> None:
    a, b = of(better, VERIFICATION), of(worse, VERIFICATION)
    expected = [np.mean([roc_auc_score(table["label"], table["score"]) for table in tables]) for tables in (a, b)]
    assert paired_auc(a, b, QUICK, 0).value == pytest.approx(expected[0] - expected[1])


def test_what_single_pairs_contribute_is_counted_once(better, worse) -> None:
    """Resamples of products alone spread by up to the square root of three too far."""
    a, b = of(better, VERIFICATION), of(worse, VERIFICATION)
    names = [a[0][column].to_numpy(dtype=object) for column in ("voice_identity", "face_identity")]
    (voice, face), n_identities = identity_codes(*names)
    counts = identity_counts(n_identities, 1000, 0)
    resampled = [auc_replicates(table["score"], table["label"], voice, face, counts) for table in (*a, *b)]
    low, high, _ = percentile_interval((resampled[0] + resampled[1] - resampled[2] - resampled[3]) / 2)
    found = paired_auc(a, b, 1000, 0)
    assert (high - low) / 3**0.5 * 0.95 < found.high - found.low < 0.9 * (high - low)


def test_a_model_is_resampled_once_whomever_it_is_held_against(better, worse, monkeypatch) -> None:
    a, b, c = (result.scores[VERIFICATION] for result in (*better, worse[0]))
    room._resampled_auc.cache_clear()
    fresh = [paired_auc([a], [c], QUICK, 7), paired_auc([b], [c], QUICK, 7), paired_auc([b], [c], QUICK, 8)]
    room._resampled_auc.cache_clear()
    resampled = []

    def counted(*arguments):
        resampled.append(arguments)
        return curve_replicates(*arguments)

    monkeypatch.setattr(room, "curve_replicates", counted)
    again = [paired_auc([table], [c], QUICK, 7) for table in (a, b)]
    assert len(resampled) == 3
    # In another order of its rows a table holds the same trials; another seed resamples anew.
    assert paired_auc([a.iloc[::-1]], [c], QUICK, 7) == again[0]
    assert len(resampled) == 3
    again.append(paired_auc([b], [c], QUICK, 8))
    assert len(resampled) == 5
    assert again == fresh


@pytest.mark.parametrize(("key", "paired"), PAIRED)
def test_score_files_pair_up_with_score_tables(better, worse, key, paired, tmp_path: Path) -> None:
    a, b = of(better, key), of(worse, key)
    write_scores(tmp_path, {str(place): table for place, table in enumerate(a)})
    read = [read_scores(tmp_path / f"{place}.csv") for place in range(len(a))]
    assert paired(read, b, QUICK, 0) == pytest.approx(paired(a, b, QUICK, 0))


@pytest.mark.parametrize(("key", "paired"), PAIRED)
def test_a_model_does_not_differ_from_itself(worse, key, paired) -> None:
    found = paired(of(worse, key), of(worse, key), QUICK, 0)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_an_interval_of_means_widens_with_few_identities(better, worse) -> None:
    """Probes of one identity stand or fall together: halving the identities widens, doubling the clips does not."""
    a, b = of(better, MATCHING)[:1], of(worse, MATCHING)[:1]
    few = set(sorted(a[0]["identity"].unique())[::4])
    parts = [[table[table["identity"].isin(few)] for table in tables] for tables in (a, b)]
    whole, part = accuracy(a, b, 400, 0), accuracy(*parts, 400, 0)  # type: ignore[call-arg]
    twice = accuracy([pd.concat(a * 2)], [pd.concat(b * 2)], 400, 0)
    assert part.high - part.low > 1.4 * (whole.high - whole.low)
    assert (twice.low, twice.high) == pytest.approx((whole.low, whole.high))


def test_one_identity_has_a_difference_but_no_interval(better, worse) -> None:
    for key, paired in PAIRED[1:]:
        parts = [[t[t["identity"] == t["identity"].iloc[0]] for t in of(results, key)] for results in (better, worse)]
        found = paired(*parts, QUICK, 0)  # type: ignore[call-arg]
        assert np.isfinite(found.value) and np.isnan([found.low, found.high, found.p_value]).all()


def test_probes_without_a_full_gallery_are_left_out(better, worse) -> None:
    a, b = ([of(results, MATCHING)[0].copy()] for results in (better, worse))
    last = [a[0].index[-1]]
    short = [[tables[0].copy()] for tables in (a, b)]
    for tables in short:
        tables[0].loc[last, ["score_1", "candidate_1"]] = [np.nan, ""]
    assert accuracy(*short, QUICK, 0) == accuracy([a[0].drop(last)], [b[0].drop(last)], QUICK, 0)  # type: ignore[call-arg]


@pytest.mark.parametrize(("key", "paired"), PAIRED)
def test_different_trials_cannot_be_paired(dataset: Dataset, worse, key, paired) -> None:
    table = of(worse, key)[0]
    value = "average_precision" if key == RETRIEVAL else "score"
    wrongs = [(table.iloc[:-1], "different trials"), (table.drop(columns=value), f"column '{value}'")]
    if key != RETRIEVAL:
        other = build_trial_set(dataset, protocols=[key.split("-")[0]], strata=["U"], seed=1, replicates=QUICK)
        wrongs.append((score(other, noisy(dataset, 2.0), {}).scores[key], "different trials"))
    for wrong, message in wrongs:
        with pytest.raises(RequestError, match=message):
            paired([table], [wrong], QUICK, 0)
    with pytest.raises(RequestError, match="both methods"):
        paired([table], [], QUICK, 0)
