"""One voice against several faces, or one face against several voices: files ranked by how alike they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowshot.data.named_files import NamedFiles, is_face
from lowshot.data.readers.media import MediaReader
from lowshot.errors import RequestError
from lowshot.evaluation.calibrated import RunCalibration, find_calibration
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.models.device import default_device
from lowshot.models.embedding import USUAL, embed_rows
from lowshot.models.loaded import LoadedModel
from lowshot.models.pretrained import PREFIX, find_entry
from lowshot.models.towers import MEDIA_TOWERS
from lowshot.schema import WORLD_FILES
from lowshot.settings import VoiceConfig


@dataclass(frozen=True)
class Match:
    """One file's place.

    Attributes:
        rank: from 1; files that are equally alike share it.
        file: as it was named.
        similarity: cosine, -1 to 1.
        probability: of both being one person's, were half of all pairs; None for a model without calibration.
    """

    rank: int
    file: Path
    similarity: float
    probability: float | None


@dataclass(frozen=True)
class Matches:
    """Files by similarity to another.

    Attributes:
        model: its name.
        probe: the file that the others were held against.
        modality: of the probe, `voice` or `face`; the others are of the other one.
        ranking: the others, most alike first.
        warnings: what to know before believing any of it, a line each.
    """

    model: str
    probe: Path
    modality: str
    ranking: tuple[Match, ...]
    warnings: tuple[str, ...]


def match_files(start: LoadedModel, probe: Path, candidates: Sequence[Path]) -> Matches:
    """Rank faces by similarity to a voice, or voices by similarity to a face.

    Args:
        start: the model.
        probe: a voice or a face.
        candidates: files of the other modality, at least one.

    Raises:
        RequestError: a file is missing, unreadable or of the wrong modality, or the model takes no such files.
    """
    model = start.towers
    if model.model_config.tower not in MEDIA_TOWERS:
        raise RequestError(f"{start.name}: takes vectors, not voice and face files; `lowshot evaluate` is for those")
    modality = _modality(probe, candidates)
    files = NamedFiles([probe], candidates) if modality == "voice" else NamedFiles(candidates, [probe])
    settings = start.config.evaluate if start.config else USUAL
    calibration = find_calibration(start)
    if isinstance(calibration, RunCalibration):
        settings = calibration.looks(settings)
    reader = MediaReader(files, model.voice_config, model.face_config)
    model = model.to(default_device())
    voices, faces = np.arange(len(files.voices)), np.arange(len(files.faces))
    voice = embed_rows(model, reader, "voice", voices, settings)
    face = embed_rows(model, reader, "face", faces, settings)
    cosines = EmbeddingScorer(voice, face).matrix(voices, faces).ravel()
    ranking = tuple(
        Match(
            rank=1 + int((cosines > cosines[place]).sum()),
            file=candidates[place],
            similarity=float(cosines[place]),
            probability=calibration.probability(float(cosines[place])) if calibration else None,
        )
        for place in np.argsort(-cosines, kind="stable")
    )
    warnings = [_what_it_learned_from(start), *_short_voices(reader, voices, model.voice_config)]
    if calibration is None:
        warnings.append(
            f"no probability can be given: {start.name} has no calibration, which `lowshot models calibrate` makes of "
            "a run with a validation split"
        )
    else:
        warnings.append(
            "the probability is that both are of one person if half of all pairs were; it was fitted on "
            f"{calibration.identities} people that the model did not learn from"
        )
    return Matches(start.name, probe, modality, ranking, tuple(warnings))


def _modality(probe: Path, candidates: Sequence[Path]) -> str:
    """Of the probe; the others must be of the other one."""
    if not candidates:
        raise RequestError(f"{probe}: is held against nothing; name files after it")
    modality, other = ("face", "voice") if is_face(probe) else ("voice", "face")
    for path in candidates:
        if is_face(path) != (other == "face"):
            fault = "is an image too; name voices" if modality == "face" else "is no image; name faces"
            raise RequestError(f"{path}: {fault} after the {modality} {probe}")
    return modality


def _what_it_learned_from(start: LoadedModel) -> str:
    """Whether real people may be asked about."""
    if start.name.startswith(PREFIX):
        data = find_entry(start.name).data
        source, invented = data.name, data.synthetic
    elif start.config is None:
        return f"{start.name} does not say what it learned from: ask whoever made it before believing anything here"
    else:
        source = start.config.data
        folder = Path(source)
        invented = source.startswith("synth:") or all((folder / name).is_file() for name in WORLD_FILES)
    if invented:
        return (
            f"{start.name} learned from invented people ({source}): it is not made for real voices and faces, and what "
            "it says of them means nothing"
        )
    return (
        f"{start.name} learned from {source}: on people, recordings or pictures of another kind it may be wrong in "
        "other ways than there"
    )


def _short_voices(reader: MediaReader, voices: np.ndarray, config: VoiceConfig) -> list[str]:
    """A warning on each voice of less than what one training sample held."""
    least = config.frames * config.hop_ms / 1000
    return [
        f"{reader.dataset.path('voice', int(index))}: is shorter than the {least:.1f} s that the model is made for"
        for index in voices
        if reader.voice(int(index))[0].shape[1] < config.frames
    ]
