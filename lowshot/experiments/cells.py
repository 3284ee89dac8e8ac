"""The plan of a comparison: methods, variants, and a cell per model."""

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
# Sections in which variants may differ. All share the input, the budget of adaptations and the trials.
VARIED = ("method", "train", "augment", "model")


@dataclass(frozen=True)
class Arm:
    """One method of a comparison.

    Attributes:
        label: its name in results and in names of runs; `scratch` for fresh weights.
        config: its settings for the first training seed.
    """

    label: str
    config: Config

    @property
    def pretrained(self) -> bool:
        """True if it is pretrained without labels."""
        return self.label != SCRATCH

    def seeded(self, seed: int) -> Config:
        """Return its settings with another training seed."""
        return self.config.model_copy(update={"seed": seed})


@dataclass(frozen=True)
class Cell:
    """One model of a comparison.

    Attributes:
        method: label of its arm.
        adaptation: `none`, or a name from `adaptation_name`.
        fraction: labelled fraction; 0 without labels.
        seed: seed of the training.
        subset: seed of the labelled subset; the seed of the training if None.
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
        """Seed of the labelled subset."""
        return self.seed if self.subset is None else self.subset


@dataclass(frozen=True)
class Plan:
    """The plan of a comparison.

    Attributes:
        kind: the verb, `demo` or `compare`.
        arms: the methods.
        fractions: labelled fractions; 0 for the models without labels.
        adaptations: how labels are used, by names from `adaptation_name`.
        seeds: training seeds.
        subsets: seeds of the labelled subsets, for each training seed. A single None takes the training seed.
        pairs: labels of two methods; the difference is the first minus the second.
        labels_key: name of the argument with the fractions, for messages.
        reference: label of the reference method of label efficiency; None for no such table.
        request: the verb's arguments in JSON form. They distinguish comparisons with the same settings and data.
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
        """The model of the page's gallery and map: CMPC, else the first."""
        cells = self.cells()
        return next((cell for cell in cells if cell.method == "cmpc"), cells[0])

    def _cells(self, seed: int, fraction: float) -> list[Cell]:
        if fraction == 0:
            return [Cell(arm.label, "none", 0.0, seed) for arm in self.arms if arm.pretrained]
        # All identities make one subset only.
        subsets = self.subsets[:1] if fraction == 1 else self.subsets
        return [
            Cell(arm.label, adaptation, fraction, seed, subset)
            for arm in self.arms
            for adaptation in self.adaptations
            for subset in subsets
        ]


def pretraining_run(method: str, seed: int) -> str:
    """Return the run name of a method's pretraining."""
    return f"pretrain-{method}-seed{seed}"


@dataclass(frozen=True)
class Variant:
    """A method, perhaps with some settings changed.

    Attributes:
        name: of the method, or `scratch` for fresh weights.
        changes: settings by dotted key, such as `{"method.temperature": 0.05}`.
        written: changed values as a person wrote them, for names of runs; missing ones are written as JSON.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)

    def text(self, key: str) -> str:
        """Return the changed value of a setting, for names of runs."""
        return self.written.get(key) or json.dumps(self.changes[key], separators=(",", ":")).strip('"')

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{key}={self.text(key)}" for key in self.changes)])


def make_arms(variants: Sequence[Variant], config: Config) -> tuple[Arm, ...]:
    """Make the arms of a comparison.

    Args:
        variants: methods to compare.
        config: all other settings.

    Returns:
        One arm each. A variant's label names its changes, such as `cmpc+recalibration=none+train.epochs=30`.

    Raises:
        RequestError: a method or setting is unknown, variants may not differ in a setting, or two are the same.
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
            raise RequestError(f"`methods={variant}`: scratch takes no settings of its own; use `settings` for all")
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
    """Plan a comparison of methods.

    Args:
        config: settings that all methods share.
        methods: see `make_arms`.
        fractions: labelled fractions of the training identities, in [0, 1]; 0 and `config.labels` if None.
        adaptations: some of `ADAPTATIONS`.
        subset_seeds: number of labelled subsets of each fraction; their seeds count from 0.
        seeds: number of training seeds; they count from `config.seed`.
        reference: label of the method to compare the others with.

    Raises:
        RequestError: an argument is out of range, a shared setting belongs to several methods, or nothing would be
            compared.
    """
    arms = make_arms(methods, config)
    _check_shared(config, arms)
    for name, number in (("subset_seeds", subset_seeds), ("seeds", seeds)):
        if number < 1:
            raise RequestError(f"`{name}={number}`: give 1 or more")
    for share in fractions or ():
        if not 0 <= share <= 1:
            raise RequestError(f"`fractions={share:g}`: a label fraction is at least 0 and at most 1; 0.1 is 10 %")
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
    """Refuse a changed setting that several compared methods have.

    Under one name, it may mean different things.

    Raises:
        RequestError: there is one.
    """
    name = config.method.name
    plain = METHODS[name].model_validate({"name": name}).model_dump(mode="json")
    methods = {arm.config.method.name for arm in arms if arm.pretrained}
    for key, value in config.method.model_dump(mode="json").items():
        if value != plain[key] and sum(key in METHODS[method].model_fields for method in methods) > 1:
            raise RequestError(
                f"method.{key}: several of these methods have it; set it for one of them in `methods`, as in "
                f"{name}:method.{key}={value}"
            )


def _check_reference(reference: str, arms: Sequence[Arm], fractions: Sequence[float]) -> None:
    """Refuse a comparison without a difference.

    Raises:
        RequestError: the reference is not compared, nothing is compared with it, or fresh weights lack labels.
    """
    labels = [arm.label for arm in arms]
    if reference not in labels:
        raise RequestError(
            f"`reference={reference}`: not one of the compared methods ({', '.join(labels)}); name one of them, "
            "or add it to `methods`"
        )
    if len(arms) < 2:
        raise RequestError(f"`methods={labels[0]}`: nothing to compare it with; name at least two")
    if SCRATCH in labels and not any(fraction > 0 for fraction in fractions):
        raise RequestError("`methods=scratch`: fresh weights need labels; add a fraction above 0 to `fractions`")
