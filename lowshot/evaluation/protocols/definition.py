"""Definitions of protocols: what `protocols/*.yaml` say, checked."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from lowshot.errors import RequestError
from lowshot.evaluation.groups import GROUPED_BY
from lowshot.files import bundled_folder, parse_yaml
from lowshot.schema import ATTRIBUTES, DIRECTIONS


def _one_of(known: Sequence[str]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"'{value}' is none of {', '.join(known)}")
        return value

    return AfterValidator(check)


Direction = Annotated[str, _one_of(DIRECTIONS)]
Attribute = Annotated[str, _one_of(ATTRIBUTES)]
Group = Annotated[str, _one_of(GROUPED_BY)]


class Rules(BaseModel):
    """Base of all parts of a definition: unknown keys are errors, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Definition(Rules):
    """What every definition says."""

    name: str
    summary: str


class IntervalRule(Rules):
    """How an interval is computed: number of resamples of identities, and coverage."""

    replicates: int = Field(ge=100)
    level: float = Field(gt=0, lt=1)


class TwoSidedRule(IntervalRule):
    """For trials that depend on two identities."""

    method: Literal["identity-bootstrap-t-two-sided"]
    resampled: Literal["voice-and-face-identity"]


class OneSidedRule(IntervalRule):
    """For trials that depend on one identity; the others are fixed."""

    method: Literal["identity-bootstrap-t"]
    resampled: Literal["probe-identity", "query-identity"]


class Stratified(Definition):
    """Shared by protocols whose impostors may share attributes with the probe."""

    strata: dict[str, tuple[Attribute, ...]]
    default_strata: tuple[str, ...] = Field(min_length=1)
    age_bounds: tuple[float, ...] = Field(min_length=1)
    positives: Literal["other-video-first"]
    impostors: Literal["uniform-identity-then-row"]
    ties: Literal["shared"]
    groups: tuple[Group, ...]

    @model_validator(mode="after")
    def _defaults_are_known(self) -> Self:
        for stratum in self.default_strata:
            if stratum not in self.strata:
                raise ValueError(f"default stratum '{stratum}' is not among the strata")
        if list(self.age_bounds) != sorted(set(self.age_bounds)):
            raise ValueError("age_bounds must rise")
        return self

    def attributes(self, stratum: str) -> tuple[str, ...]:
        """Attributes that an impostor of `stratum` shares with the probe.

        Raises:
            RequestError: the protocol has no such stratum.
        """
        if stratum not in self.strata:
            raise RequestError(f"no stratum '{stratum}'; the protocol has {', '.join(self.strata)}")
        return self.strata[stratum]


D = TypeVar("D", bound=Definition)


def definition_text(name: str) -> str:
    """Text of `protocols/<name>.yaml`.

    Raises:
        RequestError: the file is missing.
    """
    path = bundled_folder("protocols") / f"{name}.yaml"
    if not path.is_file():
        raise RequestError(f"{path}: the definition of this protocol is missing; reinstall lowshot")
    return path.read_text(encoding="utf-8")


def read_definition(name: str, kind: type[D]) -> D:
    """Read `protocols/<name>.yaml`.

    Raises:
        RequestError: the file is missing, is not YAML, or says what no code does.
    """
    text = definition_text(name)
    try:
        content = parse_yaml(text)
    except yaml.YAMLError as error:
        raise RequestError(f"protocols/{name}.yaml: not YAML ({' '.join(str(error).split())})") from error
    return checked_definition(kind, content, f"protocols/{name}.yaml")


def checked_definition(kind: type[D], content: Any, source: str) -> D:
    """Check the content of a definition.

    Args:
        kind: model of the definition.
        content: the keys and values.
        source: what to call it in a message.

    Raises:
        RequestError: it says what no code does; names the first key at fault.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "definition"
        raise RequestError(f"{source}, {key}: {first['msg']}") from error
