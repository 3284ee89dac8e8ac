"""What a comparison is made of: methods and variants of them, and a cell for every model that is measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowshot.adapt.names import adaptation_name
from lowshot.config import Config, build_config
from lowshot.errors import RequestError
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
        arms: the methods.
        fractions: labelled shares; 0 for the models before they saw a label.
        adaptations: how the labels are used, as `adaptation_name` calls it.
        seeds: of the trainings.
        subsets: seeds of the labelled subsets, each with each training seed; None alone for that of the training.
        pairs: labels of methods whose difference is taken, first minus second.
        labels_key: the argument that gives the fractions, for messages.
        reference: label of the method that the labels of others are converted to; None for no such table.
        request: what tells this comparison from another of the same settings and data: arguments of the verb, as JSON
            holds them.
    """

    kind: str
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


@dataclass(frozen=True)
class Variant:
    """A method, perhaps with some settings changed.

    Attributes:
        name: of the method, or `scratch` for fresh weights.
        changes: settings by dotted key, as in `{"method.temperature": 0.05}`.
        written: changed values as a person wrote them, for names of runs; those that are missing are written as JSON.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)

    def text(self, key: str) -> str:
        """The changed value of a setting, as names of runs hold it."""
        return self.written.get(key) or json.dumps(self.changes[key], separators=(",", ":")).strip('"')

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{key}={self.text(key)}" for key in self.changes)])


def make_arms(variants: Sequence[Variant], config: Config) -> tuple[Arm, ...]:
    """The methods of a comparison.

    Args:
        variants: what is compared.
        config: settings of all of them otherwise.

    Returns:
        One arm each. A variant is labelled by what it changes: `cmpc+recalibration=none+train.epochs=30`.

    Raises:
        RequestError: an unknown method or setting, a setting that variants may not differ in, or two that are the same.
    """
    arms = tuple(_arm(variant, config) for variant in variants)
    for place, arm in enumerate(arms):
        for other in arms[:place]:
            if arm.label == other.label or (
                arm.pretrained and other.pretrained and not changed_settings(arm.config, other.config)
            ):
                raise RequestError(f"`methods`: {arm.label} and {other.label} are the same; name one of them")
    return arms


def _arm(variant: Variant, config: Config) -> Arm:
    name = variant.name
    if name == SCRATCH:
        if variant.changes:
            raise RequestError(f"`methods={variant}`: scratch has the settings of the others; vary them by `settings`")
        return Arm(SCRATCH, config)
    if name not in METHODS:
        raise RequestError(f"`methods={variant}`: no method '{name}'; there are {', '.join([*METHODS, SCRATCH])}")
    layers: list[Mapping[str, Any]] = [config.with_method(name).model_dump(mode="json")]
    label = name
    for key, value in variant.changes.items():
        section, *parts = key.split(".")
        if section not in VARIED or not parts or key == "method.name":
            raise RequestError(
                f"`methods={variant}`: {key} is the same for all methods; a variant changes settings of "
                f"{', '.join(VARIED)}"
            )
        layer: Any = value
        for part in reversed(parts):
            layer = {part: layer}
        short, text = key.removeprefix("method."), variant.text(key)
        if section == "method" and (renamed := METHODS[name].in_new_names(layer)) != layer:
            layer = renamed
            ((short, text),) = renamed.items()
        layers.append({section: layer})
        label += f"+{short}={safe_name(text).strip('_')}"
    return Arm(label, build_config(layers))


def comparison_plan(
    config: Config,
    methods: Sequence[Variant],
    fractions: Sequence[float] | None,
    adaptations: Sequence[str],
    subset_seeds: int,
    seeds: int,
    reference: str,
) -> Plan:
    """The plan of a comparison of methods.

    Args:
        config: settings that all methods share.
        methods: see `make_arms`.
        fractions: labelled shares of the training identities, in [0, 1]; 0 and `config.labels` if None.
        adaptations: some of `ADAPTATIONS`.
        subset_seeds: how many labelled subsets of each fraction, from seed 0 on.
        seeds: how many training seeds, from `config.seed` on.
        reference: label of the method that the others are held against.

    Raises:
        RequestError: one of them is not as it should be, a setting that several methods have is given for all of
            them, or nothing would be compared.
    """
    arms = make_arms(methods, config)
    _check_shared(config, arms)
    for name, number in (("subset_seeds", subset_seeds), ("seeds", seeds)):
        if number < 1:
            raise RequestError(f"`{name}={number}`: give 1 or more")
    for share in fractions or ():
        if not 0 <= share <= 1:
            raise RequestError(f"`fractions={share:g}`: is not a share of the identities, 0 to 1; 0.1 is 10 %")
    for kind in adaptations:
        if kind not in ADAPTATIONS:
            raise RequestError(f"`adaptations={kind}`: no adaptation '{kind}'; there are {', '.join(ADAPTATIONS)}")
    shares = tuple(sorted({0.0, *config.labels} if fractions is None else {float(share) for share in fractions}))
    kinds = tuple(dict.fromkeys(adaptations))
    _check_reference(reference, arms, shares)
    labels = [arm.label for arm in arms]
    return Plan(
        kind="compare",
        arms=arms,
        fractions=shares,
        adaptations=tuple(adaptation_name(kind, config.adapt) for kind in kinds),
        seeds=tuple(range(config.seed, config.seed + seeds)),
        subsets=tuple(range(subset_seeds)),
        pairs=tuple((label, reference) for label in labels if label != reference),
        labels_key="fractions",
        reference=reference,
        request={
            "methods": ",".join(map(str, methods)),
            "fractions": ",".join(f"{share:g}" for share in shares),
            "adaptations": ",".join(kinds),
            "subset_seeds": subset_seeds,
            "seeds": seeds,
            "reference": reference,
        },
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
                f"method.{key}: several of these methods have it; say whose in `methods`, as in "
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
            f"`reference={reference}`: not one of the methods compared ({', '.join(labels)}); name one of them, "
            "or add it to `methods`"
        )
    if len(arms) < 2:
        raise RequestError(f"`methods={labels[0]}`: nothing to compare it with; name at least two")
    if SCRATCH in labels and not any(fraction > 0 for fraction in fractions):
        raise RequestError("`methods=scratch`: fresh weights learn from labels alone; add a share to `fractions`")
