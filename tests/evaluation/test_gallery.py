"""The gallery and the map: what is drawn, what is right, and that success has no say."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.evaluation.gallery import principal_plane, write_gallery
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_set import TrialSet, build_trial_set
from lowshot.schema import GALLERY, MAP


@pytest.fixture(scope="module")
def trials(world: Path) -> TrialSet:
    return build_trial_set(Dataset.open(world), replicates=100)


def scorer(dataset: Dataset, known: bool) -> EmbeddingScorer:
    """Embeddings that know every identity, or nobody."""
    rng = np.random.default_rng(0)
    people = sorted(set(dataset.manifest["identity"]))
    own = {name: rng.normal(size=16) for name in people}
    voice, face = (
        np.array([own[name] if known else rng.normal(size=16) for name in rows["identity"]])
        for rows in (dataset.voices, dataset.faces)
    )
    return EmbeddingScorer(voice, face)


def gallery(folder: Path) -> list[dict[str, object]]:
    items: list[dict[str, object]] = json.loads((folder / GALLERY).read_text(encoding="utf-8"))["items"]
    return items


def test_the_gallery_shows_what_is_ranked_first(trials: TrialSet, config: Config, tmp_path: Path) -> None:
    assert write_gallery(tmp_path, trials, scorer(trials.dataset, True), config.evaluate, "m") == []
    items = gallery(tmp_path)
    assert [item["direction"] for item in items] == ["voice_to_face"] * 3 + ["face_to_voice"] * 3
    for item in items:
        ranked, query = item["ranked"], item["query"]
        assert isinstance(ranked, list) and isinstance(query, dict)
        assert item["first_right"] == 1 and len(ranked) == 5
        assert [shown["right"] for shown in ranked] == [shown["identity"] == query["identity"] for shown in ranked]
        similarities = [shown["similarity"] for shown in ranked]
        assert similarities == sorted(similarities, reverse=True)
    assert len({item["query"]["identity"] for item in items[:3]}) == 3
    for item in items:
        for shown in (item["query"], *item["ranked"]):
            content = (tmp_path / GALLERY.parent / shown["file"]).read_bytes()
            if shown["file"].endswith(".flac"):
                assert soundfile.info(io.BytesIO(content)).duration <= 2.0
            else:
                assert Image.open(io.BytesIO(content)).format == "JPEG"


def test_who_is_shown_does_not_depend_on_success(trials: TrialSet, config: Config, tmp_path: Path) -> None:
    for name, known in (("good", True), ("bad", False)):
        write_gallery(tmp_path / name, trials, scorer(trials.dataset, known), config.evaluate, name)
    good, bad = gallery(tmp_path / "good"), gallery(tmp_path / "bad")
    assert [item["query"] for item in good] == [item["query"] for item in bad]
    assert any(item["first_right"] != 1 for item in bad)


def test_no_answer_is_of_the_queries_own_video(trials: TrialSet, config: Config, tmp_path: Path) -> None:
    dataset = trials.dataset
    write_gallery(tmp_path, trials, scorer(dataset, True), config.evaluate, "m")
    videos = {
        f"{modality}-{row}": video
        for modality in ("voice", "face")
        for row, video in enumerate(dataset.rows(modality)["video"])
    }
    for item in gallery(tmp_path):
        own = videos[Path(item["query"]["file"]).stem]
        assert all(videos[Path(shown["file"]).stem] != own for shown in item["ranked"])  # type: ignore[attr-defined]


def test_real_people_are_shown_when_asked_only(world: Path, config: Config, tmp_path: Path) -> None:
    copied = tmp_path / "real"
    shutil.copytree(world, copied, ignore=shutil.ignore_patterns("world.json", "truth.csv", "latents.safetensors"))
    trials = build_trial_set(Dataset.open(copied), replicates=100)
    vectors = scorer(trials.dataset, True)
    assert write_gallery(tmp_path / "a", trials, vectors, config.evaluate, "m") == []
    assert not (tmp_path / "a" / GALLERY).exists() and (tmp_path / "a" / MAP).is_file()
    asked = config.evaluate.model_copy(update={"gallery": 1})
    assert write_gallery(tmp_path / "b", trials, vectors, asked, "m") == []
    assert len(gallery(tmp_path / "b")) == 2


def test_the_map_holds_each_video_once_and_is_the_same_again(trials: TrialSet, config: Config, tmp_path: Path) -> None:
    vectors = scorer(trials.dataset, False)
    for name in ("one", "two"):
        write_gallery(tmp_path / name, trials, vectors, config.evaluate, "m")
    assert (tmp_path / "one" / MAP).read_bytes() == (tmp_path / "two" / MAP).read_bytes()
    table = pd.read_csv(tmp_path / "one" / MAP)
    assert not table.duplicated(["modality", "video"]).any()
    assert set(table["modality"]) == {"voice", "face"} and np.isfinite(table[["x", "y"]].to_numpy()).all()


def test_the_plane_is_that_of_the_greatest_variance() -> None:
    flat = np.zeros((6, 4))
    flat[:, 1], flat[:, 3] = [3, -1, 1, -3, 0, 0], [0, 0, 0, 0, -1, 1]
    places, share = principal_plane(flat + 7)
    assert share == pytest.approx(1)
    np.testing.assert_allclose(np.abs(places[:, 0]), np.abs(flat[:, 1]), atol=1e-12)
    assert places[np.abs(places[:, 0]).argmax(), 0] > 0
    same, nothing = principal_plane(np.full((5, 3), 0.1))
    assert nothing == 0 and (same == 0).all()
