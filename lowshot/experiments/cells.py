"""What a comparison is made of: methods and variants of them, and a cell for every model that is measured."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowshot.adapt.names import adaptation_name
from lowshot.config import Config, build_config, parse_set
from lowshot.errors import RequestError
from lowshot.reporting import style
from lowshot.runs import safe_name
from lowshot.schema import SCRATCH
from lowshot.settings import METHODS
from lowshot.training.choice import changed_settings

ADAPTATIONS = ("probe", "finetune")
# Sections that variants may differ in. The input, the budget of adaptations and the trials are the same for all.
VARIED = ("method", "train", "augment", "model")


@dataclass(frozen=True)
class Arm:
    """One method of a comparison.

    Attributes:
        label: what it is called in results and in names of runs; `scratch` for fresh weights.
        config: its settings, of the first training seed.
    """

    label: str
    config: Config

    @property
    def pretrained(self) -> bool:
        """Whether it learns without labels first."""
        return self.label != SCRATCH

    def seeded(self, seed: int) -> Config:
        """Its settings with another training seed."""
        return self.config.model_copy(update={"seed": seed})


@dataclass(frozen=True)
class Cell:
    """One model of a comparison.

    Attributes:
        method: label of its arm.
        adaptation: `none`, or what `adaptation_name` calls it.
        fraction: labelled share; 0 without labels.
        seed: of the training.
        subset: seed of the labelled subset; None for that of the training.
    """

    method: str
    adaptation: str
    fraction: float
    seed: int
    subset: int | None = None

    @property
    def key(self) -> str:
        """Its `run_id`, and the name of its folder of scores."""
        if self.adaptation == "none":
            return f"{self.method}-seed{self.seed}"
        subset = "" if self.subset is None else f"-subset{self.subset}"
        return f"{self.method}-{self.adaptation}-{self.fraction:g}{subset}-seed{self.seed}"

    @property
    def run(self) -> str:
        """Name of the run that holds the model."""
        return pretraining_run(self.method, self.seed) if self.adaptation == "none" else self.key

    @property
    def subset_seed(self) -> int:
        """Which identities are labelled."""
        return self.seed if self.subset is None else self.subset


@dataclass(frozen=True)
class Plan:
    """What is compared with what.

    Attributes:
        kind: the verb, `demo` or `compare`.
        title: heading of the page, without the data.
        command: what makes the same comparison again with the settings of its directory: the verb, then options.
        arms: the methods.
        fractions: labelled shares; 0 for the models before they saw a label.
        adaptations: how the labels are used, as `adaptation_name` calls it.
        seeds: of the trainings.
        subsets: seeds of the labelled subsets, each with each training seed; None alone for that of the training.
        pairs: labels of methods whose difference is taken, first minus second.
        labels_key: what a person gives the fractions by, for messages.
        reference: label of the method that the labels of others are converted to; None for no such table.
        request: what tells this comparison from another of the same settings and data, as JSON holds it.
    """

    kind: str
    title: str
    command: tuple[str, ...]
    arms: tuple[Arm, ...]
    fractions: tuple[float, ...]
    adaptations: tuple[str, ...]
    seeds: tuple[int, ...]
    subsets: tuple[int | None, ...]
    pairs: tuple[tuple[str, str], ...]
    labels_key: str
    reference: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)

    @property
    def labelled(self) -> tuple[float, ...]:
        """The fractions with labels."""
        return tuple(fraction for fraction in self.fractions if fraction != 0)

    def cells(self) -> list[Cell]:
        """Every model to measure, in the order of results.csv."""
        return [cell for seed in self.seeds for fraction in self.fractions for cell in self._cells(seed, fraction)]

    @property
    def exhibited(self) -> Cell:
        """The model whose gallery and map the page shows: the first of CMPC, or the first of all without it."""
        cells = self.cells()
        return next((cell for cell in cells if cell.method == "cmpc"), cells[0])

    def _cells(self, seed: int, fraction: float) -> list[Cell]:
        if fraction == 0:
            return [Cell(arm.label, "none", 0.0, seed) for arm in self.arms if arm.pretrained]
        # Of all identities there is one subset.
        subsets = self.subsets[:1] if fraction == 1 else self.subsets
        return [
            Cell(arm.label, adaptation, fraction, seed, subset)
            for arm in self.arms
            for adaptation in self.adaptations
            for subset in subsets
        ]


def pretraining_run(method: str, seed: int) -> str:
    """Name of the run of a method's pretraining."""
    return f"pretrain-{method}-seed{seed}"


def parse_arms(text: str, config: Config) -> tuple[Arm, ...]:
    """The methods that `--methods` names.

    Args:
        text: names of methods or `scratch`, separated by commas; settings that a variant changes follow its name, as
            in `cmpc:method.recalibration=none:train.epochs=30`.
        config: settings of all of them otherwise.

    Returns:
        One arm each. A variant is labelled by what it changes: `cmpc+recalibration=none+train.epochs=30`.

    Raises:
        RequestError: an unknown method or setting, a setting that variants may not differ in, or two that are the same.
    """
    arms = tuple(_arm(item, config) for item in _split(text))
    for place, arm in enumerate(arms):
        for other in arms[:place]:
            if arm.label == other.label or (
                arm.pretrained and other.pretrained and not changed_settings(arm.config, other.config)
            ):
                raise RequestError(f"--methods {text}: {arm.label} and {other.label} are the same; name one of them")
    return arms


def _split(text: str) -> list[str]:
    """The items of a list; lists are values too: a comma in brackets separates nothing."""
    return [item.strip() for item in re.split(r",(?![^\[]*\])", text)]


def _arm(text: str, config: Config) -> Arm:
    name, *changes = text.split(":")
    if name == SCRATCH:
        if changes:
            raise RequestError(f"--methods {text}: scratch has the settings of the others; vary them with --set")
        return Arm(SCRATCH, config)
    if name not in METHODS:
        raise RequestError(f"--methods {text}: no method '{name}'; there are {', '.join([*METHODS, SCRATCH])}")
    layers: list[Mapping[str, Any]] = [config.with_method(name).model_dump(mode="json")]
    label = name
    for change in changes:
        key, _, value = change.partition("=")
        section = key.split(".")[0]
        if section not in VARIED or key == "method.name" or not value:
            raise RequestError(
                f"--methods {text}: '{change}' is no change of one method; write NAME:SECTION.KEY=VALUE with a section "
                f"of {', '.join(VARIED)}"
            )
        layer = parse_set(change)
        if section == "method" and (renamed := METHODS[name].in_new_names(layer["method"])) != layer["method"]:
            layer = {"method": renamed}
            ((key, value),) = renamed.items()
        layers.append(layer)
        label += f"+{key.removeprefix('method.')}={safe_name(value).strip('_')}"
    return Arm(label, build_config(layers))


def parse_fractions(text: str) -> tuple[float, ...]:
    """The labelled shares that `--fractions` names, rising.

    Raises:
        RequestError: one is not a number in [0, 1].
    """
    fractions = []
    for item in text.split(","):
        try:
            fraction = float(item)
        except ValueError:
            fraction = -1.0
        if not 0 <= fraction <= 1:
            raise RequestError(
                f"--fractions {text}: '{item}' is not a share of the identities, 0 to 1; as in 0,0.01,0.1"
            )
        fractions.append(fraction)
    return tuple(sorted(set(fractions)))


def parse_adaptations(text: str) -> tuple[str, ...]:
    """The adaptations that `--adaptations` names.

    Raises:
        RequestError: one is unknown.
    """
    names = [item.strip() for item in text.split(",")]
    for name in names:
        if name not in ADAPTATIONS:
            raise RequestError(f"--adaptations {text}: no adaptation '{name}'; there are {', '.join(ADAPTATIONS)}")
    return tuple(dict.fromkeys(names))


def comparison_plan(
    config: Config,
    methods: str,
    fractions: str | None,
    adaptations: str,
    subset_seeds: int,
    seeds: int,
    reference: str,
) -> Plan:
    """The plan that `lowshot compare` asks for.

    Args:
        config: settings that all methods share.
        methods, adaptations: see `parse_arms` and `parse_adaptations`.
        fractions: see `parse_fractions`; 0 and `config.labels` when not given.
        subset_seeds: how many labelled subsets of each fraction, from seed 0 on.
        seeds: how many training seeds, from `config.seed` on.
        reference: label of the method that the others are held against.

    Raises:
        RequestError: one of them is not as it should be, a setting that several methods have is given for all of
            them, or nothing would be compared.
    """
    arms = parse_arms(methods, config)
    _check_shared(config, arms)
    shares = tuple(sorted({0.0, *config.labels})) if fractions is None else parse_fractions(fractions)
    kinds = parse_adaptations(adaptations)
    _check_reference(reference, arms, shares)
    labels = [arm.label for arm in arms]
    *first, last = map(style.name, labels)
    request = {
        "methods": ",".join(_split(methods)),
        "fractions": ",".join(f"{share:g}" for share in shares),
        "adaptations": ",".join(kinds),
        "subset_seeds": subset_seeds,
        "seeds": seeds,
        "reference": reference,
    }
    options = [word for key, value in request.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    return Plan(
        kind="compare",
        title=f"{', '.join(first)} and {last}",
        command=("compare", *options),
        arms=arms,
        fractions=shares,
        adaptations=tuple(adaptation_name(kind, config.adapt) for kind in kinds),
        seeds=tuple(range(config.seed, config.seed + seeds)),
        subsets=tuple(range(subset_seeds)),
        pairs=tuple((label, reference) for label in labels if label != reference),
        labels_key="--fractions",
        reference=reference,
        request=request,
    )


def _check_shared(config: Config, arms: Sequence[Arm]) -> None:
    """Refuse a changed setting that several of the compared methods have: under one name it means different things.

    Raises:
        RequestError: there is one.
    """
    name = config.method.name
    plain = METHODS[name].model_validate({"name": name}).model_dump(mode="json")
    methods = {arm.config.method.name for arm in arms if arm.pretrained}
    for key, value in config.method.model_dump(mode="json").items():
        if value != plain[key] and sum(key in METHODS[method].model_fields for method in methods) > 1:
            raise RequestError(
                f"method.{key}: several of these methods have it; say whose in --methods, as in "
                f"{name}:method.{key}={value}"
            )


def _check_reference(reference: str, arms: Sequence[Arm], fractions: Sequence[float]) -> None:
    """Refuse a comparison that would hold no difference.

    Raises:
        RequestError: the reference is not compared, nothing is compared with it, or fresh weights lack labels.
    """
    labels = [arm.label for arm in arms]
    if reference not in labels:
        raise RequestError(
            f"--reference {reference}: not one of the methods compared ({', '.join(labels)}); name one of them, "
            "or add it to --methods"
        )
    if len(arms) < 2:
        raise RequestError(f"--methods {labels[0]}: nothing to compare it with; name at least two")
    if SCRATCH in labels and not any(fraction > 0 for fraction in fractions):
        raise RequestError("--methods scratch: fresh weights learn from labels alone; add a share to --fractions")
