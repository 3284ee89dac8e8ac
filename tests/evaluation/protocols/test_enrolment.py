"""Enrolment by k clips: against brute force, and the two ends of the scale."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lowshot.data.dataset import Dataset
from lowshot.evaluation.evaluate import EvaluationResult, chance, score
from lowshot.evaluation.from_scores import evaluate_scores
from lowshot.evaluation.protocols.enrolment import Enrolment, EnrolmentTrials
from lowshot.evaluation.protocols.verification import VerificationTrials
from lowshot.evaluation.results import read_scores, write_scores
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_set import TrialSet, build_trial_set

from ..conftest import manifest_rows
from ..test_evaluate import QUICK, noisy

Make = Callable[[list[dict[str, str]] | pd.DataFrame], Dataset]
# Four voices and eight faces of a person leave three and six in other videos than a probe's.
VIDEOS, FACES = 4, 2
ENOUGH = {("voice", 1), ("voice", 2), ("voice", 4), ("face", 1), ("face", 2), ("face", 4), ("face", 8)}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    from ..conftest import write_dataset

    return write_dataset(manifest_rows(24, VIDEOS, FACES), tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def trials(people: Dataset) -> TrialSet:
    return build_trial_set(people, protocols=["enrolment"], replicates=QUICK)


@pytest.fixture(scope="module")
def model(people: Dataset) -> EmbeddingScorer:
    return noisy(people, 2.0)


@pytest.fixture(scope="module")
def result(trials: TrialSet, model: EmbeddingScorer) -> EvaluationResult:
    return score(trials, model, {"method": "cmpc"})


def of(trials: TrialSet, side: str, stratum: str = "U") -> EnrolmentTrials:
    return next(part for part in trials.of(EnrolmentTrials) if (part.direction, part.stratum) == (side, stratum))


def test_one_clip_is_verification(people: Dataset, result: EvaluationResult, model: EmbeddingScorer) -> None:
    verified = build_trial_set(people, protocols=["verification"], strata=["U", "G"], replicates=QUICK)
    expected = score(verified, model, {}).rows.set_index(["stratum", "metric", "group"])
    single = result.rows[result.rows["metric"].isin(("auc@k=1", "eer@k=1"))]
    assert len(single) == 3 * 2 * 2 * 3
    for row in single.to_dict("records"):
        same = expected.loc[(row["stratum"], row["metric"].removesuffix("@k=1"), row["group"])]
        for column in ("value", "ci_low", "ci_high", "n_trials", "n_identities", "n_ties"):
            assert row[column] == same[column]


@pytest.mark.parametrize("side", ["voice", "face", "both"])
def test_clips_are_the_persons_own_and_of_other_videos_where_there_are_enough(
    people: Dataset, trials: TrialSet, side: str
) -> None:
    listed = of(trials, side)
    voices, faces = people.voices, people.faces
    for part in listed.clips:
        kept = part.whole
        assert kept.all() == ((side, part.k) in ENOUGH or (side, part.k) in {("both", 1), ("both", 2), ("both", 4)})
        for trial in np.flatnonzero(kept):
            voice, face = part.voices[trial], part.faces[trial]
            assert len(voice) == (part.k if side != "face" else 1) == len(set(voice))
            assert len(face) == (part.k if side != "voice" else 1) == len(set(face))
            assert set(voices["identity"].iloc[voice]) == {voices["identity"].iloc[listed.pairs.voice[trial]]}
            assert set(faces["identity"].iloc[face]) == {faces["identity"].iloc[listed.pairs.face[trial]]}
            shared = set(voices["video"].iloc[voice]) & set(faces["video"].iloc[face])
            # Outside the video of the probe a person has three voices and six faces.
            few = (side, part.k) in {("voice", 4), ("face", 8), ("both", 4)}
            assert not shared if not listed.pairs.label[trial] or not few else len(shared) >= 1


def test_faces_of_positives_and_negatives_are_of_as_many_videos(make_dataset: Make) -> None:
    """Four voices of six videos leave two to the faces: of the person, and of the impostor too."""
    dataset = make_dataset(manifest_rows(8, 6))
    listed = of(build_trial_set(dataset, protocols=["enrolment"], replicates=QUICK), "both")
    (part,) = (part for part in listed.clips if part.k == 4)
    videos = dataset.faces["video"].to_numpy()[part.faces]
    assert {len(set(row)) for row in videos} == {2}


@pytest.mark.parametrize("side", ["voice", "face", "both"])
def test_all_faces_of_an_impostor_share_the_stratums_attributes_with_the_voice(make_dataset: Make, side: str) -> None:
    """Ages that differ by video: clips of another age belong to the person, not to the stratum."""
    rows = manifest_rows(24, 8)
    for row in rows:
        row["age"] = ("25", "50")[int(row["video"][-1]) % 2]
    dataset = make_dataset(rows)
    trials = build_trial_set(dataset, protocols=["enrolment"], strata=["A", "GNA"], replicates=QUICK)
    ages = {modality: dataset.rows(modality)["age"].to_numpy() for modality in ("voice", "face")}
    for stratum in ("A", "GNA"):
        listed = of(trials, side, stratum)
        negative = ~listed.pairs.label
        for part in listed.clips:
            # Each age has four voices and eight faces of a person: enough for every k.
            assert part.whole.all()
            assert (ages["face"][part.faces[negative]] == ages["voice"][part.voices[negative, :1]]).all()
            if side != "voice" and part.k == 8:
                assert len(set(ages["face"][part.faces[~negative]].ravel())) == 2


def test_an_impostor_with_too_few_faces_of_the_stratum_is_skipped(make_dataset: Make) -> None:
    rows = manifest_rows(12, 4)
    for row in rows:
        row["age"] = ("25", "50")[int(row["video"][-1]) % 2]
    trials = build_trial_set(make_dataset(rows), protocols=["enrolment"], strata=["U", "A"], replicates=QUICK)
    assert of(trials, "face").clips[-1].whole.all()
    assert of(trials, "face", "A").clips[-2].whole.all()
    assert not of(trials, "face", "A").clips[-1].whole.any()
    assert any(
        "A unseen-unheard, face enrolled, k = 8: their person or the impostor has fewer than 8 clips; only impostors' "
        "faces that share the voice's age count" in warning
        for warning in trials.warnings
    )


def test_unequal_numbers_of_videos_give_a_warning(make_dataset: Make) -> None:
    def warned(rows: list[dict[str, str]]) -> str:
        trials = build_trial_set(make_dataset(rows), protocols=["enrolment"], strata=["U"], replicates=QUICK)
        return "\n".join(warning for warning in trials.warnings if "in negatives" in warning)

    unequal = warned(manifest_rows(8, 4) + manifest_rows(8, 8, prefix="many"))
    assert "both enrolled, k = 8: the faces are of 6.03 videos on average in positives and of 4.89 in neg" in unequal
    assert not warned(manifest_rows(16, 8))
    assert not warned(manifest_rows(16, 4))


def test_more_clips_are_added_to_fewer(trials: TrialSet) -> None:
    for side, name in (("voice", "voices"), ("face", "faces")):
        for fewer, more in pairwise(of(trials, side).clips):
            whole = more.whole
            assert (getattr(more, name)[whole, : fewer.k] == getattr(fewer, name)[whole]).all()


@pytest.mark.parametrize("side", ["voice", "face", "both"])
def test_scores_and_auc_are_those_of_a_loop(
    people: Dataset, trials: TrialSet, result: EvaluationResult, model: EmbeddingScorer, side: str
) -> None:
    listed = of(trials, side, "G")
    table = result.scores[f"enrolment-unseen-unheard-{side}-G"]
    rows = result.rows.query("direction == @side and stratum == 'G' and group == ''").set_index("metric")
    for part in listed.clips:
        column = table[f"score@k={part.k}"]
        if not part.whole.any():
            assert column.isna().all()
            assert f"auc@k={part.k}" not in rows.index
            continue
        expected = []
        for voice, face in zip(part.voices, part.faces, strict=True):
            means = [model.vectors(m, r).mean(axis=0) for m, r in (("voice", voice), ("face", face))]
            expected.append(means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1]))
        np.testing.assert_allclose(column, expected, atol=1e-6)
        row = rows.loc[f"auc@k={part.k}"]
        assert row["value"] == pytest.approx(roc_auc_score(table["label"], column))
        assert row["ci_low"] < row["value"] < row["ci_high"]
        assert (row["n_trials"], row["n_skipped"]) == (len(table), 0)


def test_more_clips_help_a_model_that_knows_something(result: EvaluationResult) -> None:
    rows = result.rows.query("direction == 'both' and stratum == 'U' and group == ''").set_index("metric")["value"]
    assert rows["auc@k=1"] < rows["auc@k=2"] < rows["auc@k=4"]
    assert rows["eer@k=1"] > rows["eer@k=4"]


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_collapsed_model_reads_as_chance(people: Dataset, trials: TrialSet, value: float) -> None:
    """Equal embeddings tie at every k, and ties count half."""
    voice, face = np.random.default_rng(5).standard_normal((2, 37)) * value
    collapsed = EmbeddingScorer(np.tile(voice, (len(people.voices), 1)), np.tile(face, (len(people.faces), 1)))
    rows, closed = score(trials, collapsed, {}).rows, chance(trials)
    keys = ["direction", "stratum", "group", "metric"]
    assert (closed["value"] == 0.5).all()
    pd.testing.assert_series_equal(rows.set_index(keys)["value"], closed.set_index(keys)["value"], atol=1e-12)
    pd.testing.assert_series_equal(rows["n_skipped"], closed["n_skipped"])
    assert (rows["n_ties"] == rows["n_trials"]).all()


class Ratios:
    """Scores without embeddings."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    def pairs(self, voice: np.ndarray, face: np.ndarray) -> np.ndarray:
        return self.scores[voice, face]

    def matrix(self, voice: np.ndarray, face: np.ndarray) -> np.ndarray:
        return self.scores[np.ix_(voice, face)]


def test_a_scorer_without_embeddings_gives_the_mean_score_of_all_pairs(people: Dataset, trials: TrialSet) -> None:
    scores = np.random.default_rng(0).standard_normal((len(people.voices), len(people.faces)))
    found = score(trials, Ratios(scores), {})
    (part,) = (part for part in of(trials, "both").clips if part.k == 4)
    expected = [scores[np.ix_(v, f)].mean() for v, f in zip(part.voices, part.faces, strict=True)]
    np.testing.assert_allclose(found.scores["enrolment-unseen-unheard-both"]["score@k=4"], expected)
    # The ratio of two identities is the same for all their clips: its ties stay ties at every k.
    names = [pd.factorize(people.rows(m)["identity"], sort=True)[0] for m in ("voice", "face")]
    constant = np.random.default_rng(1).standard_normal((24, 24))[np.ix_(*names)]
    rows = score(trials, Ratios(constant), {}).rows.query("direction == 'both' and group == ''")
    values = rows[rows["metric"].str.startswith("auc")].groupby("stratum")["value"]
    assert values.nunique().tolist() == [1, 1]


def test_people_with_too_few_clips_are_skipped_and_counted(make_dataset: Make) -> None:
    dataset = make_dataset(manifest_rows(6, 4) + manifest_rows(6, 2, prefix="few"))
    trials = build_trial_set(dataset, protocols=["enrolment"], strata=["U"], replicates=QUICK)
    rows = score(trials, noisy(dataset, 1.0), {}).rows.query("direction == 'voice' and group == ''")
    rows = rows.set_index("metric")
    assert rows.loc["auc@k=2", "n_skipped"] == 0
    # A trial of a person with two voices is skipped at four; a positive and its negative go together.
    assert rows.loc["auc@k=4", ["n_trials", "n_skipped"]].tolist() == [2 * 6 * 4, 2 * 6 * 2]
    assert "auc@k=8" not in rows.index
    warnings = "\n".join(trials.warnings)
    assert "skipped 12 of 36 voice clips in enrolment U unseen-unheard, voice enrolled, k = 4" in warnings
    assert "skipped 36 of 36 voice clips in enrolment U unseen-unheard, voice enrolled, k = 8" in warnings
    assert "share a video between voice and face" in warnings


def test_skipped_trials_of_a_group_are_its_own(make_dataset: Make) -> None:
    """At k = 4 all trials of women are skipped, and those of three men: they have two voices."""
    rows = [row for row in manifest_rows(12, 4) if row["gender"] == "m" or row["video"][-1] in "01"]
    rows += manifest_rows(6, 2, prefix="few")
    dataset = make_dataset(rows)
    trials = build_trial_set(dataset, protocols=["enrolment"], strata=["U"], replicates=QUICK)
    for found in (score(trials, noisy(dataset, 1.0), {}).rows, chance(trials)):
        counts = found.query("direction == 'voice' and metric == 'auc@k=4'").set_index("group")
        # 6 men of 4 voices; 3 men and 9 women of 2. Each voice has two trials.
        assert counts.loc["", ["n_trials", "n_skipped"]].tolist() == [48, 48]
        assert counts.loc["gender=m", ["n_trials", "n_skipped"]].tolist() == [48, 12]
        assert "gender=f" not in counts.index


def test_score_files_give_the_same_figures(result: EvaluationResult, tmp_path: Path) -> None:
    write_scores(tmp_path, result.scores)
    paths = sorted(tmp_path.glob("*.csv"))
    again = evaluate_scores(paths, {"method": "cmpc"}, replicates=QUICK)
    assert again.warnings == ()
    assert set(again.scores) == set(result.scores)
    keys = ["direction", "stratum", "group", "metric"]
    expected, found = (rows.set_index(keys).sort_index() for rows in (result.rows, again.rows.query("method=='cmpc'")))
    for column in ("value", "ci_low", "ci_high"):
        np.testing.assert_allclose(found[column], expected[column], atol=1e-6)
    for column in ("n_trials", "n_skipped", "n_ties"):
        pd.testing.assert_series_equal(found[column], expected[column])
    table = read_scores(paths[0])
    assert table["voice"].map(type).eq(str).all()


def test_trials_do_not_depend_on_the_order_of_the_manifest(make_dataset: Make) -> None:
    rows = pd.DataFrame(manifest_rows(8, 4))

    def drawn(dataset: Dataset) -> set[tuple[str, ...]]:
        listed = of(build_trial_set(dataset, protocols=["enrolment"], replicates=QUICK), "both")
        (part,) = (part for part in listed.clips if part.k == 2)
        names = [dataset.rows(m)["path"].to_numpy() for m in ("voice", "face")]
        return {(*names[0][v], *names[1][f]) for v, f in zip(part.voices, part.faces, strict=True)}

    assert drawn(make_dataset(rows)) == drawn(make_dataset(rows.sample(frac=1, random_state=1)))


def test_it_is_asked_for_by_name(people: Dataset) -> None:
    assert not Enrolment.in_all
    assert not build_trial_set(people, replicates=QUICK).of(EnrolmentTrials)
    both = build_trial_set(people, protocols=["verification", "enrolment"], strata=["U"], replicates=QUICK)
    assert len(both.of(VerificationTrials)) == 1
    assert [part.direction for part in both.of(EnrolmentTrials)] == ["voice", "face", "both"]
