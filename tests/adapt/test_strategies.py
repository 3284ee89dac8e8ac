"""What each strategy trains, and that everything else stands still."""

import pytest
import torch

from lowshot.adapt import finetune as finetuning
from lowshot.adapt.finetune import finetune
from lowshot.adapt.probe import probe
from lowshot.adapt.run import labelled_videos, validation_videos
from lowshot.config import build_config
from lowshot.data.pairs import videos_of
from lowshot.models.two_tower import TwoTower

# Names of weights start with these, for each tower.
HEAD = {"compact": ("project.",), "resnet18": ()}
LAST = {"compact": ("project.", "trunk.9.", "trunk.10."), "resnet18": ("layer4.",)}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
MAPS = ("voice_head.", "face_head.")


def settings(config, tower="compact", **adapt):
    model = {"tower": tower} if tower == "compact" else {"tower": tower, "dim": 512}
    adapt = {"steps": 2, "checks": 2, "batch_size": 8, **adapt}
    return build_config([config.model_dump(mode="json"), {"model": model, "adapt": adapt}])


def tune(config, reader, model, *, scratch=False):
    people = sorted(set(videos_of(reader.dataset, "train").identities))[:2]
    labelled, validation = labelled_videos(reader.dataset, people), validation_videos(reader.dataset)
    return finetune(model, labelled, validation, reader, config, 0, scratch=scratch)


def worn(config):
    """Towers whose statistics are not the fresh ones."""
    model = TwoTower.from_config(config).eval()
    draw = torch.Generator().manual_seed(0)
    for name, value in model.named_buffers():
        if name.endswith(("mean", "var")):
            # Means below 0: rectifiers after them let something through.
            value.add_(torch.rand(value.shape, generator=draw), alpha=-0.1 if name.endswith("mean") else 0.1)
    return model


@pytest.fixture
def every_step_counts(monkeypatch):
    """Each validation is better than the one before: the weights of the last step are chosen."""
    rising = iter(range(1, 1000))
    monkeypatch.setattr(finetuning, "validation_auc", lambda *args: next(rising) / 1000)


def changed(before, after):
    return {name for name in after if name not in before or not torch.equal(before[name], after[name])}


def named(model, parts):
    """Weights, not statistics, of parts of both towers."""
    heads = tuple(f"{tower}.{part}" for tower in ("voice", "face") for part in parts) + MAPS
    return {name for name, _ in model.named_parameters() if name.startswith(heads)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tower", "strategy"),
    [
        *(("compact", strategy) for strategy in ("full", "head", "last-stage", "lp-ft")),
        ("resnet18", "head"),
        ("resnet18", "last-stage"),
    ],
)
def test_it_trains_what_it_names_and_nothing_else(config, reader, every_step_counts, tower, strategy):
    rates = {f"{name}_learning_rates": [1e-2] for name in ("finetune", "head", "last_stage", "lp_ft", "probe")}
    chosen = settings(config, tower, strategy=strategy, **rates)
    model = worn(chosen)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tuned, selected = tune(chosen, reader, model)
    assert selected.step == 2
    after = tuned.state_dict()
    expected = {"head": named(tuned, HEAD[tower]), "last-stage": named(tuned, LAST[tower])}
    assert expected.get(strategy, {name for name, _ in tuned.named_parameters()}) == changed(before, after)
    # Maps are where they are needed: after a probe, and where there is no projection.
    assert tuned.model_config.linear_heads == (strategy == "lp-ft" or (strategy, tower) == ("head", "resnet18"))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert not tuned.training
    assert all(weight.requires_grad for weight in tuned.parameters())


@pytest.mark.parametrize("strategy", ["head", "last-stage"])
def test_gradients_reach_nothing_else_either(config, reader, monkeypatch, every_step_counts, strategy):
    seen = []
    real = torch.optim.AdamW.step

    def warning(self, *args):
        seen.append(sum(weight.grad is not None for group in self.param_groups for weight in group["params"]))
        return real(self, *args)

    reached = []
    freeze = finetuning.freeze_the_rest
    monkeypatch.setattr(torch.optim.AdamW, "step", warning)
    monkeypatch.setattr(
        finetuning, "freeze_the_rest", lambda towers, *args: reached.append(towers) or freeze(towers, *args)
    )
    chosen = settings(config, strategy=strategy)
    tuned, _ = tune(chosen, reader, worn(chosen))
    wanted = named(tuned, {"head": HEAD, "last-stage": LAST}[strategy]["compact"])
    assert seen == [len(wanted)] * 4
    for towers in reached:
        assert {name for name, weight in towers.named_parameters() if weight.grad is not None} == wanted


@pytest.mark.parametrize("strategy", ["head", "last-stage"])
def test_of_fresh_towers_frozen_statistics_are_learned_once_and_then_stand(
    config, reader, monkeypatch, every_step_counts, strategy
):
    starts, fresh = [], None
    real = finetuning.select

    def warning(start, *args):
        starts.append({name: value.clone() for name, value in start.state_dict().items()})
        return real(start, *args)

    monkeypatch.setattr(finetuning, "select", warning)
    chosen = settings(config, strategy=strategy, head_learning_rates=[1e-2], last_stage_learning_rates=[1e-2])
    model = TwoTower.from_config(chosen).eval()
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    tuned, selected = tune(chosen, reader, model, scratch=True)
    assert selected.step == 2
    (settled,), after = starts, tuned.state_dict()
    norms = {name for name in fresh if name.endswith(STATISTICS)}
    last = {name for name in norms if ".trunk.10." in name} if strategy == "last-stage" else set()
    # Before the first step those of the frozen part are learned, and no weight is touched.
    assert changed(fresh, settled) == norms - last
    # From then on those of the trained part alone move, after a validation too.
    assert changed(settled, after) & norms == last
    for name in last:
        if name.endswith("num_batches_tracked"):
            assert after[name] == 2
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in fresh.items())


def test_settled_statistics_are_the_mean_over_an_epoch_of_batches(config, reader, monkeypatch):
    from lowshot.adapt.strategies import settle_statistics
    from lowshot.data.pairs import PairBatches

    chosen = settings(config, strategy="head")
    videos = videos_of(reader.dataset, "train")
    batches = PairBatches(videos, reader, 16, 0, chosen.voice, chosen.face, chosen.augment)
    assert batches.steps_per_epoch == 2
    model = TwoTower.from_config(chosen)
    settle_statistics(model, "head", batches, "float32")
    first, norm = model.voice.trunk[0], model.voice.trunk[1]
    with torch.no_grad():
        maps = [first(batches.batch(step).voice) for step in range(2)]
    mean = torch.stack([part.mean(dim=(0, 2, 3)) for part in maps]).mean(0)
    variance = torch.stack([part.var(dim=(0, 2, 3)) for part in maps]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1


def test_lp_ft_starts_from_the_probe_that_probe_makes(config, reader, monkeypatch):
    chosen = settings(config, strategy="lp-ft", probe_steps=6, probe_learning_rates=[0.1, 1e-2])
    starts = []
    real = finetuning.select
    monkeypatch.setattr(finetuning, "select", lambda start, *args: starts.append(start) or real(start, *args))
    model = worn(chosen)
    people = sorted(set(videos_of(reader.dataset, "train").identities))[:2]
    labelled, validation = labelled_videos(reader.dataset, people), validation_videos(reader.dataset)
    probed, choice = probe(model, labelled, validation, reader, chosen, 0)
    _, selected = finetune(model, labelled, validation, reader, chosen, 0, scratch=False)
    assert selected.probe == choice
    (start,) = starts
    assert not changed(probed.state_dict(), start.state_dict())
    assert str(selected).startswith(f"probe: {choice}; then: ")


@pytest.mark.parametrize(
    ("strategy", "grid"),
    [
        ("full", "finetune_learning_rates"),
        ("head", "head_learning_rates"),
        ("last-stage", "last_stage_learning_rates"),
        ("lp-ft", "lp_ft_learning_rates"),
    ],
)
def test_each_strategy_has_a_grid_of_its_own(config, reader, monkeypatch, strategy, grid):
    asked = []
    real = finetuning.select
    monkeypatch.setattr(finetuning, "select", lambda start, rates, *args: asked.append(rates) or real(start, [], *args))
    tune(settings(config, strategy=strategy, **{grid: [0.25, 0.125]}), reader, worn(settings(config)))
    assert asked == [(0.25, 0.125)]
