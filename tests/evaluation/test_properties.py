"""What must not change the figures of an evaluation: the order of trials, rising maps, the side of a modality, sizes of
blocks, the number of threads."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from lowshot.data.dataset import Dataset
from lowshot.evaluation.evaluate import EvaluationResult, score
from lowshot.evaluation.protocols.matching import Matching
from lowshot.evaluation.protocols.retrieval import Retrieval
from lowshot.evaluation.protocols.verification import Verification
from lowshot.evaluation.results import Figure
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_set import TrialSet, build_trial_set
from lowshot.metrics import bootstrap, cosine, variance_correction

from .conftest import manifest_rows
from .test_evaluate import QUICK, noisy

VERIFICATION = "verification-unseen-unheard-U"
MATCHING = "matching-unseen-unheard-voice_to_face"
RETRIEVAL = "retrieval-unseen-unheard-voice_to_face"
Make = Callable[[list[dict[str, str]] | pd.DataFrame], Dataset]


@pytest.fixture(scope="module")
def trials(dataset: Dataset) -> TrialSet:
    return build_trial_set(dataset, strata=["U"], replicates=QUICK)


@pytest.fixture(scope="module")
def result(dataset: Dataset, trials: TrialSet) -> EvaluationResult:
    return score(trials, noisy(dataset, 1.5), {})


def verified(table: pd.DataFrame) -> list[Figure]:
    return Verification().figures(table, QUICK, 0)


def matched(table: pd.DataFrame) -> list[Figure]:
    return Matching().using(gallery_sizes=(2, 5, 10)).figures(table, QUICK, 0)


def retrieved(table: pd.DataFrame) -> list[Figure]:
    return Retrieval().figures(table, QUICK, 0)


PROTOCOLS = ((VERIFICATION, verified), (MATCHING, matched), (RETRIEVAL, retrieved))


def numbers(figures: list[Figure], but: tuple[str, ...] = ()) -> np.ndarray:
    return np.array(
        [
            [figure.value, figure.interval.low, figure.interval.high, figure.n_ties]
            for figure in figures
            if figure.metric not in but and figure.interval
        ]
    )


@pytest.mark.parametrize(("key", "measure"), PROTOCOLS)
def test_the_order_of_trials_changes_nothing(result: EvaluationResult, key: str, measure) -> None:
    table = result.scores[key]
    expected = numbers(measure(table))
    assert len(expected) >= 9
    for seed in range(3):
        shuffled = table.sample(frac=1, random_state=seed)
        np.testing.assert_allclose(numbers(measure(shuffled)), expected, atol=1e-9)


@pytest.mark.parametrize(("key", "measure"), PROTOCOLS[:2])
@pytest.mark.parametrize("rising", [np.arctan, np.exp, lambda scores: 3 * scores - 1])
def test_rising_maps_of_the_scores_change_nothing(result: EvaluationResult, key: str, measure, rising) -> None:
    table = result.scores[key]
    columns = [column for column in table.columns if column.startswith("score")]
    # In float64, for a map that rounds may make ties.
    mapped = table.assign(**{column: rising(table[column].astype(float)) for column in columns})
    # Calibration fits a straight line to the scores: it is affine maps that it does not see.
    but = ("cllr",) if rising is np.arctan or rising is np.exp else ()
    np.testing.assert_allclose(numbers(measure(mapped), but), numbers(measure(table), but), atol=1e-6)


def test_the_side_of_a_modality_changes_nothing_in_verification(result: EvaluationResult) -> None:
    table = result.scores[VERIFICATION].drop(columns="gender")
    names = {"voice": "face", "face": "voice", "voice_identity": "face_identity", "face_identity": "voice_identity"}
    swapped = numbers(verified(table.rename(columns=names)))
    np.testing.assert_allclose(swapped, numbers(verified(table)), atol=1e-12)


def test_voices_called_faces_and_faces_voices_only_turn_the_directions_round(make_dataset: Make) -> None:
    rows = pd.DataFrame(manifest_rows(12, 3))
    dataset = make_dataset(rows)
    rng = np.random.default_rng(0)
    voice, face = (rng.standard_normal((len(dataset.rows(m)), 6)) for m in ("voice", "face"))
    ways = {}
    for name, (one, other) in {"as is": (voice, face), "swapped": (face, voice)}.items():
        found = build_trial_set(dataset, protocols=["retrieval"], replicates=QUICK)
        ways[name] = score(found, EmbeddingScorer(one, other), {}).rows
        dataset = make_dataset(rows.assign(modality=rows["modality"].map({"voice": "face", "face": "voice"})))
    turned = {"voice_to_face": "face_to_voice", "face_to_voice": "voice_to_face"}
    columns = ["metric", "direction", "group", "value", "ci_low", "ci_high", "n_ties"]
    swapped = ways["swapped"].assign(direction=ways["swapped"]["direction"].map(turned))[columns]
    order = ["direction", "group", "metric"]
    pd.testing.assert_frame_equal(
        swapped.sort_values(order, ignore_index=True), ways["as is"][columns].sort_values(order, ignore_index=True)
    )


def test_sizes_of_blocks_change_nothing(
    dataset: Dataset, trials: TrialSet, result: EvaluationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    for elements in (1, 1000):
        monkeypatch.setattr(bootstrap, "_BLOCK_ELEMENTS", elements)
        monkeypatch.setattr(variance_correction, "_BLOCK_ELEMENTS", elements)
        monkeypatch.setattr(cosine, "_BLOCK_ELEMENTS", elements)
        again = score(trials, noisy(dataset, 1.5), {})
        pd.testing.assert_frame_equal(again.rows, result.rows, rtol=1e-9)


def test_the_number_of_threads_changes_nothing(dataset: Dataset, trials: TrialSet, result: EvaluationResult) -> None:
    for threads in (1, 2):
        with threadpool_limits(threads):
            again = score(trials, noisy(dataset, 1.5), {})
        for key, table in result.scores.items():
            pd.testing.assert_frame_equal(again.scores[key], table, check_exact=True)
        pd.testing.assert_frame_equal(again.rows, result.rows, rtol=1e-9)
