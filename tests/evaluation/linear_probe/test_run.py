"""Probes within a modality as a run: what they find, what they never see, what they write and refuse."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lowshot.adapt.run import adapt
from lowshot.adapt.subsets import Subset, draw_subset
from lowshot.data.dataset import Dataset
from lowshot.data.readers.media import MediaReader
from lowshot.errors import RequestError
from lowshot.evaluation.linear_probe import run as within
from lowshot.evaluation.linear_probe.run import probe_within
from lowshot.evaluation.results import read_results
from lowshot.models.loaded import load_model, model_from_scratch
from lowshot.runs import is_finished, lock_run, newest_run, read_provenance
from lowshot.schema import RESULT_COLUMNS


@pytest.fixture
def subset(reader):
    return draw_subset(reader.dataset.manifest, 0.6, 1)


def crowd(folder, labelled=30, unseen=40, videos=3):
    """A dataset of made people without media, half of each gender, three nationalities, each with a video unheard."""
    rows = []
    for number in range(labelled + unseen):
        split = "train" if number < labelled else "test"
        about = {"identity": f"id{number:03d}", "gender": "mf"[number % 2], "nationality": f"n{number % 3}"}
        parts = [(split, video) for video in range(videos)] + ([("", videos)] if split == "train" else [])
        rows += [
            {
                "path": f"{number}-{video}-{kind}",
                "modality": kind,
                "video": f"v{number}-{video}",
                "split": part,
                **about,
            }
            for part, video in parts
            for kind in ("voice", "face")
        ]
    folder.mkdir()
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return Dataset.open(folder)


@pytest.fixture
def made(config, tmp_path, monkeypatch):
    """A reader of made people, and what their embeddings are to be made of: strengths by column of the manifest."""
    dataset = crowd(tmp_path / "crowd")
    strengths = {}

    def vectors(model, reader, modality, rows, *args):
        table = dataset.rows(modality).iloc[rows]
        generator = np.random.default_rng(5)
        found = generator.normal(size=(len(rows), 48))
        for place, (column, strength) in enumerate(strengths.items()):
            codes, names = pd.factorize(table[column], sort=True)
            directions = np.random.default_rng(place).normal(size=(len(names), 48))
            found += strength * directions[codes]
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    monkeypatch.setattr(within, "embed_rows", vectors)
    monkeypatch.setattr(Dataset, "check_files", lambda *args: None)
    reader = MediaReader(dataset, config.voice, config.face)
    return reader, strengths


def figures(rows, method="scratch"):
    kept = rows[rows["method"] == method]
    keys = zip(kept["protocol"].str.removeprefix("probe-"), kept["metric"], strict=True)
    return dict(zip(keys, kept["value"], strict=True))


def test_a_linear_signal_is_found(made, config, tmp_path):
    reader, strengths = made
    strengths |= {"identity": 1.0, "gender": 1.0, "nationality": 1.0}
    subset = draw_subset(reader.dataset.manifest, 1, 0)
    run, rows = probe_within(
        model_from_scratch(config), ["voice"], ["identity", "gender", "nationality"], subset, reader, config
    )
    found, chance = figures(rows), figures(rows, "chance")
    for name in (("gender", "accuracy"), ("nationality", "balanced_accuracy"), ("identity", "accuracy@5")):
        assert found[name] > 0.9
    assert found["identity", "accuracy"] > 0.8
    assert chance["identity", "accuracy"] == pytest.approx(1 / 30)
    assert chance["identity", "accuracy@5"] == pytest.approx(5 / 30)
    assert chance["gender", "balanced_accuracy"] == 0.5
    assert chance["nationality", "balanced_accuracy"] == pytest.approx(1 / 3)
    assert chance["nationality", "accuracy"] == pytest.approx(14 / 40)
    ours = rows[(rows["method"] == "scratch") & rows["ci_low"].notna()]
    assert set(ours["ci_method"]) == {"identity-bootstrap-t"}
    assert ((ours["ci_low"] <= ours["value"]) & (ours["value"] <= ours["ci_high"])).all()
    chosen = read_provenance(run)["chosen"]
    assert {name: (entry["classes"], entry["folds"]) for name, entry in chosen.items()} == {
        "identity voice": (30, 3),
        "gender voice": (2, 5),
        "nationality voice": (3, 5),
    }


def test_noise_is_at_chance(made, config):
    reader, _ = made
    subset = draw_subset(reader.dataset.manifest, 1, 0)
    targets = ["identity", "gender", "nationality"]
    _, rows = probe_within(model_from_scratch(config), ["voice"], targets, subset, reader, config)
    found = figures(rows)
    assert found["identity", "accuracy"] < 0.2
    assert abs(found["gender", "balanced_accuracy"] - 1 / 2) < 0.12
    assert abs(found["nationality", "balanced_accuracy"] - 1 / 3) < 0.12


def test_no_held_out_identity_or_video_reaches_a_fit(config, reader, subset, tmp_path, monkeypatch):
    """The spy sees every vector that is fitted on, in cross-validation too."""
    fitted, vectors = [], {}
    for kind in (StandardScaler, LogisticRegression):
        original = kind.fit

        def spy(self, x, *args, original=original, kind=kind, **options):
            if kind is StandardScaler:
                fitted.append(np.array(x))
            else:
                # What comes here has just been standardised: as many rows as were seen last.
                assert len(x) == len(fitted[-1])
            return original(self, x, *args, **options)

        monkeypatch.setattr(kind, "fit", spy)
    original_vectors = within._embedded

    def embedded(start, modality, clips, *args):
        found = original_vectors(start, modality, clips, *args)
        vectors[modality] = (clips.about, found)
        return found

    monkeypatch.setattr(within, "_embedded", embedded)
    probe_within(model_from_scratch(config), ["voice", "face"], [], subset, reader, config, tmp_path / "run")
    seen = {row.tobytes() for part in fitted for row in part}
    manifest = reader.dataset.manifest
    held_out = set(manifest.loc[manifest["split"].isin(["val", "test"]), "identity"])
    for about, found in vectors.values():
        assert held_out & set(about["identity"])
        inside = np.array([row.tobytes() in seen for row in found])
        assert set(about["identity"][inside]) == set(subset.identities)
        assert set(about["role"][inside]) == {"labelled"}
        assert inside.sum() == (about["role"] == "labelled").sum()


def test_the_same_request_gives_the_same_bytes(config, reader, subset, tmp_path):
    runs = [
        probe_within(model_from_scratch(config), ["face"], [], subset, reader, config, tmp_path / name)[0]
        for name in "ab"
    ]
    files = [sorted(path.relative_to(run) for path in run.rglob("*.csv")) for run in runs]
    assert files[0] == files[1]
    assert len(files[0]) == 5
    for name in files[0]:
        assert (runs[0] / name).read_bytes() == (runs[1] / name).read_bytes()


def test_results_and_answers_are_in_the_columns_of_the_contract(config, reader, subset, tmp_path):
    run, _ = probe_within(model_from_scratch(config), ["voice", "face"], [], subset, reader, config, tmp_path / "run")
    table = read_results(run / "results.csv")
    assert tuple(table.columns) == RESULT_COLUMNS
    assert set(table["protocol"]) == {"probe-identity", "probe-gender", "probe-age", "probe-nationality"}
    assert set(table["direction"]) == {"voice", "face"}
    ours = table[table["method"] == "scratch"]
    assert set(zip(ours["adaptation"], ours["fraction"], ours["subset_seed"], ours["train_seed"], strict=True)) == {
        ("within-probe", 0.6, 1, 0)
    }
    assert set(table["data_sha"]) == {reader.dataset.sha}
    # Chance stands beside every figure, once.
    keys = ["protocol", "direction", "seen", "metric"]
    assert not table[table["method"] == "chance"].duplicated(keys).any()
    assert len(ours) == (table["method"] == "chance").sum()
    identity = table[table["protocol"] == "probe-identity"]
    assert set(identity["gallery_size"]) == {6}
    assert set(identity["metric"]) == {"accuracy", "accuracy@5"}
    assert set(identity["seen"]) == {"seen-heard"}
    others = table[table["protocol"] != "probe-identity"]
    assert others["gallery_size"].isna().all()
    assert set(others["metric"]) == {"accuracy", "balanced_accuracy"}
    assert set(others["n_identities"]) == {6}
    # Six people are too few for an interval.
    assert table["ci_low"].isna().all()
    answers = pd.read_csv(run / "scores" / "scratch" / "probe-gender-face.csv")
    assert list(answers.columns) == ["video", "identity", "class", "answer", "correct"]
    gender = ours[(ours["protocol"] == "probe-gender") & (ours["direction"] == "face")].set_index("metric")["value"]
    assert answers["correct"].mean() == pytest.approx(gender["accuracy"])
    assert answers.groupby("class")["correct"].mean().mean() == pytest.approx(gender["balanced_accuracy"])
    assert ((answers["class"] == answers["answer"]) == (answers["correct"] == 1)).all()
    assert is_finished(run)


def test_what_the_data_do_not_allow_is_left_out_or_refused_where_it_was_named(made, config, tmp_path):
    reader, _ = made
    subset = draw_subset(reader.dataset.manifest, 1, 0)
    events = []
    asked = (model_from_scratch(config), ["voice", "face"], [], subset, reader, config)
    run, rows = probe_within(*asked, report=events.append)
    warnings = [event.text for event in events if event.kind == "warning"]
    assert set(rows["protocol"]) == {"probe-identity", "probe-gender", "probe-nationality"}
    assert warnings == ["skipped age: the manifest has no column 'age'"] == read_provenance(run)["warnings"]
    with pytest.raises(RequestError, match="age: the manifest has no column 'age'"):
        probe_within(model_from_scratch(config), ["voice"], ["gender", "age"], subset, reader, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_labelled_class_is_refused_before_anything_is_written(made, config, tmp_path):
    reader, _ = made
    men = [name for name in draw_subset(reader.dataset.manifest, 1, 0).rows if int(name[0][2:]) % 2 == 0]
    subset = Subset("identity", tuple(men[:4]), 4 / 30, 30, None)
    with pytest.raises(RequestError, match="gender: all labelled identities are 'm'"):
        probe_within(model_from_scratch(config), ["voice"], ["gender"], subset, reader, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_two_labelled_people_are_enough(made, config):
    reader, strengths = made
    strengths |= {"identity": 2.0, "gender": 2.0}
    subset = draw_subset(reader.dataset.manifest, 0.06, 0)
    events = []
    asked = (model_from_scratch(config), ["voice"], ["identity", "gender"], subset, reader, config)
    run, rows = probe_within(*asked, report=events.append)
    warnings = [event.text for event in events if event.kind == "warning"]
    assert "gender: too few labels for cross-validation; C is 1" in warnings
    assert set(rows.loc[rows["protocol"] == "probe-identity", "metric"]) == {"accuracy"}
    assert read_provenance(run)["chosen"]["gender voice"]["folds"] == 0


def test_an_adapted_model_is_refused_and_a_run_of_probes_is_no_model(config, reader, subset, tmp_path):
    once, _ = adapt(model_from_scratch(config), "probe", 0.5, 0, reader, config, tmp_path / "once")
    with pytest.raises(RequestError, match="is already adapted"):
        probe_within(load_model(once), ["voice"], [], subset, reader, config, tmp_path / "run")
    run, _ = probe_within(model_from_scratch(config), ["voice"], ["gender"], subset, reader, config)
    assert run.name == "0001-within-scratch-voice-0.6"
    with pytest.raises(RequestError, match="no finished pretrain or finetune or probe run"):
        newest_run(("pretrain", "finetune", "probe"))
    with pytest.raises(RequestError, match="name a finished run"):
        load_model(run)
    with pytest.raises(RequestError, match="holds a finished run"):
        probe_within(model_from_scratch(config), ["voice"], ["gender"], subset, reader, config, run)


def test_killed_it_can_be_made_again(config, reader, subset, tmp_path, monkeypatch):
    def killed(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(within, "write_results", killed)
        with pytest.raises(KeyboardInterrupt):
            probe_within(model_from_scratch(config), ["voice"], ["gender"], subset, reader, config, tmp_path / "run")
    assert not is_finished(tmp_path / "run")
    with lock_run(tmp_path / "run"), pytest.raises(RequestError, match="another process"):
        probe_within(model_from_scratch(config), ["voice"], ["gender"], subset, reader, config, tmp_path / "run")
    run, _ = probe_within(model_from_scratch(config), ["voice"], ["gender"], subset, reader, config, tmp_path / "run")
    assert is_finished(run)
