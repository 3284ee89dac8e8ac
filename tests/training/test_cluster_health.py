"""How clusters stand, counted by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from lowshot.config import Config
from lowshot.data.readers.media import MediaReader
from lowshot.methods.base import Partition
from lowshot.schema import CLUSTER_COLUMNS
from lowshot.training.cluster_health import cluster_table
from lowshot.training.loop import pretrain


def test_sizes_purity_and_weights_of_a_case_counted_by_hand() -> None:
    # Clusters of 3, 2 and 1 videos and one video outside; a, a, b are 2/3 pure, c, d 1/2, the last is unknown.
    parts = [Partition("voice", np.array([0, 0, 0, 1, 1, 2, -1]))]
    weights = np.array([0.1, 0.5, 0.9, 0.49, 1, 1, 1])
    table = cluster_table(parts, weights, ["a", "a", "b", "c", "d", "", "a"])
    row = table.iloc[0]
    assert tuple(table.columns) == CLUSTER_COLUMNS
    assert row[["clusters", "videos", "smallest", "median", "largest"]].tolist() == [3, 6, 1, 2, 3]
    assert row["single"] == pytest.approx(1 / 3)
    assert row["purity"] == pytest.approx(3 / 5)
    assert row["weights_below_half"] == pytest.approx(2 / 7)


def test_chance_purity_is_that_of_dealt_identities() -> None:
    assigned = np.repeat([0, 1], 20)
    same = [f"p{place}" for place in assigned]
    row = cluster_table([Partition("face", assigned)], None, same).iloc[0]
    assert row["purity"] == 1
    assert 0.5 <= row["purity_chance"] < 0.75
    assert math.isnan(row["weights_below_half"])
    alone = cluster_table([Partition("face", np.arange(4))], None, ["a", "b", "a", "b"]).iloc[0]
    # Clusters of one are pure whoever is in them.
    assert alone["purity"] == alone["purity_chance"] == 1


def test_nobody_known_has_no_purity() -> None:
    row = cluster_table([Partition("voice", np.array([0, 1, 1]))], None, ["", "", ""]).iloc[0]
    assert math.isnan(row["purity"]) and math.isnan(row["purity_chance"])


@pytest.mark.slow
@pytest.mark.parametrize(("method", "modalities"), [("cmpc", ["voice", "voice", "face", "face"]), ("cid", None)])
def test_a_pretraining_writes_its_clusters(
    method: str, modalities: list[str] | None, config: Config, reader: MediaReader
) -> None:
    run = pretrain(config if method == "cmpc" else config.with_method(method), reader)
    path = run / "clusters.csv"
    if modalities is None:
        assert not path.exists()
        return
    table = pd.read_csv(path)
    assert table["modality"].tolist() == modalities
    assert table["granularity"].tolist() == [0, 1, 0, 1]
    assert (table["videos"] == 40).all() and (table["clusters"] > 1).all()
    assert table["weights_below_half"].between(0, 1).all()
