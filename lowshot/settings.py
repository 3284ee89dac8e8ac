"""The settings of a run, section by section: what there is, its default and its range."""

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lowshot.errors import RenamedSetting

# How media become a tower's input: as lowshot does it, or as the code released with the paper does.
FrontEnd = Literal["centred", "released"]
# What lengthens a voice clip that is shorter than a crop.
Padding = Literal["front-end", "floor"]
# What fine-tuning trains, and what it minimises.
Strategy = Literal["full", "head", "last-stage", "lp-ft"]
Objective = Literal["contrast", "classifier", "margin-classifier", "semi-supervised"]
# Names of towers; others are added by lowshot.extend.
TOWERS = ["compact", "resnet18", "resnet34", "mlp"]
LearningRates = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]


class Section(BaseModel):
    """Base of every section: unknown keys are errors and values do not change once read."""

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
    """Log-mel spectrogram of a voice clip, and how much of it one training sample holds."""

    mel_bands: int = Field(64, ge=16, le=128)
    window_ms: float = Field(25.0, ge=1, le=200, description="Analysis window; the paper uses 100 ms.")
    hop_ms: float = Field(10.0, ge=1, le=100)
    frames: int = Field(128, ge=16, description="Frames of a training crop; the paper uses 500.")
    front_end: FrontEnd = Field("centred", description="Log power about its mean, or decibels as the released code's.")
    normalise: bool = Field(False, description="Each clip to mean 0 and standard deviation 1; padded at the floor.")
    padding: Padding = Field(
        "front-end",
        description="Of short clips: `floor` is digital silence at the end. The front end `released` adds 0 dB.",
    )
    max_seconds: float = Field(
        60.0, gt=0, description="Of a longer clip its middle is read, so long; at least a crop's length."
    )

    @property
    def longest_seconds(self) -> float:
        """How much of a clip is read at most."""
        return max(self.max_seconds, self.frames * self.hop_ms / 1000)


class FaceConfig(Section):
    """Size of a face image, in pixels, and which part of it that is."""

    size: int = Field(64, ge=32, le=512, description="Side of the square the tower sees; the paper uses 224.")
    front_end: FrontEnd = Field(
        "centred", description="The middle of the image, or all of it squeezed to a square as the released code does."
    )


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
    feature_noise: float = Field(
        0.0, ge=0, description="Gaussian noise of vectors, in standard deviations of each column."
    )
    feature_dropout: float = Field(0.0, ge=0, lt=1, description="Share of a vector's columns put to their mean.")


class MlpConfig(Section):
    """The hidden layers of towers that take vectors."""

    layers: int = Field(1, ge=0, le=16, description="Hidden layers; 0 leaves the linear map.")
    width: int = Field(512, ge=1, description="Units of each.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of the units dropped in training.")


class ModelConfig(Section):
    """The two towers."""

    tower: str = Field(
        "compact",
        description="mlp takes vectors, and is what such data get by themselves; the others take media.",
        json_schema_extra={"enum": [*TOWERS]},
    )
    dim: int = Field(128, ge=2, description="Size of the embedding; the ResNets give 512 without a projection.")

    linear_heads: bool = Field(False, description="A linear map after each tower: what a probe trains.")
    mlp: MlpConfig = Field(
        MlpConfig(), description="Towers `mlp`: hidden layers between standardisation and a linear map."
    )

    @field_validator("tower")
    @classmethod
    def _known_tower(cls, name: str) -> str:
        if name not in TOWERS:
            raise ValueError(f"should be one of {', '.join(TOWERS)} (your own need `lowshot --import MODULE`)")
        return name

    @model_validator(mode="after")
    def _resnet_dim(self) -> "ModelConfig":
        if self.tower in {"resnet18", "resnet34"} and self.dim != 512:
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
    compile: bool = Field(False, description="torch.compile the towers: a minute at the start, faster steps after.")
    threads: int = Field(0, ge=0, description="CPU threads; 0 leaves it to torch.")
    workers: int = Field(0, ge=0, description="Processes that make batches; with 0 a thread does.")
    worker_start: Literal["auto", "fork", "spawn"] = Field(
        "auto", description="How these processes start; auto is the operating system's usual way."
    )


class MethodConfig(Section):
    """Base of the settings of a method. Which method they are of is told by the name."""

    name: str


class CidConfig(MethodConfig):
    """Instance-wise contrast (the baseline)."""

    name: Literal["cid"] = "cid"
    temperature: float = Field(0.03, gt=0)


class CmpcTerms(Section):
    """The objective of cross-modal prototype contrast, whenever it is clustered."""

    RENAMED: ClassVar[Mapping[tuple[str, object], tuple[str, object]]] = {
        ("recalibration", "mates"): ("recalibration", "cluster-neighbours"),
        ("recalibrate", True): ("recalibration", "paper"),
        ("recalibrate", False): ("recalibration", "none"),
    }

    temperature: float = Field(0.03, gt=0)
    prototype_temperature: float = Field(0.2, gt=0, description="Mean of the concentrations.")
    prototype_weight: float = Field(1.0, ge=0, description="lambda; 0 leaves instance contrast alone.")
    prototype_negatives: Literal["all", "batch"] = Field(
        "all", description="Which prototypes a video is held against: all, or those of the videos in its batch."
    )
    recalibration: Literal["none", "paper", "cluster-neighbours"] = Field(
        "paper",
        description="What sets a pair's weight: nothing, its prototypes (the paper), or its cluster neighbours.",
    )
    delta: float = Field(-1.0, description="Location of the Gaussian CDF, in standard deviations.")
    kappa: float = Field(0.1, gt=0, description="Its variance, in variances.")
    videos_per_cluster: tuple[float, ...] = Field(
        (36.0, 18.0, 12.0), min_length=1, description="One granularity each: K = videos / this."
    )
    memory_momentum: float = Field(0.5, ge=0, lt=1)
    kmeans_iterations: int = Field(20, ge=1)


class CmpcConfig(MethodConfig, CmpcTerms):
    """Cross-modal prototype contrast (Zhu et al., IJCAI 2022)."""

    name: Literal["cmpc"] = "cmpc"
    warmup_share: float = Field(16 / 177, ge=0, le=1, description="Share of epochs before the first clustering.")
    cluster_every: int = Field(2, ge=1, description="Epochs between clusterings.")


class AvidConfig(MethodConfig):
    """Cross-modal audio-visual instance discrimination (Morgado, Vasconcelos and Misra, CVPR 2021)."""

    name: Literal["avid"] = "avid"
    temperature: float = Field(0.07, gt=0)
    negatives: int = Field(1024, ge=1, description="Memories drawn for each video, at most all others.")
    memory_momentum: float = Field(0.5, ge=0, lt=1)
    warmup_share: float = Field(0.3, ge=0, le=1, description="Share of epochs of contrast within the batch.")


class RobustXidConfig(MethodConfig):
    """Robust audio-visual instance discrimination (Morgado, Misra and Vasconcelos, CVPR 2021)."""

    name: Literal["robust-xid"] = "robust-xid"
    temperature: float = Field(0.15, gt=0)
    negatives: int = Field(1024, ge=1, description="Memories drawn for each video, at most all others.")
    memory_momentum: float = Field(0.5, ge=0, lt=1)
    warmup_share: float = Field(1 / 6, ge=0, le=1, description="Share of epochs of contrast within the batch.")
    delta: float = Field(0.0, description="Location of the Gaussian CDF, in standard deviations of the agreement.")
    kappa: float = Field(0.5, gt=0, description="Its variance, in variances of the agreement.")
    least_weight: float = Field(0.25, ge=0, le=1, description="Of a pair; 1 weighs all alike.")
    soft_share: float = Field(0.5, ge=0, le=1, description="lambda, of the soft targets; 0 leaves none.")
    target_temperature: float = Field(0.02, gt=0, description="tau_s: low makes soft targets few and sure.")
    agreement_temperature: float = Field(0.07, gt=0, description="tau_t: low favours targets that agree themselves.")


class CmpcReleasedConfig(MethodConfig):
    """CMPC as its released code computes it (docs/fidelity.md, rows 1 to 7), with its settings."""

    name: Literal["cmpc-released"] = "cmpc-released"
    temperature: float = Field(0.03, gt=0)
    prototype_temperature: float = Field(0.2, gt=0, description="Mean of the concentrations.")
    delta: float = Field(-1.0, description="Centre of the Gaussian density, in standard deviations of rho.")
    kappa: float = Field(0.1, gt=0, description="Its variance, in variances.")
    videos_per_cluster: tuple[float, ...] = Field(
        (36.0, 18.0, 12.0), min_length=1, description="One granularity each: K = videos / this."
    )
    warmup_share: float = Field(16 / 177, ge=0, le=1, description="Share of epochs before the first clustering.")
    cluster_every: int = Field(2, ge=1, description="Epochs between clusterings; clusters live for one step.")
    memory_momentum: float = Field(0.5, ge=0, lt=1)
    kmeans_iterations: int = Field(20, ge=1)


class SelfLiftingConfig(MethodConfig):
    """k-means on both modalities together, and a metric loss on its labels (Chen et al., ICMR 2022)."""

    name: Literal["self-lifting"] = "self-lifting"
    temperature: float = Field(0.03, gt=0, description="Of the instance contrast during the warm-up.")
    alpha: float = Field(2.0, gt=0, description="Sharpness among positives.")
    beta: float = Field(50.0, gt=0, description="Sharpness among negatives.")
    base: float = Field(1.0, ge=-1, le=1, description="Cosine from which pairs are measured.")
    videos_per_pseudo_label: float = Field(18.0, gt=0, description="k-means makes videos / this labels.")
    warmup_share: float = Field(0.3, ge=0, le=1, description="Share of epochs before the first clustering.")
    cluster_every: int = Field(2, ge=1, description="Epochs between clusterings.")
    memory_momentum: float = Field(0.5, ge=0, lt=1)
    kmeans_iterations: int = Field(20, ge=1)


class PinsConfig(MethodConfig):
    """Learnable PINs: margin contrast with a curriculum of negatives (Nagrani, Albanie and Zisserman, ECCV 2018)."""

    name: Literal["pins"] = "pins"
    margin: float = Field(0.6, gt=0, le=2, description="Distance from which a negative is let be; at most 2.")
    first_hardness: float = Field(0.3, ge=0, le=1, description="tau at the start; 0 takes the easiest negatives.")
    last_hardness: float = Field(0.8, ge=0, le=1, description="tau after the curriculum; 1 takes the hardest.")
    hardness_steps: int = Field(5, ge=1, description="Equal steps from the one to the other.")
    curriculum_share: float = Field(1 / 6, ge=0, le=1, description="Share of epochs over which tau rises.")

    @model_validator(mode="after")
    def _rising(self) -> "PinsConfig":
        if self.last_hardness < self.first_hardness:
            raise ValueError(f"last_hardness, {self.last_hardness}, is below first_hardness, {self.first_hardness}")
        return self


class BarlowConfig(MethodConfig):
    """Barlow Twins between voice and face (Zbontar et al., ICML 2021)."""

    name: Literal["barlow"] = "barlow"
    redundancy_weight: float = Field(0.0051, ge=0, description="lambda, of what is off the diagonal.")
    projector: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Widths of its layers, as in [512, 512, 512]; none compares the embeddings themselves."
    )


class SiglipConfig(MethodConfig):
    """Pairwise sigmoid contrast (Zhai et al., ICCV 2023)."""

    name: Literal["siglip"] = "siglip"
    initial_scale: float = Field(10.0, gt=0, description="1 / temperature at the start; it is learned.")
    initial_bias: float = Field(-10.0, description="Bias of every pair at the start; it is learned.")


# Others are added by lowshot.extend.
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
}


class AdaptConfig(Section):
    """Learning from few labelled identities. Learning rate and stopping step are chosen on validation identities."""

    strategy: Strategy = Field(
        "full", description="What fine-tuning trains: all, the projections, the last stages too, or all after a probe."
    )
    objective: Objective = Field("contrast", description="What fine-tuning minimises.")
    steps: int = Field(60, ge=1)
    batch_size: int = Field(64, ge=2, description="Labelled videos per step; semi-supervised adds as many of all.")
    temperature: float = Field(0.1, gt=0, description="Of the supervised contrast and of the classifier.")
    margin_scale: float = Field(30.0, gt=0, description="Of the margin classifier's cosines: 1 / temperature.")
    margin: float = Field(0.35, ge=0, le=1, description="By which the margin classifier lowers the right cosine.")
    finetune_learning_rates: LearningRates = Field((1e-3, 1e-4), description="Of the strategy full.")
    head_learning_rates: LearningRates = (1e-2, 1e-3)
    last_stage_learning_rates: LearningRates = (1e-3, 1e-4)
    lp_ft_learning_rates: LearningRates = Field((3e-4, 3e-5), description="After the probe, which has its own.")
    probe_learning_rates: LearningRates = (1e-2, 1e-3)
    probe_steps: int = Field(200, ge=1)
    probe_batch_size: int = Field(1024, ge=2, description="Labelled videos per step of the probe, at most.")
    unlabelled_weight: float = Field(1.0, ge=0, description="Of CMPC beside the contrast of labelled videos.")
    cluster_every: int = Field(20, ge=1, description="Steps between clusterings of all training videos.")
    cmpc: CmpcTerms = Field(CmpcTerms(), description="CMPC of the semi-supervised objective, whatever came before.")
    weight_decay: float = Field(1e-4, ge=0)
    checks: int = Field(5, ge=1, description="Validation AUCs during one adaptation, besides the one before it.")


class EvaluateConfig(Section):
    """Trials, intervals, and how often each medium is looked at."""

    replicates: int = Field(1000, ge=100, description="Identity-bootstrap resamples.")
    seed: int = Field(0, ge=0, description="Seed of trials and resamples: the same trials for every model.")
    voice_crops: int = Field(8, ge=1, description="Most crops of a voice that are averaged; as many as cover it.")
    mirror: bool = Field(False, description="Average each face with its mirror image.")
    gallery: int | None = Field(
        None,
        ge=0,
        le=10,
        description="Queries of each direction to show with their media; null: 3 of embedded people, 0 of others.",
    )
