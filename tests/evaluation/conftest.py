"""Small datasets of vectors: everything an evaluation needs, without media."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from lowshot.data.dataset import Dataset
from lowshot.evaluation.protocols.base import Trials
from lowshot.evaluation.protocols.registry import find_table


def manifest_rows(
    identities: int, videos: int, faces: int = 2, split: str = "test", prefix: str = "id"
) -> list[dict[str, str]]:
    """One voice and some faces per video; attributes cycle so that every group has several identities."""
    rows = []
    for i in range(identities):
        name = f"{prefix}{i:03d}"
        shared = {
            "identity": name,
            "split": split,
            "gender": "mf"[i % 2],
            "nationality": ("USA", "UK", "India")[i // 2 % 3],
            "age": str((25, 35, 50, 70)[i // 6 % 4]),
        }
        for k in range(videos):
            video = f"{name}-v{k}"
            rows.append({"path": f"wav/{name}/{video}.wav", "modality": "voice", "video": video, **shared})
            rows += [
                {"path": f"faces/{name}/{video}/{n}.jpg", "modality": "face", "video": video, **shared}
                for n in range(faces)
            ]
    return rows


def write_dataset(rows: list[dict[str, str]] | pd.DataFrame, root: Path) -> Dataset:
    """Write rows as a dataset of random vectors and open it."""
    table = pd.DataFrame(rows)
    table.to_csv(root / "manifest.csv", index=False)
    rng = np.random.default_rng(0)
    vectors = {
        m: rng.standard_normal((max(1, int((table["modality"] == m).sum())), 8)).astype(np.float32)
        for m in ("voice", "face")
    }
    save_file(vectors, root / "features.safetensors")
    return Dataset.open(root)


def standard_rows() -> list[dict[str, str]]:
    """48 test identities of 3 videos; 10 training identities of a training video and a held-out one."""
    trained = manifest_rows(10, 1, split="train", prefix="tr")
    held_out = [{**row, "split": "", "video": row["video"] + "x", "path": row["path"] + "x"} for row in trained]
    return manifest_rows(48, 3) + trained + held_out


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[[list[dict[str, str]] | pd.DataFrame], Dataset]:
    """`write_dataset` to a folder of the test's own."""
    return lambda rows: write_dataset(rows, tmp_path)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """`standard_rows` as a dataset, shared by all tests: none may change its folder."""
    return write_dataset(standard_rows(), tmp_path_factory.mktemp("dataset"))


def write_list(path: Path, protocol: str, lists: Sequence[Trials], dataset: Dataset) -> None:
    """Write lists that belong in one file, under a name of the test's own."""
    ((table, _),) = find_table(protocol).list_files(lists, dataset).values()
    table.to_csv(path, index=False)
