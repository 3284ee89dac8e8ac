"""Canonical correlation in closed form: one pass over the videos, strength chosen on held-out clusters."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from lowshot.canonical import CanonicalMaps, Moments, canonical_maps
from lowshot.data.pairs import Videos
from lowshot.data.readers.base import Reader
from lowshot.data.video_vectors import joint_vectors, rows_of, video_means
from lowshot.held_out import FloatArray, IntArray, Judgement, cluster_videos, fold_clusters, judge, pooled
from lowshot.models.two_tower import TwoTower
from lowshot.models.vector_tower import VectorTower
from lowshot.settings import CcaConfig

# Tried where a setting is left open. Ridges are in variances of a column, powers those of a correlation.
RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0)
POWERS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
# Taken if nothing better can be told: too few videos to hold any out, or differences within their error.
UNJUDGED = (3.0, 2.0)
FOLDS = 5
# Videos that the choice looks at; of more, a part that the seed decides.
MOST_JUDGED = 2_000


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
        config: `ridge` and `power`; each that is None is chosen by cross-fitting: clusters of videos are dealt into
            folds, the maps are fitted to all folds but one, and that one is judged.
        seed: of clusters and folds.
        device: where covariances are gathered.
        advance: called with (videos read, videos in all).

    Returns:
        What was tried: first what the model has now, then by falling AUC.

    Source:
        Hotelling, Biometrika 28, 1936; Vinod, Journal of Econometrics 4, 1976. The weights are this project's.
    """
    total = len(videos)
    judged = np.sort(np.random.Generator(np.random.Philox(key=seed)).permutation(total)[:MOST_JUDGED])
    folds, clusters = _held_out(reader, videos, judged, seed)
    parts = [_moments(model, device) for _ in range(FOLDS + 1)]
    for start, voice, face in video_means(reader, videos):
        # Videos that are not judged by are in every fold's training part.
        rows = np.arange(start, start + len(voice))
        place = np.full(len(rows), FOLDS)
        at = np.searchsorted(judged, rows)
        inside = (at < len(judged)) & (judged[np.minimum(at, len(judged) - 1)] == rows)
        place[inside] = folds[at[inside]]
        for fold in np.unique(place):
            parts[fold].add(voice[place == fold].to(device), face[place == fold].to(device))
        advance(min(total, start + len(voice)), total)
    tried = _try(parts, reader, videos.select(judged), folds, clusters, config, model.model_config.dim)
    whole = _moments(model, device)
    for part in parts:
        whole.merge(part)
    best = tried[0]
    _set(model, canonical_maps(whole, best.ridge, config.rank), best.power)
    return tried


def _held_out(reader: Reader, videos: Videos, judged: IntArray, seed: int) -> tuple[IntArray, IntArray]:
    """Fold and cluster of each video that is judged."""
    vectors = joint_vectors(reader, videos.select(judged))
    clusters = cluster_videos(vectors, seed)
    return fold_clusters(vectors, clusters, FOLDS, seed), clusters


def _moments(model: TwoTower, device: torch.device) -> Moments:
    assert model.widths is not None, "towers of vectors have widths"
    return Moments(model.widths["voice"], model.widths["face"], device)


def _try(
    parts: list[Moments],
    reader: Reader,
    videos: Videos,
    folds: IntArray,
    clusters: IntArray,
    config: CcaConfig,
    dim: int,
) -> list[Tried]:
    """Judge every strength that the settings leave open."""
    ridges = RIDGES if config.ridge is None else (config.ridge,)
    powers = POWERS if config.power is None else (config.power,)
    found: dict[tuple[float, float], list[tuple[Judgement, int]]] = {}
    for fold in range(FOLDS):
        held = np.flatnonzero(folds == fold)
        others = _moments_like(parts[0])
        for number, part in enumerate(parts):
            if number != fold:
                others.merge(part)
        if len(held) < 2 or others.count < 2:
            continue
        # As at a test: one clip and one picture of each video.
        voice = rows_of(reader, "voice", np.array([videos.voices[i][0] for i in held])).double()
        face = rows_of(reader, "face", np.array([videos.faces[i][0] for i in held])).double()
        for ridge in ridges:
            maps = canonical_maps(others, ridge, config.rank)
            for power in powers:
                a, b = _mapped(maps, power, voice, face)
                if (judgement := judge(a, b, clusters[held])) is not None:
                    found.setdefault((ridge, power), []).append((judgement, len(held)))
    if not found:
        ridge, power = config.ridge or UNJUDGED[0], config.power or UNJUDGED[1]
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
