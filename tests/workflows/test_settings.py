"""Settings of Python: plain values, by section or by dotted key, in their order of authority."""

import numpy as np
import pytest

from lowshot.config import Config
from lowshot.errors import RequestError
from lowshot.settings import TrainConfig
from lowshot.workflows.settings import nested, resolve_config


def test_sections_and_dotted_keys_are_the_same_settings():
    by_key = resolve_config(settings={"train.epochs": 5, "train.batch_size": 16, "adapt.cmpc.delta": 0.5})
    by_section = resolve_config(settings={"train": {"epochs": 5, "batch_size": 16}, "adapt": {"cmpc": {"delta": 0.5}}})
    mixed = resolve_config(settings={"train": {"batch_size": 16}, "train.epochs": 5, "adapt": {"cmpc.delta": 0.5}})
    named = resolve_config(named={"train": {"epochs": 5, "batch_size": 16}, "adapt": {"cmpc": {"delta": 0.5}}})
    assert by_key == by_section == mixed == named
    assert (by_key.train.epochs, by_key.adapt.cmpc.delta) == (5, 0.5)


def test_named_arguments_count_more_than_settings_than_a_file_than_a_preset(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("train: {epochs: 3, batch_size: 20, workers: 1}\n")
    found = resolve_config(
        preset="tiny",
        config=file,
        settings={"train.batch_size": 30, "train.workers": 2},
        named={"train": {"workers": 0}, "seed": 4, "data": None},
        base=Config(seed=9),
    )
    assert (found.train.epochs, found.train.batch_size, found.train.workers, found.seed) == (3, 30, 0, 4)
    assert found.voice == resolve_config(preset="tiny").voice


def test_a_method_is_a_name_or_its_settings():
    assert resolve_config(named={"method": "cid"}).method.name == "cid"
    found = resolve_config(named={"method": {"name": "cid", "temperature": 0.5}})
    assert (found.method.name, found.method.temperature) == ("cid", 0.5)  # type: ignore[attr-defined]
    assert resolve_config(named={"method": {"temperature": 0.5}}).method.name == "cmpc"


def test_text_stays_text():
    """Nothing is parsed again: what looks like YAML is a value."""
    assert nested({"data": "[a, b]", "x.y": "1e-3"}, "settings") == {"data": "[a, b]", "x": {"y": "1e-3"}}
    with pytest.raises(RequestError, match=r"method '\[cid\]' is unknown"):
        resolve_config(named={"method": "[cid]"})


def test_values_of_libraries_become_plain():
    given = {"train": {"epochs": np.int64(5), "compile": np.bool_(True)}, "adapt.finetune_learning_rates": np.ones(2)}
    plain = nested(given, "settings")
    assert plain == {"train": {"epochs": 5, "compile": True}, "adapt": {"finetune_learning_rates": [1.0, 1.0]}}
    assert type(plain["train"]["epochs"]) is int and type(plain["train"]["compile"]) is bool
    assert resolve_config(named={"train": TrainConfig(epochs=7)}).train.epochs == 7
