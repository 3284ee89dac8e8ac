"""Settings of towers of vectors, judged by the validation AUC at the end of training; docs/features.md records them.

    python benchmarks/feature_defaults.py --out DIR [--set KEY=VALUE ...]

Two datasets are made in DIR. `made`: 250 invented people with 10 videos each, 5,000 vectors of width 192 (voice) and
512 (face). A person has 16 causes that both modalities show and 24 of each that the other does not; a video adds 32 of
its own to either. They are mixed by a random layer of 128 tanh units, mixed again, drowned in as much noise, and put to
columns of very different means and spreads. `demo`: vectors of the embedded data's media, mean and deviation of each
mel band over time (128), and the face averaged to 16 x 16 (768). Each setting changes one default (of 30 epochs, to
save time). None reads the test split. Stopped, the same command makes only what is missing.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tuning import final_auc

from lowshot.config import build_config, parse_set, read_preset
from lowshot.data.dataset import Dataset, write_features
from lowshot.data.features import write_blocks
from lowshot.data.manifest import write_manifest
from lowshot.data.readers.choice import open_reader
from lowshot.data.readers.media import MediaReader
from lowshot.runs import is_finished, safe_name
from lowshot.schema import FEATURES
from lowshot.settings import FaceConfig, VoiceConfig
from lowshot.training.loop import pretrain
from lowshot.workflows.datasets import open_dataset

SETTINGS = (
    "train.epochs=30",
    "train.epochs=60",
    "train.learning_rate=1e-3",
    "model.mlp.dropout=0",
    "model.mlp.dropout=0.3",
    "model.mlp.layers=0",
    "model.mlp.layers=2",
    "model.mlp.width=128",
    "model.mlp.width=1024",
    "augment.feature_noise=0:augment.feature_dropout=0",
    "augment.feature_noise=0.5:augment.feature_dropout=0.3",
    "method.name=cid",
)
SPLITS = {"train": 150, "val": 40, "test": 60}
SHARED, PRIVATE, VIDEO, MIXED = 16, 24, 32, 128


def make_world(folder: Path, splits: dict[str, int], videos: int, seed: int) -> None:
    """Write a dataset of invented vectors, one voice and one face a video.

    Args:
        folder: to write to.
        splits: people of each.
        videos: of each person.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    split = np.repeat(list(splits), list(splits.values()))
    person = np.repeat(np.arange(len(split)), videos)
    shared = rng.normal(size=(len(split), SHARED))
    tensors, rows = {}, []
    for modality, width in (("voice", 192), ("face", 512)):
        private = rng.normal(size=(len(split), PRIVATE))
        causes = np.hstack([shared[person], private[person], rng.normal(size=(len(person), VIDEO))])
        inner = np.tanh(1.5 * causes @ rng.normal(size=(causes.shape[1], MIXED)) / np.sqrt(causes.shape[1]))
        shown = inner @ rng.normal(size=(MIXED, width))
        noisy = shown / shown.std() + rng.normal(size=shown.shape)
        tensors[modality] = noisy * np.exp(rng.normal(size=width)) + 10 * rng.normal(size=width)
        rows += [("", modality, f"v{k}", f"p{who}", split[who]) for k, who in enumerate(person)]
    write_blocks(folder / FEATURES, tensors, {})
    write_manifest(
        pd.DataFrame(rows, columns=["path", "modality", "video", "identity", "split"]), folder / "manifest.csv"
    )


def make_demo(folder: Path) -> None:
    """Write simple vectors of the embedded data's voices and faces."""
    dataset = open_dataset("synth:demo")
    media = MediaReader(dataset, VoiceConfig(), FaceConfig(), cache_bytes=0)
    mels = (media.voice(k)[0].astype(np.float32) for k in range(len(dataset.voices)))
    voice = np.stack([np.concatenate([mel.mean(axis=1), mel.std(axis=1)]) for mel in mels])
    images = (torch.from_numpy(media.face(k)).float() for k in range(len(dataset.faces)))
    face = np.stack([torch.nn.functional.adaptive_avg_pool2d(image, 16).flatten().numpy() for image in images])
    write_features(folder, dataset, voice, face, {})


def main() -> None:
    """Make what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where data and runs are kept")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for all of them")
    options = parser.parse_args()
    data = {name: options.out / "data" / name for name in ("made", "demo")}
    if not (data["made"] / "manifest.csv").is_file():
        make_world(data["made"], SPLITS, videos=10, seed=0)
    if not (data["demo"] / "manifest.csv").is_file():
        make_demo(data["demo"])
    print(f"| setting | {' | '.join(data)} |\n|---|{'---|' * len(data)}")
    for setting in SETTINGS:
        found = []
        for name, folder in data.items():
            own = [parse_set(item) for item in (*options.set, "train.epochs=30", *setting.split(":"))]
            config = build_config([read_preset("features"), {"data": str(folder)}, *own])
            run = options.out / safe_name(f"{name}-{'-'.join([*options.set, setting])}")
            if not is_finished(run):
                reader = open_reader(Dataset.open(folder), config.model, config.voice, config.face)
                pretrain(config, reader, run)
            found.append(f"{100 * final_auc(run):.1f}")
        print(f"| `{setting.replace(':', '` `')}` | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
