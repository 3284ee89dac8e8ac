"""Gallery and map of one model for its report.

The gallery holds rankings with their media; the map shows embeddings. The seed of the trials chooses both. The model's
figures do not influence the choice.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from PIL import Image

from lowshot.data.dataset import Dataset
from lowshot.data.face import read_face
from lowshot.data.voice import SAMPLE_RATE, read_waveform
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.retrieval import Queries
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_set import TrialSet
from lowshot.files import atomic_path, write_table, write_text
from lowshot.schema import GALLERY, MAP, WORLD_FILES
from lowshot.settings import EvaluateConfig, FaceConfig

USUAL = 3
"""Queries of each direction in the gallery of an embedded world."""
RANKED = 5
SECONDS = 2.0
SIDE = 96
MOST_ON_MAP = 40
"""Identities on the map; with more, marks would hide each other."""
_PURPOSE = 0x6578
"""Separates this sampling from that of the trials, which has the same seed."""


def write_gallery(
    out: Path, trials: TrialSet, scorer: EmbeddingScorer, settings: EvaluateConfig, model: str
) -> list[str]:
    """Write gallery/gallery.json with its media, and gallery/map.csv, of one model.

    Args:
        out: directory of the results.
        trials: with a retrieval; without one, nothing is written.
        scorer: embeddings of the trials.
        settings: `gallery` is the number of queries per direction; by default only people of synthetic data are shown.
        model: its name on the page.

    Returns:
        Why there is no gallery, one line each; empty if it was written or not asked for.
    """
    dataset = trials.dataset
    if not trials.of(Queries):
        return []
    _write_map(out / MAP, trials, scorer, model)
    embedded = (dataset.root / WORLD_FILES[0]).is_file()
    count = settings.gallery if settings.gallery is not None else (USUAL if embedded else 0)
    if not count:
        return []
    if dataset.has_features:
        return ["no gallery: the dataset holds vectors, not voices and faces"]
    items = [item for queries in trials.of(Queries) for item in _items(queries, scorer, dataset, count, settings.seed)]
    try:
        media = {name: _medium(dataset, name) for item in items for name in (item["query"], *item["ranked"])}
    except RequestError as error:
        return [f"no gallery: {error}"]
    for (modality, row), content in media.items():
        with atomic_path(out / GALLERY.parent / _file(modality, row)) as temporary:
            temporary.write_bytes(content)
    text = json.dumps({"model": model, "items": [_record(item, dataset) for item in items]}, indent=1)
    write_text(out / GALLERY, text + "\n")
    return []


def _items(queries: Queries, scorer: EmbeddingScorer, dataset: Dataset, count: int, seed: int) -> list[dict[str, Any]]:
    """Choose queries of different people, with the best matches of each.

    Rows are (modality, number).
    """
    ours, theirs = queries.direction.split("_to_")
    rng = np.random.default_rng([seed, _PURPOSE, int(ours == "voice")])
    order = rng.permutation(len(queries))
    people = dataset.rows(ours)["identity"].to_numpy()[queries.query]
    # One query per person: `np.unique` returns the first in the sampled order.
    first = np.sort(np.unique(people[order], return_index=True)[1])[:count]
    items = []
    for place in order[first]:
        query = int(queries.query[place])
        own_video = dataset.rows(theirs)["video"].to_numpy() == dataset.rows(ours)["video"].iloc[query]
        others = queries.gallery[~own_video[queries.gallery]]
        # Equal scores keep a random order, which is fair.
        others = others[rng.permutation(len(others))]
        pair = (np.array([query]), others) if ours == "voice" else (others, np.array([query]))
        scores = scorer.matrix(*pair).ravel()
        ranked = np.argsort(-scores, kind="stable")
        right = dataset.rows(theirs)["identity"].to_numpy()[others[ranked]] == people[place]
        items.append(
            {
                "direction": queries.direction,
                "query": (ours, query),
                "ranked": [(theirs, int(row)) for row in others[ranked[:RANKED]]],
                "right": right[:RANKED].tolist(),
                "similarity": [round(float(scores[row]), 4) for row in ranked[:RANKED]],
                "first_right": int(right.argmax()) + 1,
                "of": len(others),
                "right_in_all": int(right.sum()),
            }
        )
    return items


def _record(item: dict[str, Any], dataset: Dataset) -> dict[str, Any]:
    def shown(medium: tuple[str, int]) -> dict[str, str]:
        return {"file": _file(*medium), "identity": str(dataset.rows(medium[0])["identity"].iloc[medium[1]])}

    ranked = [
        {**shown(medium), "right": right, "similarity": similarity}
        for medium, right, similarity in zip(item["ranked"], item["right"], item["similarity"], strict=True)
    ]
    counts = {key: item[key] for key in ("first_right", "of", "right_in_all")}
    return {"direction": item["direction"], "query": shown(item["query"]), "ranked": ranked, **counts}


def _file(modality: str, row: int) -> str:
    """Name a medium's file by its row, which is always valid."""
    return f"{modality}-{row}.{'flac' if modality == 'voice' else 'jpg'}"


def _medium(dataset: Dataset, medium: tuple[str, int]) -> bytes:
    """Encode a voice's first seconds, or a small face, for the page."""
    modality, row = medium
    path, content = dataset.path(modality, row), io.BytesIO()
    if modality == "voice":
        waveform = read_waveform(path)[: round(SECONDS * SAMPLE_RATE)]
        soundfile.write(content, waveform, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    else:
        square = read_face(path, FaceConfig(size=SIDE)).transpose(1, 2, 0)
        Image.fromarray(square).save(content, format="JPEG", quality=85)
    return content.getvalue()


def _write_map(path: Path, trials: TrialSet, scorer: EmbeddingScorer, model: str) -> None:
    """Write the map: unit embeddings on the plane of largest variance."""
    dataset = trials.dataset
    ranked = trials.of(Queries)[0]
    rows = {"voice": ranked.voices, "face": ranked.faces}
    people = sorted({name for modality in rows for name in dataset.rows(modality)["identity"].iloc[rows[modality]]})
    chosen = np.random.default_rng([trials.seed, _PURPOSE, 2]).permutation(len(people))[:MOST_ON_MAP]
    kept = {people[place] for place in chosen}
    shown = {modality: _of_people(dataset, modality, rows[modality], kept) for modality in rows}
    vectors = np.concatenate([scorer.vectors(modality, numbers) for modality, numbers in shown.items()])
    places, share = principal_plane(vectors)
    parts = []
    for modality, numbers in shown.items():
        table = dataset.rows(modality).iloc[numbers]
        gender = table.get("gender", "")
        parts.append(table[["video", "identity"]].assign(modality=modality, gender=gender))
    points = pd.concat(parts, ignore_index=True).assign(x=places[:, 0], y=places[:, 1], variance=share, model=model)
    write_table(path, points[["model", "modality", "video", "identity", "gender", "x", "y", "variance"]].round(6))


def _of_people(dataset: Dataset, modality: str, rows: IntArray, people: set[str]) -> IntArray:
    """Select the first row of each video: its clips nearly coincide."""
    table = dataset.rows(modality).iloc[rows]
    return rows[(table["identity"].isin(people) & ~table["video"].duplicated()).to_numpy()]


def principal_plane(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Project onto the plane of the greatest variance.

    Args:
        vectors: [n, d].

    Returns:
        [n, 2] coordinates, and the fraction of the variance in that plane, in [0, 1]; 0 if nothing varies. The largest
        entry of each axis is positive, which fixes its sign. Missing dimensions are zeros.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(vectors), 2))
    width = min(2, len(singular))
    places[:, :width] = (left * singular)[:, :width]
    largest = places[np.abs(places).argmax(axis=0), [0, 1]]
    total = float((singular**2).sum())
    # Equal vectors differ by rounding only.
    if total <= 1e-12 * max(1.0, float((vectors**2).sum())):
        return np.zeros((len(vectors), 2)), 0.0
    return places * np.where(largest < 0, -1.0, 1.0), float((singular[:2] ** 2).sum()) / total
