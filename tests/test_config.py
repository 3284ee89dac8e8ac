"""The configuration: layers, closed keys, messages a person can act on."""

import re
import subprocess
import sys

import pytest
import yaml

from lowshot.cli.parsing import parse_set
from lowshot.config import Config, build_config, known_keys, preset_names, read_preset, read_yaml
from lowshot.errors import RenamedSetting, RequestError
from lowshot.settings import METHODS


def test_later_layers_win():
    config = build_config([{"train": {"epochs": 3, "batch_size": 8}}, parse_set("train.epochs=5"), {"seed": 7}])
    assert (config.train.epochs, config.train.batch_size, config.seed) == (5, 8, 7)


@pytest.mark.parametrize(
    ("item", "nearest"),
    [
        ("train.epoch=3", "train.epochs"),
        ("kapa=0.1", "method.kappa"),
        ("epochs=3", "train.epochs"),
        ("sede=1", "seed"),
    ],
)
def test_an_unknown_key_names_the_nearest(item, nearest):
    with pytest.raises(RequestError, match=f"unknown key .*did you mean '{re.escape(nearest)}'"):
        build_config([parse_set(item)])


def test_a_key_of_another_method_is_unknown():
    with pytest.raises(RequestError, match=r"unknown key 'method\.kappa'"):
        build_config([{"method": {"name": "cid", "kappa": 0.5}}])


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(RequestError, match="method 'cmcp' is unknown; did you mean 'cmpc'"):
        build_config([{"method": {"name": "cmcp"}}])
    with pytest.raises(RequestError, match=r"method '\[1\]' is unknown"):
        build_config([parse_set("method.name=[1]")])


def test_settings_of_a_method_that_is_not_the_last_named_are_left_out():
    cmpc = {"method": {"name": "cmpc", "kappa": 0.5, "temperature": 0.9}}
    config = build_config([cmpc, {"method": {"name": "cid"}}])
    assert config.method == build_config([{"method": {"name": "cid"}}]).method
    back = build_config([cmpc, {"method": {"name": "cid", "temperature": 0.1}}, {"method": {"name": "cmpc"}}])
    assert (back.method.kappa, back.method.temperature) == (0.5, 0.9)  # type: ignore[attr-defined]


@pytest.mark.parametrize("base", [[], [{"method": {"name": "cmpc", "kappa": 0.5, "temperature": 0.9}}]])
def test_settings_that_name_no_method_hold_for_the_one_that_is_named_later(base):
    config = build_config([*base, parse_set("method.temperature=0.07"), {"method": {"name": "cid"}}])
    assert (config.method.name, config.method.temperature) == ("cid", 0.07)  # type: ignore[attr-defined]


def test_settings_that_name_no_method_and_do_not_fit_the_one_named_later_are_refused():
    with pytest.raises(RequestError, match=r"unknown key 'method\.kappa'"):
        build_config([parse_set("method.kappa=0.5"), {"method": {"name": "cid"}}])


def test_another_method_takes_over_what_both_have():
    config = build_config([parse_set("method.temperature=0.07"), parse_set("method.kappa=0.5")])
    cid = config.with_method("cid")
    assert (cid.method.name, cid.method.temperature) == ("cid", 0.07)  # type: ignore[attr-defined]
    assert cid.with_method("cmpc").method == build_config([parse_set("method.temperature=0.07")]).method
    assert config.with_method("cmpc") == config


def test_another_methods_own_defaults_are_not_taken_over():
    rival = build_config([]).with_method("robust-xid")
    assert rival.method == METHODS["robust-xid"]()  # type: ignore[call-arg]
    assert rival.with_method("cmpc") == build_config([])


@pytest.mark.parametrize("item", ["train.epochs=0", "train.learning_rate=-1", "method.temperature=.nan", "seed=x"])
def test_a_value_out_of_range_names_its_key(item):
    with pytest.raises(RequestError, match=item.split("=", maxsplit=1)[0].replace(".", r"\.")):
        build_config([parse_set(item)])


@pytest.mark.parametrize("item", ["train.epochs", "=3", ".epochs=3", "train.=3"])
def test_a_set_without_key_or_value_is_refused(item):
    with pytest.raises(RequestError, match=r"SECTION\.KEY=VALUE"):
        parse_set(item)


def test_a_number_in_short_scientific_form_is_a_number():
    assert build_config([parse_set("train.learning_rate=3e-4")]).train.learning_rate == pytest.approx(3e-4)


def test_yaml_round_trip(tmp_path):
    config = build_config([{"method": {"name": "cid", "temperature": 0.1}, "labels": [0.2]}])
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert build_config([read_yaml(path)]) == config


@pytest.mark.parametrize(("text", "fault"), [("a: [", "not YAML"), ("- 1", "key: value")])
def test_a_broken_file_is_named(tmp_path, text, fault):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(RequestError, match=f"broken.yaml.*{fault}"):
        read_yaml(path)


def test_every_preset_is_a_configuration():
    assert {"tiny", "demo", "bench"} <= set(preset_names())
    for name in preset_names():
        assert isinstance(build_config([read_preset(name)]), Config)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(RequestError, match="did you mean 'demo'"):
        read_preset("demmo")


def test_the_hash_follows_the_settings():
    base, other = build_config([]), build_config([parse_set("train.epochs=61")])
    assert base.sha() == build_config([]).sha() != other.sha()
    assert base.sha("method") == other.sha("method")


def test_known_keys_are_those_that_set_takes():
    config = build_config([])
    for key in known_keys({}):
        value = config
        for part in key.split("."):
            value = getattr(value, part)
        assert build_config([parse_set(f"{key}={yaml.safe_dump(_plain(value), default_flow_style=True).strip()}")])


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "lowshot.config",
        "lowshot.cli",
        "lowshot.data.manifest",
        "lowshot.metrics.verification",
        "lowshot.reporting.page",
    ],
)
def test_torch_is_not_imported(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


OLD, NEW = "mates", "cluster-neighbours"


def test_an_old_name_is_read_with_a_warning_that_names_the_new_one():
    for settings in ({"method": {"recalibration": OLD}}, {"adapt": {"cmpc": {"recalibration": OLD}}}):
        with pytest.warns(RenamedSetting, match="recalibration=mates is now called recalibration=cluster-neighbours"):
            config = build_config([settings])
        part = config.method if "method" in settings else config.adapt.cmpc
        assert part.recalibration == NEW
        assert OLD not in config.to_yaml()


@pytest.mark.parametrize(("old", "new"), [(True, "paper"), (False, "none")])
def test_the_removed_switch_is_read_too(old, new):
    with pytest.warns(RenamedSetting, match=f"recalibrate={str(old).lower()} is now called recalibration={new}"):
        assert build_config([{"method": {"recalibrate": old}}]).method.recalibration == new  # type: ignore[attr-defined]


def test_a_new_name_counts_beside_an_old_one():
    with pytest.warns(RenamedSetting):
        config = build_config([{"method": {"recalibrate": True}}, {"method": {"recalibration": "none"}}])
    assert config.method.recalibration == "none"  # type: ignore[attr-defined]


def test_a_method_of_ones_own_keeps_its_names():
    with pytest.raises(RequestError, match=r"unknown key 'method\.recalibrate'"):
        build_config([{"method": {"name": "cid", "recalibrate": True}}])
