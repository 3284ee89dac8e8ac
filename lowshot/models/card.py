"""Model cards, for printing or for programs."""

from collections.abc import Mapping
from dataclasses import dataclass

from lowshot.data.voice import SAMPLE_RATE
from lowshot.models.pretrained import Entry, pretrained_folder
from lowshot.models.two_tower import TwoTower

UNKNOWN = "unknown"


@dataclass(frozen=True)
class ModelCard:
    """The card of a model. `print(card)` shows it.

    Attributes:
        name: name of the model.
        summary: one sentence; "" unless the model comes with lowshot.
        method: method of its pretraining, such as `cmpc`.
        adaptation: `none`, `finetune`, `probe` and the like.
        labels: label fraction of the adaptation.
        data: its training data.
        synthetic: whether these are invented people; None if unknown.
        voice, face: the inputs of the towers, front end included.
        towers: their kind and number of weights.
        dim: size of an embedding, which has length 1.
        licence: of the weights.
        intended_use: uses that the model is, and is not, intended for.
        file: path of the full card with figures, limits and bias; "" if there is none.
        metadata: all metadata of the weights.
    """

    name: str
    summary: str
    method: str
    adaptation: str
    labels: str
    data: str
    synthetic: bool | None
    voice: str
    face: str
    towers: str
    dim: int
    licence: str
    intended_use: str
    file: str
    metadata: Mapping[str, str]

    def __str__(self) -> str:
        people = {True: " (invented people)", False: "", None: ""}[self.synthetic]
        shown = {
            "summary": self.summary,
            "method": self.method,
            "adaptation": self.adaptation,
            "labels": self.labels,
            "data": self.data + people,
            "voice": self.voice,
            "face": self.face,
            "embedding": f"{self.dim} dimensions, length 1",
            "towers": self.towers,
            "licence": self.licence,
            "intended use": self.intended_use,
            "card": self.file,
        }
        return "\n".join([self.name, *(f"  {key:12}  {value}" for key, value in shown.items() if value)])


def make_card(
    name: str,
    towers: TwoTower,
    metadata: Mapping[str, str],
    data: str | None,
    synthetic: bool | None,
    entry: Entry | None,
) -> ModelCard:
    """Make the card of a model.

    Args:
        name: name of the model.
        towers: its towers.
        metadata: metadata of the weights.
        data: its training data; None if unknown.
        synthetic: whether these are invented people; None if unknown.
        entry: entry of the registry, for a model that comes with lowshot.
    """
    weights = sum(value.numel() for value in towers.parameters())
    voice, face = _inputs(towers)
    return ModelCard(
        name=name,
        summary=entry.summary if entry else "",
        method=metadata.get("method", UNKNOWN),
        adaptation=metadata.get("adaptation", UNKNOWN),
        labels=_labels(metadata),
        data=data or UNKNOWN,
        synthetic=synthetic,
        voice=voice,
        face=face,
        towers=f"{towers.model_config.tower}, {weights:,} weights",
        dim=towers.model_config.dim,
        licence=entry.licence if entry else "",
        intended_use=entry.intended_use if entry else "",
        file=str(pretrained_folder() / entry.card) if entry else "",
        metadata=dict(metadata),
    )


def _inputs(towers: TwoTower) -> tuple[str, str]:
    if towers.widths is not None:
        return f"vectors of {towers.widths['voice']}", f"vectors of {towers.widths['face']}"
    voice, face = towers.voice_config, towers.face_config
    seconds = voice.frames * voice.hop_ms / 1000
    return (
        f"{SAMPLE_RATE // 1000} kHz, {voice.mel_bands} log-mel bands, crops of {seconds:.1f} s, "
        f"front end {voice.front_end}",
        f"{face.size} x {face.size} pixels in colour, front end {face.front_end}",
    )


def _labels(metadata: Mapping[str, str]) -> str:
    if metadata.get("adaptation", "none") == "none":
        return "none" if "adaptation" in metadata else UNKNOWN
    fraction = metadata.get("fraction")
    if fraction is None:
        return UNKNOWN
    chosen = metadata.get("subset") or f"subset seed {metadata.get('subset_seed', UNKNOWN)}"
    return f"{100 * float(fraction):g} % of the training identities ({chosen})"
