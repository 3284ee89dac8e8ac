"""A small invented directory of results, with everything that a page shows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from PIL import Image

NASTY = '<script>alert("1")</script> $x_'


def results(methods: tuple[str, ...] = ("cmpc", "cid"), seeds: int = 2) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []

    def add(method: str, level: float, adaptation: str = "none", fraction: Any = 0, seed: Any = "") -> None:
        base: dict[str, Any] = {
            "run_id": f"{method}-seed{seed}" if adaptation == "none" else f"{method}-{adaptation}-seed{seed}",
            "method": method,
            "adaptation": adaptation,
            "fraction": fraction,
            "subset_seed": "",
            "train_seed": seed,
            "seen": "unseen-unheard",
            "stratum": "U",
            "n_trials": 1234,
            "n_identities": 56,
        }
        band: dict[str, Any] = {} if method == "chance" else {"ci_low": level - 0.03, "ci_high": level + 0.03}
        for stratum in ("U", "G"):
            auc = {"protocol": "verification", "metric": "auc", "stratum": stratum}
            rows.append({**base, **auc, **band, "value": level})
        for direction in ("voice_to_face", "face_to_voice"):
            for size in (2, 3):
                kind: dict[str, Any] = {"protocol": "matching", "metric": "accuracy", "gallery_size": size}
                rows.append({**base, **kind, "direction": direction, "value": level / size * 2})
            rows.append({**base, "protocol": "retrieval", "metric": "map", "direction": direction, "value": level / 9})

    add("chance", 0.5, fraction="")
    add("oracle", 0.9, fraction="")
    for place, method in enumerate(methods):
        for seed in range(seeds):
            add(method, 0.7013 - 0.05 * place + 0.01 * seed, seed=seed)
            add(method, 0.72 - 0.05 * place + 0.01 * seed, "finetune", 0.1, seed)
    table = pd.DataFrame(rows)
    for column in ("gallery_size", "direction", "ci_low", "ci_high"):
        table[column] = table.get(column, pd.Series(np.nan, index=table.index))
    return table


def differences() -> pd.DataFrame:
    base = {
        "method_a": "cmpc",
        "method_b": "cid",
        "metric": "auc",
        "protocol": "verification",
        "direction": "",
        "stratum": "U",
        "seen": "unseen-unheard",
        "gallery_size": np.nan,
        "seeds": 2,
        "p_value": 0.01,
    }
    gender = {**base, "stratum": "G"}
    search = {"protocol": "matching", "metric": "accuracy", "direction": "voice_to_face", "gallery_size": 2}
    return pd.DataFrame(
        [
            {**base, "adaptation": "none", "fraction": 0, "difference": 0.05, "ci_low": 0.02, "ci_high": 0.081},
            {**base, "adaptation": "finetune", "fraction": 0.1, "difference": 0.01, "ci_low": -0.02, "ci_high": 0.04},
            {**gender, "adaptation": "none", "fraction": 0, "difference": 0.03, "ci_low": -0.01, "ci_high": 0.071},
            {**gender, "adaptation": "finetune", "fraction": 0.1, "difference": 0.02, "ci_low": 0.01, "ci_high": 0.03},
            {**base, **search, "adaptation": "none", "fraction": 0, "difference": 0.077, "ci_low": 0, "ci_high": 0.1},
        ]
    )


def by_gender(whole: pd.DataFrame) -> pd.DataFrame:
    """The same with the AUC of either gender, 4.11 points less and more."""
    parts = [whole.assign(group="")]
    for gender, step in (("f", -0.0411), ("m", 0.0411)):
        auc = whole[whole["metric"] == "auc"]
        parts.append(auc.assign(group=f"gender={gender}", value=auc["value"] + step, ci_low=np.nan, ci_high=np.nan))
    return pd.concat(parts)


def label_efficiency() -> pd.DataFrame:
    base = {
        "method": "cmpc",
        "reference": "cid",
        "adaptation": "finetune",
        "metric": "auc",
        "protocol": "verification",
        "direction": "",
        "stratum": "U",
        "seen": "unseen-unheard",
        "gallery_size": np.nan,
        "runs": 2,
        "least_fraction": 0.0,
        "largest_fraction": 0.5,
    }
    return pd.DataFrame(
        [
            {**base, "fraction": 0, "value": 0.7063, "equal_fraction": 0.08, "ci_low": 0.02, "ci_high": 0.31},
            {**base, "fraction": 0.1, "value": 0.725, "equal_fraction": np.inf, "ci_low": 0.0, "ci_high": np.inf},
        ]
    )


def write_gallery(folder: Path, name: str = "Ann", model: str = "cmpc-seed0") -> None:
    """A voice with five faces, the second of them right, and a face with two voices; and a map of the same people."""
    folder.mkdir(parents=True, exist_ok=True)
    tone = np.sin(np.arange(1600) / 5).astype(np.float32) / 4
    for place in range(3):
        soundfile.write(folder / f"voice-{place}.flac", tone / (place + 1), 16_000, subtype="PCM_16")
    for place in range(6):
        Image.new("RGB", (96, 96), (40 * place, 90, 120)).save(folder / f"face-{place}.jpg")
    people = ["Bob", name, "Cem", "Dee", "Eli"]
    faces = [
        {"file": f"face-{place}.jpg", "identity": who, "right": who == name, "similarity": 0.9 - 0.1 * place}
        for place, who in enumerate(people)
    ]
    voices = [
        {"file": f"voice-{place + 1}.flac", "identity": who, "right": False, "similarity": 0.3 - 0.1 * place}
        for place, who in enumerate(("Bob", "Cem"))
    ]
    items = [
        {
            "direction": "voice_to_face",
            "query": {"file": "voice-0.flac", "identity": name},
            "ranked": faces,
            "first_right": 2,
            "of": 1200,
            "right_in_all": 5,
        },
        {
            "direction": "face_to_voice",
            "query": {"file": "face-5.jpg", "identity": name},
            "ranked": voices,
            "first_right": 7,
            "of": 1200,
            "right_in_all": 5,
        },
    ]
    (folder / "gallery.json").write_text(json.dumps({"model": model, "items": items}), encoding="utf-8")
    rows = [
        {"model": model, "modality": modality, "video": f"v{place}", "identity": who, "gender": "fm"[place % 2]}
        for modality in ("voice", "face")
        for place, who in enumerate(people)
    ]
    table = pd.DataFrame(rows)
    table["x"], table["y"], table["variance"] = np.arange(10) / 10, np.arange(10)[::-1] / 7, 0.345
    table.to_csv(folder / "map.csv", index=False)


def fill(tmp_path: Path) -> Path:
    """A results directory with everything in it."""
    by_gender(results()).to_csv(tmp_path / "results.csv", index=False)
    differences().to_csv(tmp_path / "differences.csv", index=False)
    label_efficiency().to_csv(tmp_path / "label_efficiency.csv", index=False)
    write_gallery(tmp_path / "gallery", name=NASTY)
    labels = np.arange(200) % 2
    noise = np.random.default_rng(0).normal(size=200)
    for key, gap in (("cmpc-seed0", 1.0), ("cmpc-seed1", 0.9), ("cid-seed0", 0.5), ("oracle", 2.0)):
        folder = tmp_path / "scores" / key
        folder.mkdir(parents=True)
        table = pd.DataFrame({"label": labels, "score": noise + gap * labels})
        table.to_csv(folder / "verification-unseen-unheard-U.csv", index=False)
    (tmp_path / "provenance.json").write_text(json.dumps({"seed": 0, "data": {"name": NASTY}, "seconds": 1.5}))
    return tmp_path


def clusters() -> pd.DataFrame:
    """Health of two clusterings, as a pretraining writes it."""
    numbers = {"clusters": 40, "videos": 200, "smallest": 1, "lower_quartile": 2, "median": 4, "upper_quartile": 7}
    numbers |= {"largest": 30, "single": 0.1, "purity": 0.612, "purity_chance": 0.257, "weights_below_half": 0.083}
    rows = [{"modality": modality, "granularity": 0, **numbers} for modality in ("voice", "face")]
    return pd.DataFrame(rows)


def curve(path: Path) -> Path:
    steps = np.arange(0, 100, 10)
    table = pd.DataFrame({"step": steps, "loss": 5 - steps / 50, "val_auc": np.nan, "clustered": steps % 30 == 0})
    table["clustered"] = table["clustered"].astype(int)
    table.loc[[0, 9], "val_auc"] = (0.5, 0.66)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    clusters().to_csv(path.with_name("clusters.csv"), index=False)
    return path
