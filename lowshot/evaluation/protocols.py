"""Protocol definitions: what `protocols/*.yaml` say, checked. Data that the builders and metrics obey."""

from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lowshot.errors import RequestError
from lowshot.files import bundled_folder

PROTOCOLS = ("verification", "matching", "retrieval")
DIRECTIONS = ("voice_to_face", "face_to_voice")

Direction = Literal["voice_to_face", "face_to_voice"]
Attribute = Literal["gender", "nationality", "age"]
Group = Literal["gender"]
VerificationMetric = Literal["auc", "eer", "tpr_at_fpr", "min_dcf", "cllr", "min_cllr"]
T = TypeVar("T", bound="_Definition")


class _Definition(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IntervalRule(_Definition):
    """How a figure's interval is made: how often identities are resampled, and what share it covers."""

    replicates: int = Field(ge=100)
    level: float = Field(gt=0, lt=1)


class TwoSidedRule(IntervalRule):
    """Of trials that hang on two identities."""

    method: Literal["identity-bootstrap-t-two-sided"]
    resampled: Literal["voice-and-face-identity"]


class OneSidedRule(IntervalRule):
    """Of trials that hang on one identity, the others being held fixed."""

    method: Literal["identity-bootstrap-t"]
    resampled: Literal["probe-identity", "query-identity"]


class DetectionCost(_Definition):
    """The operating point of `min_dcf`: prior of a target, cost of a miss, cost of a false alarm."""

    p_target: float = Field(gt=0, lt=1)
    c_miss: float = Field(gt=0)
    c_fa: float = Field(gt=0)


class _Stratified(_Definition):
    """Shared by protocols whose impostors may be held to attributes of the probe."""

    summary: str
    strata: dict[str, tuple[Attribute, ...]]
    default_strata: tuple[str, ...] = Field(min_length=1)
    age_bounds: tuple[float, ...] = Field(min_length=1)
    positives: Literal["other-video-first"]
    impostors: Literal["uniform-identity-then-row"]
    ties: Literal["shared"]
    groups: tuple[Group, ...]

    @model_validator(mode="after")
    def _defaults_are_known(self) -> "_Stratified":
        for stratum in self.default_strata:
            if stratum not in self.strata:
                raise ValueError(f"default stratum '{stratum}' is not among the strata")
        if list(self.age_bounds) != sorted(set(self.age_bounds)):
            raise ValueError("age_bounds must rise")
        return self

    def attributes(self, stratum: str) -> tuple[str, ...]:
        """The attributes an impostor of `stratum` shares with the probe.

        Raises:
            RequestError: the protocol has no such stratum.
        """
        if stratum not in self.strata:
            raise RequestError(f"no stratum '{stratum}'; the protocol has {', '.join(self.strata)}")
        return self.strata[stratum]


class VerificationProtocol(_Stratified):
    """protocols/verification.yaml."""

    name: Literal["verification"]
    seen_heard_strata: tuple[str, ...]
    metrics: tuple[VerificationMetric, ...] = Field(min_length=1)
    tpr_at_fpr: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(min_length=1)
    min_dcf: DetectionCost
    interval: TwoSidedRule


class MatchingProtocol(_Stratified):
    """protocols/matching.yaml."""

    name: Literal["matching"]
    directions: tuple[Direction, ...] = Field(min_length=1)
    gallery_sizes: tuple[Annotated[int, Field(ge=2)], ...] = Field(min_length=1)
    metrics: tuple[Literal["accuracy"], ...] = Field(min_length=1)
    interval: OneSidedRule


class RetrievalProtocol(_Definition):
    """protocols/retrieval.yaml."""

    name: Literal["retrieval"]
    summary: str
    directions: tuple[Direction, ...] = Field(min_length=1)
    same_video: Literal["excluded"]
    ties: Literal["shared"]
    groups: tuple[Group, ...]
    metrics: tuple[Literal["map", "recall", "median_rank"], ...] = Field(min_length=1)
    recall_at: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    interval: OneSidedRule


def protocol_text(name: str) -> str:
    """A protocol's definition as it is written, for a person to read.

    Args:
        name: one of `PROTOCOLS`.

    Raises:
        RequestError: there is no such protocol, or its file is missing.
    """
    if name not in PROTOCOLS:
        raise RequestError(f"no protocol '{name}'; there are {', '.join(PROTOCOLS)}")
    path = bundled_folder("protocols") / f"{name}.yaml"
    if not path.is_file():
        raise RequestError(f"{path}: the protocol's definition is missing; reinstall lowshot")
    return path.read_text(encoding="utf-8")


def verification_protocol() -> VerificationProtocol:
    """The definition of verification."""
    return _load("verification", VerificationProtocol)


def matching_protocol() -> MatchingProtocol:
    """The definition of 1:N matching."""
    return _load("matching", MatchingProtocol)


def retrieval_protocol() -> RetrievalProtocol:
    """The definition of retrieval."""
    return _load("retrieval", RetrievalProtocol)


def _load(name: str, kind: type[T]) -> T:
    text = protocol_text(name)
    try:
        return kind.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise RequestError(f"protocols/{name}.yaml: not YAML ({' '.join(str(error).split())})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "definition"
        raise RequestError(f"protocols/{name}.yaml, {key}: {first['msg']}") from error
