"""The configuration of a run: typed, closed (unknown keys are errors), written whole into every run directory.

Order of authority: default < preset < `--config FILE` < `--set a.b=c` < named flag.
"""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lowshot.errors import RequestError

PRESETS = Path(__file__).parent / "presets"


class Section(BaseModel):
    """Base of every section: unknown keys are errors and values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class VoiceConfig(Section):
    """Log-mel spectrogram of a voice clip, and how much of it one training sample holds."""

    mel_bands: int = Field(64, ge=16, le=128)
    window_ms: float = Field(25.0, gt=0, le=200, description="Analysis window; the paper uses 100 ms.")
    hop_ms: float = Field(10.0, gt=0, le=100)
    frames: int = Field(128, ge=16, description="Frames of a training crop; the paper uses 500.")


class FaceConfig(Section):
    """Size of a face image, in pixels."""

    size: int = Field(64, ge=32, le=512, description="Side of the square the tower sees; the paper uses 224.")


class AugmentConfig(Section):
    """Training-time changes of a sample; each figure is the largest change, 0 turns it off."""

    tilt_db: float = Field(4.0, ge=0, description="Smooth random equaliser over the mel bands, dB at the edges.")
    time_mask: int = Field(16, ge=0, description="Longest masked stretch, frames.")
    band_mask: int = Field(6, ge=0, description="Widest masked stretch, mel bands.")
    shift: float = Field(0.06, ge=0, lt=0.5, description="Shift of the face, as a share of its side.")
    scale: float = Field(0.08, ge=0, lt=0.5, description="Change of the face's size, as a share.")
    rotate_degrees: float = Field(8.0, ge=0, le=180)
    brightness: float = Field(0.2, ge=0, lt=1)
    contrast: float = Field(0.2, ge=0, lt=1)
    flip: bool = Field(True, description="Mirror one face in two.")


class ModelConfig(Section):
    """The two towers."""

    tower: Literal["compact", "resnet18", "resnet34"] = "compact"
    dim: int = Field(128, ge=2, description="Size of the embedding; the ResNets give 512 without a projection.")

    linear_heads: bool = Field(False, description="A linear map after each tower: what a probe trains.")

    @model_validator(mode="after")
    def _resnet_dim(self) -> "ModelConfig":
        if self.tower != "compact" and self.dim != 512:
            raise ValueError(f"{self.tower} has no projection: its dim is 512, not {self.dim}")
        return self


class TrainConfig(Section):
    """Budget and optimiser (Adam with linear warm-up, then cosine decay)."""

    epochs: int = Field(60, ge=1)
    batch_size: int = Field(128, ge=2, description="Videos per step; at most the number of training videos.")
    learning_rate: float = Field(1e-3, gt=0)
    final_learning_rate: float = Field(2e-5, ge=0)
    warmup_share: float = Field(0.1, ge=0, lt=1, description="Share of all steps with a rising learning rate.")
    weight_decay: float = Field(1e-5, ge=0)
    log_every: int = Field(10, ge=1, description="Steps between rows of metrics.csv.")
    validate_every: int = Field(10, ge=0, description="Epochs between validation AUCs; 0 for none.")
    checkpoint_seconds: float = Field(60.0, ge=0, description="Time between checkpoints.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of the towers; auto is bfloat16 where the machine has instructions for it."
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0 leaves it to torch.")


class CidConfig(Section):
    """Instance-wise contrast (the baseline)."""

    name: Literal["cid"] = "cid"
    temperature: float = Field(0.03, gt=0)


class CmpcConfig(Section):
    """Cross-modal prototype contrast (Zhu et al., IJCAI 2022)."""

    name: Literal["cmpc"] = "cmpc"
    temperature: float = Field(0.03, gt=0)
    prototype_temperature: float = Field(0.2, gt=0, description="Mean of the concentrations.")
    prototype_weight: float = Field(1.0, ge=0, description="lambda; 0 leaves instance contrast alone.")
    recalibrate: bool = Field(True, description="Weigh pairs by how well they agree with their prototypes.")
    delta: float = Field(-1.0, description="Location of the Gaussian CDF, in standard deviations of rho.")
    kappa: float = Field(0.1, gt=0, description="Its variance, in variances of rho.")
    videos_per_cluster: tuple[float, ...] = Field(
        (36.0, 18.0, 12.0), min_length=1, description="One granularity each: K = videos / this."
    )
    warmup_share: float = Field(16 / 177, ge=0, le=1, description="Share of epochs before the first clustering.")
    cluster_every: int = Field(2, ge=1, description="Epochs between clusterings.")
    memory_momentum: float = Field(0.5, ge=0, lt=1)
    kmeans_iterations: int = Field(20, ge=1)


MethodConfig = Annotated[CidConfig | CmpcConfig, Field(discriminator="name")]
METHODS: dict[str, type[Section]] = {"cmpc": CmpcConfig, "cid": CidConfig}


class AdaptConfig(Section):
    """Learning from few labelled identities. Learning rate and stopping step are chosen on validation identities."""

    steps: int = Field(60, ge=1)
    batch_size: int = Field(64, ge=2)
    temperature: float = Field(0.1, gt=0)
    finetune_learning_rates: tuple[float, ...] = Field((1e-3, 1e-4), min_length=1)
    probe_learning_rates: tuple[float, ...] = Field((1e-2, 1e-3), min_length=1)
    probe_steps: int = Field(200, ge=1)
    weight_decay: float = Field(1e-4, ge=0)
    checks: int = Field(5, ge=1, description="Validation AUCs during one adaptation, besides the one before it.")


class EvaluateConfig(Section):
    """Trials and intervals."""

    replicates: int = Field(1000, ge=100, description="Identity-bootstrap resamples.")
    seed: int = Field(0, ge=0, description="Seed of trials and resamples: the same trials for every model.")


class Config(Section):
    """All of a run's settings."""

    seed: int = Field(0, ge=0, lt=2**32)
    data: str = Field("synth:demo", description="A directory, a manifest, or synth:tiny|demo|bench.")
    labels: tuple[float, ...] = Field((0.01, 0.1), description="Labelled fractions that `demo` adapts with.")
    voice: VoiceConfig = VoiceConfig()
    face: FaceConfig = FaceConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    method: MethodConfig = CmpcConfig()
    adapt: AdaptConfig = AdaptConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def sha(self, *sections: str) -> str:
        """Hash of these settings, or of the named sections alone: 16 hexadecimal digits."""
        settings = self.model_dump(mode="json", include=set(sections) or None)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def with_method(self, name: str) -> "Config":
        """The same settings with another method.

        Args:
            name: one of `METHODS`. Settings that both methods have, by their names, carry over; the rest of the other
                method's are defaults.
        """
        if name == self.method.name:
            return self
        settings = self.model_dump(mode="json")
        shared = {key: value for key, value in settings["method"].items() if key in METHODS[name].model_fields}
        return build_config([settings, {"method": {**shared, "name": name}}])

    def to_yaml(self) -> str:
        """These settings as YAML that `read_yaml` takes back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def preset_names() -> list[str]:
    """The presets that come with lowshot."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_preset(name: str) -> dict[str, Any]:
    """The settings of preset `name`.

    Raises:
        RequestError: there is no such preset.
    """
    if name not in preset_names():
        raise RequestError(f"--preset {name}: no such preset; {_nearest(name, preset_names())}")
    return read_yaml(PRESETS / f"{name}.yaml")


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        RequestError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RequestError(f"{path}: must hold settings as `key: value`")
    return content


def parse_set(item: str) -> dict[str, Any]:
    """Turn `a.b=c` into nested settings; the value is read as YAML.

    Raises:
        RequestError: there is no `=`, or an empty key.
    """
    key, equals, value = item.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise RequestError(f"--set {item}: write section.key=value, as in --set train.epochs=20")
    try:
        settings: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RequestError(f"--set {item}: the value is not YAML") from error
    # YAML 1.1 reads 1e-3 as text; a person who types it means the number.
    if isinstance(settings, str):
        with suppress(ValueError):
            settings = float(settings)
    for part in reversed(parts):
        settings = {part: settings}
    return settings


def build_config(layers: Iterable[Mapping[str, Any]]) -> Config:
    """Lay settings over each other, later over earlier, and check the outcome.

    Args:
        layers: nested mappings, weakest first. The last one that names a method decides which it is. Method settings
            of a layer that names another are left out; those of a layer that names none are meant for whichever it is.

    Raises:
        RequestError: an unknown key (the nearest known one is named) or a value out of range.
    """
    layers = list(layers)
    named = [name for layer in layers if (name := _method_named(layer)) is not None]
    name = named[-1] if named else "cmpc"
    if name not in METHODS:
        raise RequestError(f"method '{name}' is unknown; {_nearest(name, METHODS)}")
    merged: dict[str, Any] = {"method": {"name": name}}
    for layer in layers:
        foreign = _method_named(layer) not in {None, name}
        _merge(merged, {key: value for key, value in layer.items() if not (foreign and key == "method")})
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise RequestError(_explain(error, merged)) from error


def _method_named(layer: Mapping[str, Any]) -> str | None:
    method = layer.get("method")
    return str(method["name"]) if isinstance(method, Mapping) and "name" in method else None


def _merge(base: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if not isinstance(value, Mapping):
            base[key] = value
            continue
        if not isinstance(base.get(key), dict):
            base[key] = {}
        _merge(base[key], value)


def _explain(error: ValidationError, settings: Mapping[str, Any]) -> str:
    first = error.errors()[0]
    # The tag of a discriminated union stands in the location, but is no key that a person typed.
    where = [str(part) for part in first["loc"]]
    if len(where) > 1 and where[0] == "method" and where[1] in METHODS:
        del where[1]
    key = ".".join(where)
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {_nearest(key, known_keys(settings))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]}, not {first['input']!r}" if key else message


def known_keys(settings: Mapping[str, Any]) -> list[str]:
    """Every key that `--set` takes, given the method that `settings` names."""
    method = settings.get("method")
    name = method.get("name", "cmpc") if isinstance(method, Mapping) else "cmpc"
    keys: list[str] = []
    for field, info in Config.model_fields.items():
        kind = METHODS[name] if field == "method" else info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            keys += [f"{field}.{inner}" for inner in kind.model_fields]
        else:
            keys.append(field)
    return keys


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if not close:
        # A right key in the wrong section is the commonest slip.
        close = [key for key in names if key.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]][:1]
    return f"did you mean '{close[0]}'?" if close else f"known are {', '.join(names)}"
