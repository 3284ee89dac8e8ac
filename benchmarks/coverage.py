"""How often 95 % intervals hold the truth: simulated studies of known figures, scored as `evaluate` scores them.

    python benchmarks/coverage.py [--studies 500] [--identities 100] [--videos 3] [--replicates 1000] [--world even]

Each study draws new identities and new trials. The score of a voice and a face is an effect of the voice's identity,
one of the face's identity, noise of the pair, and a gain where both are one person's: all Gaussian, so that the figures
of verification and matching are known in closed form. Those of retrieval are taken to be their mean over the studies.

Two columns of coverage: of the figure of infinitely many people, and of the mean over lists of this size. They differ
where a figure is biased on short lists, such as a cost minimised over the very trials that it is counted on; no
interval can mend that. The last lines hold two models of equal quality against each other: a p-value of 0.05 or less
should come up in 5 % of the studies.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from lowshot.evaluation.paired import paired_difference
from lowshot.evaluation.protocols.matching import Matching
from lowshot.evaluation.protocols.retrieval import Retrieval
from lowshot.evaluation.protocols.verification import Verification
from lowshot.evaluation.results import Figure
from lowshot.metrics.retrieval import average_precision, recall_at_k

Scores = npt.NDArray[np.float64]
SIZES = (2, 5, 10)
VERIFICATION, MATCHING, RETRIEVAL = Verification(), Matching().using(gallery_sizes=SIZES), Retrieval()


class World(NamedTuple):
    """Standard deviations of the effects of a voice's and a face's identity and of a pair; the gain of a match."""

    voice: float
    face: float
    pair: float
    gain: float


WORLDS = {
    "even": World(0.5, 0.5, 1.0, 1.0),
    "lopsided": World(0.3, 1.0, 0.5, 2.0),
    "pairs": World(0.0, 0.0, 1.0, 1.0),
}


class Study(NamedTuple):
    """One study: identities of the rows, which are voices and faces alike, the drawn trials, and a matrix of scores."""

    identity: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    impostors: npt.NDArray[np.int64]
    scores: Scores


def draw(world: World, identities: int, videos: int, seed: int, models: int = 1) -> list[Study]:
    """New identities, `videos` voices and faces of each, new trials; models share half the variance of all effects."""
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(identities), videos)
    rows = len(identity)
    # A positive of another video; impostors of different other identities.
    target = identity * videos + (np.arange(rows) % videos + rng.integers(1, videos, rows)) % videos
    steps = np.argsort(rng.random((rows, identities - 1)), axis=1)[:, : max(SIZES) - 1]
    others = (identity[:, None] + 1 + steps) % identities
    impostors = others * videos + rng.integers(0, videos, others.shape)
    gain = world.gain * (identity[:, None] == identity)
    common = _effects(world, identity, rng)
    return [
        Study(identity, target, impostors, gain + np.sqrt(0.5) * (common + _effects(world, identity, rng)))
        for _ in range(models)
    ]


def _effects(world: World, identity: npt.NDArray[np.int64], rng: np.random.Generator) -> Scores:
    people, rows = identity.max() + 1, len(identity)
    voice = world.voice * rng.standard_normal(people)[identity]
    face = world.face * rng.standard_normal(people)[identity]
    return voice[:, None] + face + world.pair * rng.standard_normal((rows, rows))


def truth(world: World) -> dict[str, float]:
    """Figures of infinitely many people."""
    protocol = VERIFICATION.definition
    gap = world.gain / np.sqrt(world.voice**2 + world.face**2 + world.pair**2)
    x, step = np.linspace(-10.0, 10.0 + gap, 40001, retstep=True)
    # Two normal distributions of one spread: the log-likelihood ratio rises along a straight line with the score.
    ratio = gap * x - gap**2 / 2
    costs = norm.pdf(x, gap) * np.logaddexp(0, -ratio) + norm.pdf(x) * np.logaddexp(0, ratio)
    cllr = float(costs.sum() * step / np.log(4.0))
    point = protocol.min_dcf
    miss, alarm = point.c_miss * point.p_target, point.c_fa * (1 - point.p_target)
    found = {
        "auc": float(norm.cdf(gap / np.sqrt(2))),
        "eer": float(norm.cdf(-gap / 2)),
        "min_dcf": float(np.min(miss * norm.cdf(x, gap) + alarm * norm.sf(x)) / min(miss, alarm)),
        "cllr": cllr,
        "min_cllr": cllr,
    }
    found |= {f"tpr@fpr={rate:g}": float(norm.sf(norm.isf(rate) - gap)) for rate in protocol.tpr_at_fpr}
    # All candidates share the probe's effect: it cancels.
    apart = world.gain / np.sqrt(world.face**2 + world.pair**2)
    for size in SIZES:
        found[f"1:{size}"] = float((norm.pdf(x, apart) * norm.cdf(x) ** (size - 1)).sum() * step)
    return found


def verification_table(study: Study) -> pd.DataFrame:
    """A positive and a negative trial for each voice."""
    voice = np.arange(len(study.identity)).repeat(2)
    face = np.stack([study.target, study.impostors[:, 0]], axis=1).ravel()
    return pd.DataFrame(
        {
            "voice": voice,
            "face": face,
            "voice_identity": study.identity[voice].astype(str),
            "face_identity": study.identity[face].astype(str),
            "label": np.tile([1, 0], len(study.identity)),
            "score": study.scores[voice, face],
        }
    )


def matching_table(study: Study) -> pd.DataFrame:
    """A trial for each voice."""
    rows = np.arange(len(study.identity))
    table = {
        "direction": "voice_to_face",
        "probe": rows,
        "identity": study.identity.astype(str),
        "target": study.target,
        **{f"candidate_{k + 1}": column for k, column in enumerate(study.impostors.T)},
        "score": study.scores[rows, study.target],
        **{f"score_{k + 1}": study.scores[rows, column] for k, column in enumerate(study.impostors.T)},
    }
    return pd.DataFrame(table)


def retrieval_table(study: Study) -> pd.DataFrame:
    """Every voice against every face of other videos."""
    rows = len(study.identity)
    other = ~np.eye(rows, dtype=bool)
    scores = study.scores[other].reshape(rows, rows - 1)
    relevant = (study.identity[:, None] == study.identity)[other].reshape(rows, rows - 1)
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "query": np.arange(rows),
            "identity": study.identity.astype(str),
            "n_ranked": rows - 1,
            "n_relevant": relevant.sum(axis=1),
            "average_precision": average_precision(scores, relevant),
            **{f"recall@{k}": recall_at_k(scores, relevant, k) for k in RETRIEVAL.definition.recall_at},
            "first_rank": 1.0 + (scores > best).sum(axis=1),
            "tied": 0,
        }
    )


def measure(study: Study, replicates: int, seed: int) -> Iterator[tuple[str, Figure]]:
    """All figures of a study, with their intervals."""
    for figure in VERIFICATION.figures(verification_table(study), replicates, seed):
        yield figure.metric, figure
    for figure in MATCHING.figures(matching_table(study), replicates, seed):
        yield f"1:{figure.gallery_size}", figure
    for figure in RETRIEVAL.figures(retrieval_table(study), replicates, seed):
        yield figure.metric, figure


def coverage(world: World, studies: int, identities: int, videos: int, replicates: int) -> None:
    """Print how often the intervals hold the truth."""
    known = truth(world)
    found: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(studies):
        (study,) = draw(world, identities, videos, seed)
        for name, figure in measure(study, replicates, seed):
            if figure.interval is not None:
                found.setdefault(name, []).append((figure.value, figure.interval.low, figure.interval.high))
    print(f"{'figure':14} {'truth':>8} {'mean':>8} {'spread':>8} {'width/3.92':>10} {'of truth':>9} {'of mean':>9}")
    for name, rows in found.items():
        value, low, high = np.array(rows).T
        mean, width = value.mean(), (high - low).mean()
        shares = [100 * np.mean((low <= at) & (at <= high)) for at in (known.get(name, np.nan), mean)]
        first = f"{known[name]:8.4f}" if name in known else f"{'':8}"
        held = f"{shares[0]:7.1f} %" if name in known else f"{'':9}"
        # A normal interval of 95 % is 3.92 standard deviations wide.
        print(f"{name:14} {first} {mean:8.4f} {value.std():8.4f} {width / 3.92:10.4f} {held} {shares[1]:7.1f} %")


def false_claims(world: World, studies: int, identities: int, videos: int, replicates: int) -> None:
    """Print how often two models of equal quality are told apart."""
    found: dict[str, list[float]] = {}
    for seed in range(studies):
        pair = draw(world, identities, videos, seed, models=2)
        for name, protocol, table in (
            ("auc", VERIFICATION, verification_table),
            ("1:2", MATCHING, matching_table),
            ("map", RETRIEVAL, retrieval_table),
        ):
            a, b = ([table(study)] for study in pair)
            difference = paired_difference(protocol, protocol.compared[0], a, b, replicates, seed)
            found.setdefault(name, []).append(difference.p_value)
    for name, values in found.items():
        print(f"difference of two equal models, {name}: p <= 0.05 in {100 * np.mean(np.array(values) <= 0.05):.1f} %")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--identities", type=int, default=100)
    parser.add_argument("--videos", type=int, default=3, help="of each identity, at least 2")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--world", choices=WORLDS, action="append", help="may be repeated; all when not given")
    options = parser.parse_args()
    sizes = (options.studies, options.identities, options.videos, options.replicates)
    for name in options.world or WORLDS:
        print(f"\n{name}: {WORLDS[name]}; {sizes[0]} studies of {sizes[1]} identities, {sizes[2]} videos each")
        coverage(WORLDS[name], *sizes)
        false_claims(WORLDS[name], *sizes)


if __name__ == "__main__":
    main()
