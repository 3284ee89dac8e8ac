"""Evaluation end to end on vectors: the two ends of every scale, and figures that score files reproduce."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError, RunError
from lowshot.evaluation.evaluate import EvaluationResult, build_trial_set, chance, evaluate, score
from lowshot.evaluation.protocols.matching import Matching, MatchingTrials
from lowshot.evaluation.protocols.retrieval import Queries
from lowshot.evaluation.protocols.verification import VerificationTrials
from lowshot.evaluation.results import read_scores, write_scores
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_set import TrialSet
from lowshot.schema import RESULT_COLUMNS
from lowshot.synthetic.oracle import Oracle
from lowshot.synthetic.world import latent_model

from .conftest import manifest_rows, standard_rows

Make = Callable[[list[dict[str, str]] | pd.DataFrame], Dataset]
KEYS = ["protocol", "direction", "stratum", "seen", "gallery_size", "metric"]
QUICK = 100
VERIFIED = ["auc", "eer", "tpr@fpr=0.001", "tpr@fpr=0.01", "tpr@fpr=0.1", "min_dcf", "cllr", "min_cllr"]
GROUPS = ("", "gender=f", "gender=m")


def noisy(dataset: Dataset, noise: float, seed: int = 0) -> EmbeddingScorer:
    """A vector per identity, plus noise per row: 0 noise is a perfect model."""
    rng = np.random.default_rng(seed)
    centre = {name: rng.standard_normal(16) for name in sorted(dataset.manifest["identity"].unique())}
    arrays = []
    for modality in ("voice", "face"):
        rows = np.stack([centre[name] for name in dataset.rows(modality)["identity"]])
        # Noise goes by path, so that it follows a row to wherever it stands.
        order = np.argsort(np.argsort(dataset.rows(modality)["path"]))
        arrays.append(rows + noise * rng.standard_normal(rows.shape)[order])
    return EmbeddingScorer(*arrays)


@pytest.fixture(scope="module")
def trials(dataset: Dataset) -> TrialSet:
    return build_trial_set(dataset, replicates=QUICK)


@pytest.fixture(scope="module")
def result(dataset: Dataset, trials: TrialSet) -> EvaluationResult:
    return score(trials, noisy(dataset, 1.5), {"method": "cmpc", "run_id": "r", "train_seed": 3, "fraction": 0.1})


def figures(rows: pd.DataFrame, group: str = "") -> pd.Series:
    return rows[rows["group"] == group].set_index(KEYS)["value"]


def test_the_table_has_every_figure_of_the_protocols(result: EvaluationResult) -> None:
    rows = result.rows
    assert tuple(rows.columns) == RESULT_COLUMNS
    assert not rows.duplicated([*KEYS, "group"]).any()
    assert set(rows["method"]) == {"cmpc"}
    assert set(rows["train_seed"]) == {3}
    rows = rows[rows["group"] == ""]
    verification = rows[rows["protocol"] == "verification"]
    assert set(verification.loc[verification["seen"] == "unseen-unheard", "stratum"]) == {
        "U", "G", "N", "A", "GN", "GNA"
    }  # fmt: skip
    assert list(verification.loc[verification["seen"] == "seen-heard", "metric"]) == VERIFIED
    for direction in ("voice_to_face", "face_to_voice"):
        part = rows[rows["direction"] == direction]
        assert list(part.loc[part["metric"] == "accuracy", "gallery_size"]) == list(range(2, 11))
        assert {"map", "recall@1", "recall@5", "recall@10", "median_rank"} <= set(part["metric"])
    two_sided = rows["protocol"] == "verification"
    assert set(rows.loc[two_sided, "ci_method"]) == {"identity-bootstrap-t-two-sided"}
    assert set(rows.loc[~two_sided, "ci_method"]) == {"identity-bootstrap-t"}
    # A detection cost may be that of the blind decision, a TPR at 0.1 % none, and a median one rank.
    apart = rows[~rows["metric"].isin(("min_dcf", "tpr@fpr=0.001", "median_rank")) & (rows["seen"] != "seen-heard")]
    assert (apart["ci_low"] < apart["value"]).all() and (apart["ci_high"] > apart["value"]).all()
    assert (rows["ci_low"] <= rows["value"]).all() and (rows["ci_high"] >= rows["value"]).all()
    assert (rows["n_identities"] == np.where(rows["seen"] == "seen-heard", 10, 48)).all()


@pytest.mark.parametrize("towers", ["equal", "different", "zero"])
def test_a_collapsed_model_reads_as_chance_on_every_row(dataset: Dataset, trials: TrialSet, towers: str) -> None:
    rng = np.random.default_rng(5)
    voice, face = rng.standard_normal((2, 37)).astype(np.float32)
    face = {"equal": voice, "different": face, "zero": np.zeros(37, np.float32)}[towers]
    collapsed = EmbeddingScorer(np.tile(voice, (len(dataset.voices), 1)), np.tile(face, (len(dataset.faces), 1)))
    rows = score(trials, collapsed, {"method": "cmpc"}).rows
    closed = chance(trials)
    assert len(rows) == len(closed) == 3 * (7 * 8 + 2 * 9 + 2 * 5)
    for group in GROUPS:
        found = figures(rows, group)
        np.testing.assert_allclose(found, figures(closed, group).loc[found.index], atol=1e-12)
    measured = rows[rows["metric"] != "median_rank"]
    np.testing.assert_allclose(measured["ci_low"], measured["value"], atol=1e-12)
    np.testing.assert_allclose(measured["ci_high"], measured["value"], atol=1e-12)
    assert (rows["n_ties"] == rows["n_trials"]).all()
    half = figures(rows).xs("auc", level="metric")
    assert (half == 0.5).all()


def test_a_perfect_model_reads_as_perfect(dataset: Dataset, trials: TrialSet) -> None:
    rows = score(trials, noisy(dataset, 0.0), {"method": "cmpc"}).rows
    best = rows["metric"].map(lambda metric: 0.0 if metric in ("eer", "min_dcf", "min_cllr") else 1.0)
    ranked = rows["metric"] != "cllr"
    np.testing.assert_allclose(rows.loc[ranked, "value"], best[ranked], atol=1e-12)
    # A map learned from few identities stays careful.
    assert (rows.loc[~ranked, "value"] < np.where(rows.loc[~ranked, "seen"] == "seen-heard", 0.4, 0.1)).all()
    assert (rows["n_ties"] == 0).all()


def test_figures_do_not_depend_on_the_order_of_rows(make_dataset: Make, result: EvaluationResult) -> None:
    shuffled = make_dataset(pd.DataFrame(standard_rows()).sample(frac=1, random_state=0))
    again = score(build_trial_set(shuffled, replicates=QUICK), noisy(shuffled, 1.5), {"method": "cmpc"})
    np.testing.assert_allclose(figures(again.rows), figures(result.rows).loc[figures(again.rows).index], atol=1e-12)
    np.testing.assert_allclose(
        again.rows["ci_low"].to_numpy(), result.rows["ci_low"].to_numpy(), atol=1e-12, equal_nan=True
    )


def test_score_files_reproduce_the_figures(result: EvaluationResult, tmp_path: Path) -> None:
    write_scores(tmp_path, result.scores)
    value = figures(result.rows)
    for stratum in ("U", "G", "N", "A", "GN", "GNA"):
        table = read_scores(tmp_path / f"verification-unseen-unheard-{stratum}.csv")
        assert list(table.columns) == ["voice", "face", "voice_identity", "face_identity", "label", "score", "gender"]
        auc = roc_auc_score(table["label"], table["score"])
        assert auc == pytest.approx(float(value.xs((stratum, "unseen-unheard", "auc"), level=[2, 3, 5]).item()))
        assert ((table["voice_identity"] == table["face_identity"]) == (table["label"] == 1)).all()
    for direction in ("voice_to_face", "face_to_voice"):
        table = read_scores(tmp_path / f"matching-unseen-unheard-{direction}.csv")
        for size in (2, 10):
            rivals = table[[f"score_{k}" for k in range(1, size)]]
            right = (table["score"].to_numpy()[:, None] > rivals.to_numpy()).all(axis=1)
            expected = value.xs(("matching", direction, size), level=[0, 1, 4]).item()
            assert right.mean() == pytest.approx(float(expected))
        ranking = read_scores(tmp_path / f"retrieval-unseen-unheard-{direction}.csv")
        for metric, column in [("map", "average_precision"), ("recall@5", "recall@5")]:
            assert ranking[column].mean() == pytest.approx(float(value.xs((direction, metric), level=[1, 5]).item()))
        hit = (ranking["first_rank"] <= 5).mean()
        assert hit == pytest.approx(float(value.xs((direction, "recall@5"), level=[1, 5]).item()))


@pytest.mark.parametrize("direction", ["voice_to_face", "face_to_voice"])
def test_retrieval_leaves_the_querys_own_video_out(dataset: Dataset, result: EvaluationResult, direction: str) -> None:
    query, gallery = direction.split("_to_")
    scorer = noisy(dataset, 1.5)
    queries, items = dataset.rows(query), dataset.rows(gallery)
    items = items[items["split"] == "test"]
    table = result.scores[f"retrieval-unseen-unheard-{direction}"].set_index("query")
    assert list(table.index) == list(queries.loc[queries["split"] == "test", "path"])
    for number in (0, 17, 101):
        row = queries.iloc[number]
        others = items[items["video"] != row["video"]]
        voice, face = np.array([number]), others.index.to_numpy()
        scores = scorer.matrix(voice, face) if query == "voice" else scorer.matrix(face, voice).T
        relevant = (others["identity"] == row["identity"]).to_numpy()
        found = table.loc[row["path"]]
        assert found["average_precision"] == pytest.approx(average_precision_score(relevant, scores[0]))
        assert found["first_rank"] == 1 + (scores[0] > scores[0][relevant].max()).sum()
        assert (found["n_ranked"], found["n_relevant"]) == (len(others), relevant.sum())


def test_the_expected_map_of_random_order_is_noted_and_met_by_random_scores(dataset: Dataset, trials: TrialSet) -> None:
    (warning,) = [warning for warning in trials.warnings if warning.startswith("retrieval voice_to_face: chance mAP")]
    expected = float(warning.split()[-1])
    rng = np.random.default_rng(0)
    ranked = build_trial_set(dataset, protocols=["retrieval"], replicates=QUICK)
    measured = []
    for _ in range(20):
        scorer = EmbeddingScorer(
            rng.standard_normal((len(dataset.voices), 64)), rng.standard_normal((len(dataset.faces), 64))
        )
        measured.append(figures(score(ranked, scorer, {}).rows).xs(("voice_to_face", "map"), level=[1, 5]).item())
    assert np.mean(measured) == pytest.approx(expected, abs=4 * np.std(measured) / np.sqrt(20))
    assert float(figures(chance(trials)).xs(("voice_to_face", "map"), level=[1, 5]).item()) < 0.7 * expected


def test_chance_rows_are_closed_form(trials: TrialSet) -> None:
    rows = chance(trials)
    assert set(rows["method"]) == {"chance"}
    assert (rows["ci_method"] == "").all()
    matching = rows[rows["protocol"] == "matching"]
    np.testing.assert_allclose(matching["value"], 1 / matching["gallery_size"].astype(float))
    # 4 of 286 faces are relevant: two other videos of two faces, the voice's own two faces being left out.
    mean_precision = figures(rows).xs(("voice_to_face", "map"), level=[1, 5]).item()
    assert mean_precision == pytest.approx(4 / 286)
    missed = np.prod([(282 - k) / (286 - k) for k in range(5)])
    assert figures(rows).xs(("voice_to_face", "recall@5"), level=[1, 5]).item() == pytest.approx(1 - missed)


def test_evaluate_gives_the_model_and_chance(dataset: Dataset, result: EvaluationResult) -> None:
    whole = evaluate(dataset, noisy(dataset, 1.5), {"method": "cmpc"}, replicates=QUICK)
    # This dataset holds no truth, so there is no ceiling.
    assert set(whole.rows["method"]) == {"cmpc", "chance"}
    own = whole.rows[whole.rows["method"] == "cmpc"]
    pd.testing.assert_series_equal(figures(own), figures(result.rows))
    assert set(whole.scores) == set(result.scores)
    assert set(whole.rows["data_sha"]) == {dataset.sha}


def give_truth(monkeypatch: pytest.MonkeyPatch, identities: list[str]) -> None:
    """Let every dataset hold the truth of these identities."""
    model = latent_model()
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((len(identities), model.voice_loadings.shape[1]))
    voice = shared @ model.voice_loadings.T + model.voice_means[0]
    face = shared @ model.face_loadings.T + model.face_means[0]
    monkeypatch.setattr(Oracle, "open", lambda root: Oracle(identities, voice, face, model))


def test_a_truth_gives_the_ceiling_on_the_same_trials(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    give_truth(monkeypatch, sorted(set(dataset.manifest["identity"])))
    whole = evaluate(dataset, noisy(dataset, 1.5), {"method": "cmpc"}, replicates=QUICK)
    by_method = {method: figures(part) for method, part in whole.rows.groupby("method")}
    assert set(by_method) == {"cmpc", "chance", "oracle"}
    assert set(by_method["oracle"].index) == set(by_method["cmpc"].index)
    assert by_method["oracle"].xs("auc", level="metric").min() > 0.6
    counts = [part.set_index([*KEYS, "group"])["n_trials"] for _, part in whole.rows.groupby("method")]
    assert all((other.loc[counts[0].index] == counts[0]).all() for other in counts)


def test_a_truth_of_other_identities_gives_no_ceiling_but_a_note(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_truth(monkeypatch, ["someone", "else"])
    whole = evaluate(dataset, noisy(dataset, 1.5), {"method": "cmpc"}, replicates=QUICK)
    assert set(whole.rows["method"]) == {"cmpc", "chance"}
    assert [warning for warning in whole.warnings if warning.startswith("no upper bound")]


def test_one_protocol_alone_and_the_same_trials_for_every_seed_of_a_model(dataset: Dataset) -> None:
    trials = build_trial_set(dataset, protocols=[Matching().using(gallery_sizes=[4, 2])], replicates=QUICK)
    rows = score(trials, noisy(dataset, 1.5), {}).rows
    assert list(rows.loc[rows["group"] == "", "gallery_size"]) == [2, 4, 2, 4]
    other = build_trial_set(dataset, protocols=[Matching().using(gallery_sizes=[4, 2])], seed=1, replicates=QUICK)
    assert (trials.of(MatchingTrials)[0].impostors != other.of(MatchingTrials)[0].impostors).any()
    again = build_trial_set(dataset, protocols=[Matching().using(gallery_sizes=[4, 2])], replicates=QUICK)
    assert (trials.of(MatchingTrials)[0].impostors == again.of(MatchingTrials)[0].impostors).all()


def test_a_trial_set_knows_which_rows_must_be_embedded(dataset: Dataset) -> None:
    trials = build_trial_set(dataset, protocols=["verification"], strata=["U"], replicates=QUICK)
    used = noisy(dataset, 1.5)
    voices, faces = np.full((len(dataset.voices), 16), np.nan), np.full((len(dataset.faces), 16), np.nan)
    voices[trials.voices], faces[trials.faces] = used._voice[trials.voices], used._face[trials.faces]
    partial = score(trials, EmbeddingScorer(voices, faces), {})
    pd.testing.assert_frame_equal(partial.rows, score(trials, used, {}).rows)
    voices[trials.voices[0]] = np.nan
    with pytest.raises(RunError, match="not finite"):
        score(trials, EmbeddingScorer(voices, faces), {})


def test_skipped_strata_and_short_galleries_are_noted(make_dataset: Make) -> None:
    rows = pd.DataFrame(manifest_rows(5, 2))
    rows["gender"] = [f"g{name}" for name in rows["identity"]]
    dataset = make_dataset(rows.drop(columns="age"))
    trials = build_trial_set(dataset, replicates=QUICK)
    assert [part.stratum for part in trials.of(VerificationTrials)] == ["U", "N"]
    warnings = "\n".join(trials.warnings)
    assert "skipped verification A unseen-unheard: the manifest has no column 'age'" in warnings
    assert "skipped verification G unseen-unheard: all voice clips have no matching face or no impostor" in warnings
    assert "matching U voice_to_face: galleries end at 5" in warnings
    assert list(figures(score(trials, noisy(dataset, 1.0), {}).rows).xs("matching").index.get_level_values(3)) == [
        2, 3, 4, 5, 2, 3, 4, 5
    ]  # fmt: skip
    with pytest.raises(RequestError, match="nothing to measure; skipped verification G"):
        build_trial_set(dataset, protocols=["verification"], strata=["G"])


def test_single_video_identities_leave_retrieval_without_queries(make_dataset: Make) -> None:
    dataset = make_dataset(manifest_rows(6, 1))
    trials = build_trial_set(dataset, replicates=QUICK)
    assert trials.of(Queries) == ()
    assert any(warning.startswith("skipped retrieval voice_to_face") for warning in trials.warnings)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"protocols": ["ranking"]}, "no protocol 'ranking'"),
        ({"protocols": []}, "name a protocol"),
        ({"strata": ["X"]}, "no stratum 'X'"),
        ({"split": "val"}, "split val: no rows"),
    ],
)
def test_wrong_requests_are_refused(dataset: Dataset, request_: dict[str, list[str]], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        build_trial_set(dataset, **request_)


def test_validation_figures_are_not_called_unseen(make_dataset: Make) -> None:
    """Adapted models are selected on the validation split: its figures are no test figures."""
    dataset = make_dataset(manifest_rows(6, 2, split="val") + manifest_rows(6, 2, prefix="te"))
    for split, seen in (("val", "validation"), ("test", "unseen-unheard")):
        trials = build_trial_set(dataset, split=split, replicates=QUICK)
        result = score(trials, noisy(dataset, 1.0), {"method": "cmpc"})
        assert set(result.rows["seen"]) == set(chance(trials)["seen"]) == {seen}
        assert all(seen in key for key in result.scores)
