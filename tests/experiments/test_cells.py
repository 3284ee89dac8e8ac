"""What a request for a comparison means, and what is refused."""

import pytest

from lowshot.cli.parsing import parse_fractions, parse_methods, parse_names
from lowshot.config import build_config
from lowshot.errors import RenamedSetting, RequestError
from lowshot.experiments.cells import Cell, Variant, comparison_plan, make_arms

BASE = build_config([{"method": {"temperature": 0.07}}])


def plan(methods="cmpc,cid,scratch", fractions="0,0.1,1", adaptations="probe", subsets=2, seeds=2, reference="cid"):
    shares = None if fractions is None else parse_fractions(fractions)
    return comparison_plan(
        build_config([]), parse_methods(methods), shares, parse_names(adaptations), subsets, seeds, reference
    )


def parse_arms(text, config):
    return make_arms(parse_methods(text), config)


def test_variants_are_labelled_by_what_they_change_and_share_the_rest():
    arms = parse_arms(
        "cmpc, cmpc:method.recalibration=cluster-neighbours:train.epochs=7,cmpc:method.videos_per_cluster=[9, 4],cid",
        BASE,
    )
    assert [arm.label for arm in arms] == [
        "cmpc",
        "cmpc+recalibration=cluster-neighbours+train.epochs=7",
        "cmpc+videos_per_cluster=9__4",
        "cid",
    ]
    assert arms[1].config.method.recalibration == "cluster-neighbours"
    assert (arms[1].config.train.epochs, arms[0].config.train.epochs) == (7, BASE.train.epochs)
    assert arms[2].config.method.videos_per_cluster == (9.0, 4.0)
    assert {arm.config.method.temperature for arm in arms} == {0.07}


def test_a_variant_by_an_old_name_is_the_one_by_the_new_name():
    with pytest.warns(RenamedSetting):
        (old,) = parse_arms("cmpc:method.recalibration=mates", BASE)
    (new,) = parse_arms("cmpc:method.recalibration=cluster-neighbours", BASE)
    assert old == new


def test_every_combination_is_one_cell():
    cells = plan().cells()
    names = [cell.key for cell in cells]
    assert len(set(names)) == len(names)
    unlabelled = {f"{method}-seed{seed}" for method in ("cmpc", "cid") for seed in (0, 1)}
    labelled = {
        f"{method}-probe-{drawn}-seed{seed}"
        for method in ("cmpc", "cid", "scratch")
        # Of all identities there is one subset.
        for drawn in ("0.1-subset0", "0.1-subset1", "1-subset0")
        for seed in (0, 1)
    }
    assert set(names) == unlabelled | labelled
    assert {cell.run for cell in cells if cell.fraction == 0} == {f"pretrain-{name}" for name in unlabelled}


def test_the_subset_of_a_training_is_its_own_unless_said_otherwise():
    own = Cell("cid", "probe", 0.1, 3)
    assert (own.key, own.subset_seed) == ("cid-probe-0.1-seed3", 3)
    crossed = Cell("cid", "probe", 0.1, 3, 0)
    assert (crossed.key, crossed.subset_seed) == ("cid-probe-0.1-subset0-seed3", 0)


def test_each_method_is_held_against_the_reference():
    assert plan().pairs == (("cmpc", "cid"), ("scratch", "cid"))
    assert plan(reference="scratch").pairs == (("cmpc", "scratch"), ("cid", "scratch"))
    assert plan("cmpc,cid", None).fractions == (0.0, *BASE.labels)


def test_fractions_rise_and_stand_once():
    assert plan(fractions="1,0.1, 0,0.10").fractions == (0.0, 0.1, 1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": "cmpc,cidd"}, "no method 'cidd'; there are cmpc, cid"),
        ({"methods": "cmpc,cid,"}, "no method ''"),
        ({"methods": "cmpc,cid,cmpc"}, "cmpc and cmpc are the same"),
        ({"methods": "cid,cmpc,cmpc:method.recalibration=paper"}, r"recalibration=paper and cmpc are the same"),
        ({"methods": "cid,cmpc:method.name=cid"}, "method.name is the same for all methods"),
        ({"methods": "cid,cmpc:adapt.steps=3"}, r"adapt\.steps is the same for all methods"),
        ({"methods": "cid,cmpc:method.kappa"}, "'method.kappa' is not a setting"),
        ({"methods": "cid,cmpc:method.kapa=1"}, r"unknown key 'method\.kapa'; did you mean 'method\.kappa'"),
        ({"methods": "cid,scratch:train.epochs=3"}, "scratch takes no settings of its own"),
        ({"methods": "cid"}, "nothing to compare it with"),
        ({"fractions": "0", "methods": "cid,scratch"}, "fresh weights need labels"),
        ({"fractions": "0,1.5"}, "`fractions=1.5`: a label fraction is"),
        ({"fractions": "0,nan"}, "`fractions=nan`: a label fraction is"),
        ({"fractions": "0;1"}, "'0;1' is not a number"),
        ({"adaptations": "probe,fine"}, "no adaptation 'fine'; there are probe, finetune"),
        ({"reference": "avid"}, r"not one of the compared methods \(cmpc, cid, scratch\)"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(changes, message):
    with pytest.raises(RequestError, match=message) as error:
        plan(**changes)
    assert "\n" not in str(error.value)


def test_a_setting_that_several_methods_have_is_not_given_to_all():
    changed = build_config([{"method": {"name": "cmpc", "videos_per_cluster": [9, 4]}}])
    assert (
        comparison_plan(changed, [Variant("cmpc"), Variant("cid")], [0], ["probe"], 1, 1, "cid").arms[0].config
        == changed
    )
    with pytest.raises(RequestError) as error:
        comparison_plan(changed, [Variant("cmpc"), Variant("cmpc-released")], [0], ["probe"], 1, 1, "cmpc")
    assert "cmpc:method.videos_per_cluster=[9.0, 4.0]" in str(error.value)


def test_values_of_python_name_runs_as_those_of_the_command_line_do():
    changes = {"method.recalibration": "none", "method.videos_per_cluster": [9, 4], "train.compile": True}
    typed = "cmpc:method.recalibration=none:method.videos_per_cluster=[9,4]:train.compile=true"
    variant = Variant("cmpc", changes)
    assert str(variant) == typed
    assert make_arms([variant], BASE) == parse_arms(typed, BASE)
