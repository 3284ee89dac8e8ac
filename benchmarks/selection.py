"""How well held-out clusters choose without labels: against the labelled validation split, and beside `cca`.

    python benchmarks/selection.py [--out docs/data/selection.csv]

Each world is a set of vectors that are a random nonlinear function of the embedded world's latents, private traits and
noise: people, share of deviating videos and noise differ. Every method trains with default settings and
`train.select=held-out-clusters`, logs the validation AUC of every epoch, and goes on to its last epoch once more
without a judge. The judge sees no label; validation and test labels are read here alone. Finished worlds are kept, so
that a stopped benchmark goes on.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from lowshot.config import Config, build_config, read_preset
from lowshot.data.dataset import Dataset
from lowshot.data.features import write_blocks
from lowshot.data.manifest import write_manifest
from lowshot.data.pairs import videos_of
from lowshot.data.readers.features import FeatureReader
from lowshot.files import write_table
from lowshot.models.loaded import load_model
from lowshot.runs import read_provenance
from lowshot.schema import FEATURES, MANIFEST, METRICS
from lowshot.synthetic.world import World, WorldConfig, build_world
from lowshot.training.loop import pretrain
from lowshot.training.validation import auc_of_embeddings, validation_auc

# People, videos a person, share of deviating videos, noise, seed.
WORLDS = (
    (60, 8, 0.0, 1.0, 0),
    (60, 8, 0.2, 1.0, 1),
    (100, 8, 0.1, 1.5, 2),
    (150, 8, 0.1, 1.0, 3),
    (150, 8, 0.4, 1.0, 4),
    (150, 16, 0.1, 2.0, 5),
    (300, 8, 0.2, 1.0, 6),
    (500, 8, 0.0, 1.0, 7),
    (500, 8, 0.4, 1.5, 8),
    (1000, 8, 0.1, 1.0, 9),
)
METHODS = ("cid", "cmpc")
WIDTHS = {"voice": 192, "face": 128}
PRIVATE, NUISANCE, HIDDEN = 12, 16, 256


def make(folder: Path, people: int, videos: int, deviating: float, noise: float, seed: int) -> None:
    """Write one world as a dataset of vectors."""
    world = build_world(
        WorldConfig(
            name=f"selection-{people}",
            seed=seed,
            train_identities=people,
            val_identities=40,
            test_identities=200,
            train_videos=(max(2, videos - 2), videos, videos + 2),
            val_videos=6,
            test_videos=6,
            seen_heard_videos=0,
            deviating_share=deviating,
        )
    )
    rng = np.random.default_rng([seed, people])
    vectors = {m: _vectors(world, m, noise, rng) for m in WIDTHS}
    rows = [
        ("", modality, video.name, world.ids[video.identity], video.split, world.genders[video.identity])
        for modality in WIDTHS
        for video in world.videos
    ]
    folder.mkdir(parents=True)
    write_blocks(folder / FEATURES, vectors, {})
    columns = ["path", "modality", "video", "identity", "split", "gender"]
    write_manifest(pd.DataFrame(rows, columns=columns), folder / MANIFEST)


def _vectors(world: World, modality: str, noise: float, rng: np.random.Generator) -> np.ndarray:
    latents = getattr(world, modality)
    traits = np.hstack([latents, rng.normal(size=(len(latents), PRIVATE))])
    shown = [video.voice_identity if modality == "voice" else video.identity for video in world.videos]
    seen = traits[shown] + 0.35 * noise * rng.normal(size=(len(shown), traits.shape[1]))
    inputs = np.hstack([seen, noise * rng.normal(size=(len(shown), NUISANCE))])
    first = 1.2 * rng.normal(size=(inputs.shape[1], HIDDEN)) / np.sqrt(inputs.shape[1])
    second = rng.normal(size=(HIDDEN, WIDTHS[modality])) / np.sqrt(HIDDEN)
    found = np.tanh(inputs @ first + 0.3 * rng.normal(size=HIDDEN)) @ second
    return (found + 0.15 * noise * found.std() * rng.normal(size=found.shape)).astype(np.float32)


def measure(folder: Path, number: int) -> list[dict[str, object]]:
    """Train every method on one world; a row each."""
    people, videos, deviating, noise, seed = WORLDS[number]
    data = folder / "vectors"
    if not data.exists():
        make(data, people, videos, deviating, noise, seed)
    reader = FeatureReader(Dataset.open(data))
    world = {"people": people, "videos": videos, "deviating": deviating, "noise": noise, "seed": seed}
    floor = pretrain(_config(data, "cca", "last", seed), reader, folder / "cca")
    cca_test = auc_on(reader, floor, "test")
    rows = []
    for name in METHODS:
        judged = pretrain(_config(data, name, "held-out-clusters", seed), reader, folder / f"{name}-judged")
        last = pretrain(_config(data, name, "last", seed), reader, folder / f"{name}-last")
        log = pd.read_csv(judged / METRICS).dropna(subset="val_auc")
        chosen = read_provenance(judged)["chosen"]
        rows.append(
            {
                **world,
                "method": name,
                "epoch_chosen": chosen["epoch"],
                "epochs_looked": chosen["looked"],
                "judge_auc": chosen["auc"],
                "judge_error": chosen["error"],
                "rank_correlation": log["judge_auc"].corr(log["val_auc"], method="spearman"),
                "val_best": log["val_auc"].max(),
                "val_chosen": log.set_index("epoch")["val_auc"][chosen["epoch"] - 1],
                "val_last": auc_on(reader, last, "val"),
                "test_chosen": auc_on(reader, judged, "test"),
                "test_last": auc_on(reader, last, "test"),
                "test_cca": cca_test,
            }
        )
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
    return rows


def _config(data: Path, method: str, select: str, seed: int) -> Config:
    train = {"select": select, "validate_every": 1 if select != "last" else 0}
    layers = [read_preset("features"), {"data": str(data), "seed": seed, "method": {"name": method}, "train": train}]
    return build_config(layers)


def auc_on(reader: FeatureReader, run: Path, split: str) -> float:
    """AUC over all pairs of different videos of a split."""
    from lowshot.models.embedding import embed

    towers = load_model(run).towers
    if split == "val":
        return validation_auc(towers, reader, videos_of(reader.dataset, "val"))
    rows = np.flatnonzero(reader.dataset.voices["split"] == split)
    found = embed(towers, reader, rows, rows)
    people = reader.dataset.voices["identity"].to_numpy().astype(str)[rows]
    return auc_of_embeddings(found.voice[rows], found.face[rows], people)


def main() -> None:
    """Measure all worlds and write one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/data/selection.csv"))
    parser.add_argument("--folder", type=Path, default=None, help="Where runs are kept.  [default: a temporary folder]")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    rows: list[dict[str, object]] = []
    for number in range(len(WORLDS)):
        kept = folder / f"world-{number}.csv"
        if not kept.is_file():
            write_table(kept, pd.DataFrame(measure(folder / f"world-{number}", number)))
        rows += pd.read_csv(kept).to_dict("records")
        write_table(options.out, pd.DataFrame(rows).round(4))
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    loss = 100 * (table["val_best"] - table["val_chosen"])
    print(f"chosen within 1 point of the run's best: {(loss <= 1).sum()} of {len(loss)}; worst {loss.max():.1f}")


if __name__ == "__main__":
    main()
