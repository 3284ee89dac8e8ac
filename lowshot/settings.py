"""The settings of a run by section, each with default and range."""

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lowshot.errors import RenamedSetting

# How media become input of a tower: as in lowshot, or as in the code released with the paper.
FrontEnd = Literal["centred", "released"]
# How a voice clip shorter than a crop is lengthened.
Padding = Literal["front-end", "floor"]
# What fine-tuning trains, and its loss.
Strategy = Literal["full", "head", "last-stage", "lp-ft"]
Objective = Literal["contrast", "classifier", "margin-classifier", "semi-supervised"]
# Names of towers; lowshot.extend adds others.
TOWERS = ["compact", "resnet18", "resnet34", "mlp"]
LearningRates = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]


class Section(BaseModel):
    """Base of every section. Unknown keys are errors; values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    RENAMED: ClassVar[Mapping[tuple[str, object], tuple[str, object]]] = {}
    """Old key and value -> key and value of now. The old ones are read for one version, with a warning."""

    @classmethod
    def in_new_names(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Replace old names of keys and values. If a key has both names, the new one's value counts.

        Args:
            settings: of this section.
        """
        renamed = dict(settings)
        for (old_key, old), (key, value) in cls.RENAMED.items():
            if old_key not in renamed or renamed[old_key] != old:
                continue
            del renamed[old_key]
            renamed.setdefault(key, value)
            warnings.warn(
                f"{old_key}={str(old).lower()} is now called {key}={value}; "
                "the next version will not read the old name",
                RenamedSetting,
                stacklevel=2,
            )
        return renamed

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, settings: Any) -> Any:
        return cls.in_new_names(settings) if isinstance(settings, Mapping) else settings


class VoiceConfig(Section):
    """Log-mel spectrogram of a voice clip, and the length of a training crop."""

    mel_bands: int = Field(64, ge=16, le=128)
    window_ms: float = Field(25.0, ge=1, le=200, description="Analysis window; the paper uses 100 ms.")
    hop_ms: float = Field(10.0, ge=1, le=100)
    frames: int = Field(128, ge=16, description="Frames of a training crop; the paper uses 500.")
    front_end: FrontEnd = Field(
        "centred", description="`centred`: log power minus its mean. `released`: decibels, as in the released code."
    )
    normalise: bool = Field(
        False, description="Scale each clip to mean 0 and standard deviation 1, and pad it with digital silence."
    )
    padding: Padding = Field(
        "front-end",
        description="Padding of short clips: digital silence (`floor`), or that of the front end."
        " The front end `released` adds 0 dB.",
    )
    max_seconds: float = Field(
        60.0, gt=0, description="Longest part of a clip that is read, from its middle; at least the length of a crop."
    )

    @property
    def longest_seconds(self) -> float:
        """Longest part of a clip that is read, in seconds."""
        return max(self.max_seconds, self.frames * self.hop_ms / 1000)


class FaceConfig(Section):
    """Size of a face image in pixels, and how it is cut."""

    size: int = Field(64, ge=32, le=512, description="Side of the square that the tower sees; the paper uses 224.")
    front_end: FrontEnd = Field(
        "centred",
        description="`centred`: the middle of the image. `released`: the whole image, squeezed to a square.",
    )


class AugmentConfig(Section):
    """Random changes of training samples. Each value is the largest change; 0 turns it off."""

    tilt_db: float = Field(4.0, ge=0, description="Random tilt of the spectrum over the mel bands, in dB at the edges.")
    time_mask: int = Field(16, ge=0, description="Longest time mask, in frames.")
    band_mask: int = Field(6, ge=0, description="Widest frequency mask, in mel bands.")
    shift: float = Field(0.06, ge=0, lt=0.5, description="Shift of the face, as a fraction of the image side.")
    scale: float = Field(0.08, ge=0, lt=0.5, description="Change of the face's size, as a fraction.")
    rotate_degrees: float = Field(8.0, ge=0, le=180)
    brightness: float = Field(0.2, ge=0, lt=1)
    contrast: float = Field(0.2, ge=0, lt=1)
    flip: bool = Field(True, description="Mirror half of the faces.")
    feature_noise: float = Field(
        0.0, ge=0, description="Gaussian noise on vectors, in standard deviations of each column."
    )
    feature_dropout: float = Field(
        0.0, ge=0, lt=1, description="Fraction of a vector's columns that are set to their mean."
    )


class MlpConfig(Section):
    """Hidden layers of towers that take vectors."""

    layers: int = Field(1, ge=0, le=16, description="Number of hidden layers; 0 leaves a linear map.")
    width: int = Field(512, ge=1, description="Units of each hidden layer.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Fraction of units dropped in training.")


class ModelConfig(Section):
    """The two towers."""

    tower: str = Field(
        "compact",
        description="`mlp` takes vectors and is the default for such data; the others take media.",
        json_schema_extra={"enum": [*TOWERS]},
    )
    dim: int = Field(128, ge=2, description="Size of the embedding; the ResNets give 512 without a projection.")

    linear_heads: bool = Field(False, description="Add a linear map after each tower, for a probe to train.")
    mlp: MlpConfig = Field(MlpConfig(), description="Hidden layers of `mlp`, between standardisation and a linear map.")

    @field_validator("tower")
    @classmethod
    def _known_tower(cls, name: str) -> str:
        if name not in TOWERS:
            raise ValueError(f"should be one of {', '.join(TOWERS)} (one of your own: `import_module=MODULE` first)")
        return name

    @model_validator(mode="after")
    def _resnet_dim(self) -> "ModelConfig":
        if self.tower in {"resnet18", "resnet34"} and self.dim != 512:
            raise ValueError(f"{self.tower} has no projection: its dim is 512, not {self.dim}")
        return self


class TrainConfig(Section):
    """Training length and optimiser: Adam with linear warm-up and cosine decay."""

    epochs: int = Field(60, ge=1)
    batch_size: int = Field(128, ge=2, description="Videos per step; at most the number of training videos.")
    learning_rate: float = Field(1e-3, gt=0)
    final_learning_rate: float = Field(2e-5, ge=0)
    warmup_share: float = Field(0.1, ge=0, lt=1, description="Fraction of all steps with a rising learning rate.")
    weight_decay: float = Field(1e-5, ge=0)
    select: Literal["last", "held-out-clusters", "labels"] = Field(
        "last",
        description="Weights to keep: the last step's, the best on held-out clusters (no labels), or the best on the "
        "labelled validation split. With such a judge, training ends when it cannot win any more.",
    )
    log_every: int = Field(10, ge=1, description="Steps between rows of metrics.csv.")
    validate_every: int = Field(10, ge=0, description="Epochs between validation AUCs; 0 for never.")
    checkpoint_seconds: float = Field(60.0, ge=0, description="Time between checkpoints.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Precision of the towers; `auto` is bfloat16 if the machine has instructions for it."
    )
    compile: bool = Field(
        False, description="Compile the towers with torch.compile: a minute at the start, then faster steps."
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0 lets torch decide.")
    workers: int = Field(0, ge=0, description="Processes that make batches; 0 uses a thread.")
    worker_start: Literal["auto", "fork", "spawn"] = Field(
        "auto", description="How these processes start; `auto` is the default of the operating system."
    )


class MethodConfig(Section):
    """Base of the settings of a method; `name` says which one."""

    name: str


class CidConfig(MethodConfig):
    """Instance-wise contrast (the baseline)."""

    name: Literal["cid"] = "cid"
    temperature: float = Field(0.03, gt=0)


class CcaConfig(MethodConfig):
    """Regularised canonical correlation of vectors, in closed form: two linear towers, no training steps."""

    name: Literal["cca"] = "cca"
    ridge: float | None = Field(
        None, gt=0, description="Added to each column's variance, in variances; null chooses it on held-out clusters."
    )
    power: float | None = Field(
        None,
        ge=0,
        description="Each direction counts by its correlation to this power; null chooses it on held-out clusters.",
    )
    rank: int = Field(32, ge=1, description="Directions to keep, at most model.dim.")


class CmpcTerms(Section):
    """The objective of cross-modal prototype contrast."""

    RENAMED: ClassVar[Mapping[tuple[str, object], tuple[str, object]]] = {
        ("recalibration", "mates"): ("recalibration", "cluster-neighbours"),
        ("recalibrate", True): ("recalibration", "paper"),
        ("recalibrate", False): ("recalibration", "none"),
    }

    temperature: float = Field(0.03, gt=0)
    prototype_temperature: float = Field(0.2, gt=0, description="Mean of the concentrations.")
    prototype_weight: float = Field(
        1.0, ge=0, description="Weight lambda of the prototype loss; 0 leaves instance contrast alone."
    )
    prototype_negatives: Literal["all", "batch"] = Field(
        "all", description="Negatives of the prototype loss: all prototypes, or those of the batch."
    )
    recalibration: Literal["none", "paper", "cluster-neighbours"] = Field(
        "paper",
        description="What sets a pair's weight: nothing, its prototypes (the paper), or its cluster neighbours.",
    )
    delta: float = Field(
        -1.0, description="Location of the Gaussian CDF of the weights, in standard deviations from the mean."
    )
    kappa: float = Field(0.1, gt=0, description="Variance of this Gaussian, in variances of the agreement.")
    videos_per_cluster: tuple[float, ...] = Field(
        (36.0, 18.0, 12.0), min_length=1, description="Videos per cluster, one value per granularity."
    )
    memory_momentum: float = Field(0.5, ge=0, lt=1)
    kmeans_iterations: int = Field(20, ge=1)


class CmpcConfig(MethodConfig, CmpcTerms):
    """Cross-modal prototype contrast (Zhu et al., IJCAI 2022)."""

    name: Literal["cmpc"] = "cmpc"
    warmup_share: float = Field(16 / 177, ge=0, le=1, description="Fraction of epochs before the first clustering.")
    cluster_every: int = Field(2, ge=1, description="Epochs between clusterings.")


class AvidConfig(MethodConfig):
    """Cross-modal audio-visual instance discrimination (Morgado, Vasconcelos and Misra, CVPR 2021)."""

    name: Literal["avid"] = "avid"
    temperature: float = Field(0.07, gt=0)
    negatives: int = Field(1024, ge=1, description="Negatives drawn from the memory bank for each video.")
    memory_momentum: float = Field(0.5, ge=0, lt=1)
    warmup_share: float = Field(
        0.3, ge=0, le=1, description="Fraction of epochs with instance contrast within the batch."
    )


class RobustXidConfig(MethodConfig):
    """Robust audio-visual instance discrimination (Morgado, Misra and Vasconcelos, CVPR 2021)."""

    name: Literal["robust-xid"] = "robust-xid"
    temperature: float = Field(0.15, gt=0)
    negatives: int = Field(1024, ge=1, description="Negatives drawn from the memory bank for each video.")
    memory_momentum: float = Field(0.5, ge=0, lt=1)
    warmup_share: float = Field(
        1 / 6, ge=0, le=1, description="Fraction of epochs with instance contrast within the batch."
    )
    delta: float = Field(
        0.0, description="Location of the Gaussian CDF of the weights, in standard deviations from the mean."
    )
    kappa: float = Field(0.5, gt=0, description="Variance of this Gaussian, in variances of the agreement.")
    least_weight: float = Field(0.25, ge=0, le=1, description="Smallest weight of a pair; 1 weighs all pairs equally.")
    soft_share: float = Field(0.5, ge=0, le=1, description="Weight lambda of the soft targets; 0 turns them off.")
    target_temperature: float = Field(
        0.02, gt=0, description="Temperature tau_s of the soft targets; a low value makes them sparse."
    )
    agreement_temperature: float = Field(
        0.07, gt=0, description="Temperature tau_t; a low value favours targets whose voice and face agree."
    )


class CmpcReleasedConfig(MethodConfig):
    """CMPC as its released code computes it (docs/fidelity.md, rows 1 to 7)."""

    name: Literal["cmpc-released"] = "cmpc-released"
    temperature: float = Field(0.03, gt=0)
    prototype_temperature: float = Field(0.2, gt=0, description="Mean of the concentrations.")
    delta: float = Field(
        -1.0, description="Centre of the Gaussian density, in standard deviations of rho from its mean."
    )
    kappa: float = Field(0.1, gt=0, description="Variance of this Gaussian, in variances of rho.")
    videos_per_cluster: tuple[float, ...] = Field(
        (36.0, 18.0, 12.0), min_length=1, description="Videos per cluster, one value per granularity."
    )
    warmup_share: float = Field(16 / 177, ge=0, le=1, description="Fraction of epochs before the first clustering.")
    cluster_every: int = Field(2, ge=1, description="Epochs between clusterings; clusters are used for one step only.")
    memory_momentum: float = Field(0.5, ge=0, lt=1)
    kmeans_iterations: int = Field(20, ge=1)


class SelfLiftingConfig(MethodConfig):
    """k-means on both modalities, and a metric loss on its labels (Chen et al., ICMR 2022)."""

    name: Literal["self-lifting"] = "self-lifting"
    temperature: float = Field(0.03, gt=0, description="Temperature of instance contrast during the warm-up.")
    alpha: float = Field(2.0, gt=0, description="Scale of the positives.")
    beta: float = Field(50.0, gt=0, description="Scale of the negatives.")
    base: float = Field(1.0, ge=-1, le=1, description="Cosine that is subtracted from all pairs.")
    videos_per_pseudo_label: float = Field(18.0, gt=0, description="Videos per cluster of k-means.")
    warmup_share: float = Field(0.3, ge=0, le=1, description="Fraction of epochs before the first clustering.")
    cluster_every: int = Field(2, ge=1, description="Epochs between clusterings.")
    memory_momentum: float = Field(0.5, ge=0, lt=1)
    kmeans_iterations: int = Field(20, ge=1)


class PinsConfig(MethodConfig):
    """Learnable PINs: margin contrast with a curriculum (Nagrani, Albanie and Zisserman, ECCV 2018)."""

    name: Literal["pins"] = "pins"
    margin: float = Field(0.6, gt=0, le=2, description="Margin; negatives farther away are ignored.")
    first_hardness: float = Field(
        0.3, ge=0, le=1, description="Hardness tau of negatives at the start; 0 takes the easiest."
    )
    last_hardness: float = Field(
        0.8, ge=0, le=1, description="Hardness tau after the curriculum; 1 takes the hardest negatives."
    )
    hardness_steps: int = Field(5, ge=1, description="Number of equal steps between the two.")
    curriculum_share: float = Field(1 / 6, ge=0, le=1, description="Fraction of epochs over which tau rises.")

    @model_validator(mode="after")
    def _rising(self) -> "PinsConfig":
        if self.last_hardness < self.first_hardness:
            raise ValueError(f"last_hardness is {self.last_hardness}, below first_hardness, {self.first_hardness}")
        return self


class BarlowConfig(MethodConfig):
    """Barlow Twins between voice and face (Zbontar et al., ICML 2021)."""

    name: Literal["barlow"] = "barlow"
    redundancy_weight: float = Field(0.0051, ge=0, description="Weight lambda of the redundancy term.")
    projector: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Widths of the projector's layers, as in [512, 512, 512]; empty for no projector."
    )


class SiglipConfig(MethodConfig):
    """Pairwise sigmoid contrast (Zhai et al., ICCV 2023)."""

    name: Literal["siglip"] = "siglip"
    initial_scale: float = Field(10.0, gt=0, description="Initial scale, 1 / temperature; it is learned.")
    initial_bias: float = Field(-10.0, description="Initial bias of every pair; it is learned.")


# lowshot.extend adds others.
METHODS: dict[str, type[MethodConfig]] = {
    "cmpc": CmpcConfig,
    "cid": CidConfig,
    "avid": AvidConfig,
    "robust-xid": RobustXidConfig,
    "cmpc-released": CmpcReleasedConfig,
    "self-lifting": SelfLiftingConfig,
    "pins": PinsConfig,
    "barlow": BarlowConfig,
    "siglip": SiglipConfig,
    "cca": CcaConfig,
}


class AdaptConfig(Section):
    """Adaptation with few labels. Validation identities choose learning rate and step."""

    strategy: Strategy = Field(
        "full",
        description="What fine-tuning trains: all; heads; last stages and heads; all after a probe.",
    )
    objective: Objective = Field("contrast", description="Loss of fine-tuning.")
    steps: int = Field(60, ge=1)
    batch_size: int = Field(
        64, ge=2, description="Labelled videos per step; `semi-supervised` adds as many from all training videos."
    )
    temperature: float = Field(0.1, gt=0, description="Temperature of supervised contrast and of the classifier.")
    margin_scale: float = Field(30.0, gt=0, description="Scale of the margin classifier, 1 / temperature.")
    margin: float = Field(
        0.35, ge=0, le=1, description="Margin that is subtracted from the cosine of the right identity."
    )
    finetune_learning_rates: LearningRates = Field(
        (1e-3, 1e-4), description="Learning rates to choose from, strategy `full`."
    )
    head_learning_rates: LearningRates = Field((1e-2, 1e-3), description="Strategy `head`.")
    last_stage_learning_rates: LearningRates = Field((1e-3, 1e-4), description="Strategy `last-stage`.")
    lp_ft_learning_rates: LearningRates = Field((3e-4, 3e-5), description="Strategy `lp-ft`, after the probe.")
    probe_learning_rates: LearningRates = Field((1e-2, 1e-3), description="The probe.")
    probe_steps: int = Field(200, ge=1)
    probe_batch_size: int = Field(1024, ge=2, description="Largest number of labelled videos per step of the probe.")
    unlabelled_weight: float = Field(
        1.0, ge=0, description="Weight of CMPC beside supervised contrast, objective `semi-supervised`."
    )
    cluster_every: int = Field(20, ge=1, description="Steps between clusterings of all training videos.")
    cmpc: CmpcTerms = Field(CmpcTerms(), description="CMPC of the objective `semi-supervised`.")
    weight_decay: float = Field(1e-4, ge=0)
    checks: int = Field(
        5, ge=1, description="Number of validation AUCs during one adaptation, after the first one at step 0."
    )


class EvaluateConfig(Section):
    """Trials, intervals, and views of each file."""

    replicates: int = Field(1000, ge=100, description="Bootstrap resamples of identities.")
    seed: int = Field(0, ge=0, description="Seed of trials and resamples; every model gets the same trials.")
    voice_crops: int = Field(
        8, ge=1, description="Largest number of crops averaged per voice clip; short clips need fewer."
    )
    mirror: bool = Field(False, description="Average each face with its mirror image.")
    gallery: int | None = Field(
        None,
        ge=0,
        le=10,
        description="Queries per direction in the gallery; null: 3 for synthetic people, 0 for real ones.",
    )
