"""Canonical correlation in closed form: one pass over the videos, strength chosen on held-out clusters."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from lowshot.canonical import CanonicalMaps, Moments, canonical_maps
from lowshot.data.pairs import Videos
from lowshot.data.readers.base import Reader
from lowshot.data.video_vectors import joint_vectors, rows_of, video_means
from lowshot.held_out import FloatArray, IntArray, Judgement, hold_out, judge, pooled
from lowshot.models.two_tower import TwoTower
from lowshot.models.vector_tower import VectorTower
from lowshot.settings import CcaConfig

# Tried where a setting is left open. Ridges are in variances of a column, powers those of a correlation.
RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0)
POWERS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
# Taken if nothing better can be told: too few videos to hold any out, or differences within their error.
UNJUDGED = (3.0, 2.0)
# Disjoint parts of the videos that are held out in turn, and how many videos a part has at most, about.
PARTS, MOST_OF_PART = 5, 400


@dataclass(frozen=True)
class Tried:
    """One strength of regularisation, judged.

    Attributes:
        ridge, power: as `CcaConfig` has them.
        auc, error: mean AUC over the held-out folds, and its standard error; NaN if nothing could be held out.
    """

    ridge: float
    power: float
    auc: float
    error: float


def fit_cca(
    model: TwoTower,
    reader: Reader,
    videos: Videos,
    config: CcaConfig,
    seed: int,
    device: torch.device,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Tried]:
    """Fit two linear towers to the pairs of the training videos, in closed form.

    A pair is the mean voice and the mean face of a video. Each direction of the shared space is scaled by its
    correlation to the power `power`: directions that few people support count little.

    Args:
        model: towers `mlp` without hidden layers; their maps are set in place.
        reader: of the vectors.
        videos: the training videos.
        config: `ridge` and `power`; each that is None is chosen by cross-fitting: each of `PARTS` parts is held
            out, the maps are fitted to all other videos, and the part is judged.
        seed: of clusters and folds.
        device: where covariances are gathered.
        advance: called with (videos read, videos in all).

    Returns:
        What was tried: first what the model has now, then by falling AUC.

    Source:
        Hotelling, Biometrika 28, 1936; Vinod, Journal of Econometrics 4, 1976. The weights are this project's.
    """
    total = len(videos)
    held_out = hold_out(joint_vectors(reader, videos), seed, PARTS, MOST_OF_PART)
    place = np.full(total, PARTS)
    for part, (held, _) in enumerate(held_out):
        place[held] = part
    moments = [_moments(model, device) for _ in range(PARTS + 1)]
    for start, voice, face in video_means(reader, videos):
        here = place[start : start + len(voice)]
        for part in np.unique(here):
            moments[part].add(voice[here == part].to(device), face[here == part].to(device))
        advance(min(total, start + len(voice)), total)
    rank = min(config.rank, model.model_config.dim)
    tried = _try(moments, reader, videos, held_out, config, rank)
    whole = _moments(model, device)
    for each in moments:
        whole.merge(each)
    _set(model, canonical_maps(whole, tried[0].ridge, rank), tried[0].power)
    return tried


def _moments(model: TwoTower, device: torch.device) -> Moments:
    assert model.widths is not None, "towers of vectors have widths"
    return Moments(model.widths["voice"], model.widths["face"], device)


def _try(
    moments: list[Moments],
    reader: Reader,
    videos: Videos,
    held_out: list[tuple[IntArray, IntArray]],
    config: CcaConfig,
    rank: int,
) -> list[Tried]:
    """Judge every strength that the settings leave open."""
    ridges = RIDGES if config.ridge is None else (config.ridge,)
    powers = POWERS if config.power is None else (config.power,)
    found: dict[tuple[float, float], list[tuple[Judgement, int]]] = {}
    for number, (held, clusters) in enumerate(held_out):
        others = _moments_like(moments[0])
        for other, each in enumerate(moments):
            if other != number:
                others.merge(each)
        if len(held) < 2 or others.count < 2:
            continue
        # As at a test: one clip and one picture of each video.
        voice = rows_of(reader, "voice", np.array([videos.voices[i][0] for i in held])).double()
        face = rows_of(reader, "face", np.array([videos.faces[i][0] for i in held])).double()
        for ridge in ridges:
            maps = canonical_maps(others, ridge, rank)
            for power in powers:
                a, b = _mapped(maps, power, voice, face)
                if (judgement := judge(a, b, clusters)) is not None:
                    found.setdefault((ridge, power), []).append((judgement, len(held)))
    if not found:
        ridge = UNJUDGED[0] if config.ridge is None else config.ridge
        power = UNJUDGED[1] if config.power is None else config.power
        return [Tried(ridge, power, float("nan"), float("nan"))]
    judged = {strength: pooled(parts) for strength, parts in found.items()}
    best = max(judged, key=lambda strength: judged[strength].auc)
    usual = judged.get(UNJUDGED)
    # Few people cannot tell strengths apart: the usual one stays unless another is better by more than the error.
    if usual is not None and judged[best].auc - usual.auc <= judged[best].error_against(usual):
        best = UNJUDGED
    ranked = sorted(judged, key=lambda strength: (strength != best, -judged[strength].auc))
    return [Tried(*strength, judged[strength].auc, judged[strength].error) for strength in ranked]


def _moments_like(moments: Moments) -> Moments:
    return Moments(*moments.widths, device=moments.mean.device)


def _mapped(
    maps: CanonicalMaps, power: float, voice: torch.Tensor, face: torch.Tensor
) -> tuple[FloatArray, FloatArray]:
    x, y = maps.weighted(power)
    a = (voice.to(x) - maps.mean_x) / maps.scale_x @ x
    b = (face.to(y) - maps.mean_y) / maps.scale_y @ y
    return tuple(torch.nn.functional.normalize(each, dim=1).float().cpu().numpy() for each in (a, b))  # type: ignore[return-value]


@torch.no_grad()
def _set(model: TwoTower, maps: CanonicalMaps, power: float) -> None:
    """Give linear towers the maps, in the units that the towers standardise to; what is left of `dim` stays zero."""
    sides = ((model.voice, maps.weighted(power)[0], maps.mean_x, maps.scale_x),
             (model.face, maps.weighted(power)[1], maps.mean_y, maps.scale_y))  # fmt: skip
    for tower, weights, mean, scale in sides:
        assert isinstance(tower, VectorTower), "towers of vectors"
        # x -> (x - mean) / scale @ weights, as a map of what the tower has standardised.
        own_scale = tower.scale.double().cpu()
        factor = torch.where(own_scale > 0, 1 / (own_scale.clamp(min=1e-300) * scale.cpu()), 0)
        matrix = weights.cpu() * factor[:, None]
        shift = ((tower.mean.double().cpu() - mean.cpu()) / scale.cpu()) @ weights.cpu()
        linear = tower.project
        assert isinstance(linear, torch.nn.Linear)
        linear.weight.zero_()
        linear.bias.zero_()
        # A common factor changes no cosine; it keeps float32 far from its ends.
        size = float(matrix.norm()) or 1.0
        linear.weight[: matrix.shape[1]] = (matrix.T / size).float().to(linear.weight.device)
        linear.bias[: matrix.shape[1]] = (shift / size).float().to(linear.bias.device)
