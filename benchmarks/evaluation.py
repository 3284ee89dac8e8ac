"""How fast lists of the field's size are scored, and in how much memory.

    python benchmarks/evaluation.py retrieval [--items 20000] [--rows 200]
    python benchmarks/evaluation.py lists [--scale 1]

`retrieval` ranks as many voices as faces in both directions, exactly, with average precision, recall at 1, 5 and 10 and
the rank of the first hit. Beside it stands the naive way: a truth matrix filled by a double loop, scikit-learn's
`average_precision_score` row by row, and recall from each row sorted. Of that, `--rows` queries of each direction are
measured and scaled to all of them; with `--rows 0` it is run in full. The average precision of the measured queries is
compared too.

`lists` scores five verification lists of 30,000 trials, eight 1:N lists of 10,000 probes with nine impostors each, and
a retrieval of 20,000 by 20,000, with 1,000 resamples of each figure, from embeddings of as many media as the lists of
VoxCeleb1 name. `--scale` shrinks all of it.

Embeddings are those of an identity, with noise. Memory is the peak of the whole process so far, libraries and data
included.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from lowshot.data.dataset import Dataset
from lowshot.data.features import write_blocks
from lowshot.evaluation.evaluate import score
from lowshot.evaluation.protocols.matching import Matching, MatchingTrials
from lowshot.evaluation.protocols.retrieval import Retrieval, find_queries
from lowshot.evaluation.protocols.verification import Verification, VerificationTrials
from lowshot.evaluation.ranking import Side, rank
from lowshot.evaluation.results import write_results, write_scores
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_set import Part, TrialSet
from lowshot.metrics.streaming_ranking import average_precision, first_rank, recall_at_k
from lowshot.schema import FEATURES

WIDTH = 512
DIRECTIONS = ("voice_to_face", "face_to_voice")
NOISE = 4.0
BLOCK = 4096


def peak() -> float:
    """Largest memory of this process so far, GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


@contextmanager
def timed(times: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds that the block takes to `times`."""
    start = time.perf_counter()
    yield
    times[name] = times.get(name, 0.0) + time.perf_counter() - start


def vectors(identity: np.ndarray, modality: str) -> Iterator[np.ndarray]:
    """Embeddings of some identities, block by block: what both modalities share, and noise."""
    shared = np.random.default_rng(0).standard_normal((identity.max() + 1, WIDTH), dtype=np.float32)
    rng = np.random.default_rng(1 if modality == "voice" else 2)
    for start in range(0, len(identity), BLOCK):
        part = identity[start : start + BLOCK]
        yield shared[part] + NOISE * rng.standard_normal((len(part), WIDTH), dtype=np.float32)


def retrieval(items: int, rows: int) -> None:
    """Both directions of a retrieval, and the naive way."""
    people = max(2, items // 80)
    identity = {m: np.random.default_rng(k).integers(0, people, items) for k, m in enumerate(("voice", "face"))}
    embeddings = {m: np.concatenate(list(vectors(identity[m], m))) for m in identity}
    times: dict[str, float] = {}
    found: dict[str, np.ndarray] = {}
    with timed(times, "ours"):
        scorer = EmbeddingScorer(embeddings["voice"], embeddings["face"])
        # No video has both a voice and a face: the naive way knows nothing of videos to leave out.
        video = {m: np.arange(items) + k * items for k, m in enumerate(identity)}
        sides = {m: Side.of(np.arange(items), identity[m], video[m]) for m in identity}
        for direction, lines, ranking in rank(scorer, sides["voice"], sides["face"], DIRECTIONS):
            queries = sides[direction.split("_")[0]].rows[lines]
            precision = np.full(items, np.nan)
            precision[queries] = average_precision(ranking)
            found[direction] = precision
            recall = [recall_at_k(ranking, k).mean() for k in (1, 5, 10)]
            print(
                f"{direction}: {len(lines)} queries, mAP {np.nanmean(precision):.4f}, recall@1|5|10 "
                f"{recall[0]:.4f} {recall[1]:.4f} {recall[2]:.4f}, median rank {np.median(first_rank(ranking)):g}"
            )
    memory = peak()
    measured = min(rows, items) if rows else items
    furthest = naive(scorer, embeddings, identity, measured, found, times)
    share = measured / items
    loop, by_row, product, by_sort = (times[name] / share for name in ("loop", "rows", "scores", "recall"))
    precision_alone = loop + by_row + product
    print(f"\n{items} x {items} x {WIDTH}, both directions")
    print(f"ours                                      {times['ours']:8.1f} s, peak memory {memory:.2f} GiB")
    said = "in full" if measured == items else f"scaled from {measured} queries of each direction"
    print(f"the naive way, {said}: {precision_alone + by_sort:8.1f} s")
    print(
        f"  truth by loop {loop:.1f} s, average_precision_score by row {by_row:.1f} s, scores {product:.1f} s, "
        f"recall by sorting rows {by_sort:.1f} s"
    )
    print(f"largest difference in average precision {furthest:.1e}")
    ratio, without = ((precision_alone + extra) / times["ours"] for extra in (by_sort, 0.0))
    print(f"ratio {ratio:.1f}, without the naive recall {without:.1f}")


def naive(
    scorer: EmbeddingScorer,
    embeddings: dict[str, np.ndarray],
    identity: dict[str, np.ndarray],
    measured: int,
    found: dict[str, np.ndarray],
    times: dict[str, float],
) -> float:
    """Truth by loop and average precision by row, of the first `measured` queries of each direction.

    Returns:
        The largest difference from the average precision found.
    """
    furthest = 0.0
    for direction in DIRECTIONS:
        query, gallery = direction.split("_to_")
        with timed(times, "scores"):
            unit = {m: e / np.linalg.norm(e, axis=1, keepdims=True) for m, e in embeddings.items()}
        # That is done once, whatever share of the queries is measured.
        times["scores"] *= measured / len(identity[query])
        with timed(times, "scores"):
            unit[query][:measured] @ unit[gallery].T
        # For figures that can be compared to the last digit, these are not used: float32 sums differ in theirs.
        lines = {query: np.arange(measured), gallery: np.arange(len(identity[gallery]))}
        scores = scorer.matrix(lines["voice"], lines["face"])
        ours = scores if query == "voice" else scores.T
        asked, listed = identity[query][:measured].tolist(), identity[gallery].tolist()
        truth = np.zeros((measured, len(listed)))
        with timed(times, "loop"):
            for i in range(measured):
                for j in range(len(listed)):
                    if asked[i] == listed[j]:
                        truth[i, j] = 1
        with timed(times, "rows"):
            precision = [average_precision_score(truth[i], ours[i]) for i in range(measured)]
        with timed(times, "recall"):
            for i in range(measured):
                best = truth[i, np.argsort(-ours[i])[:10]]
                _ = [best[:k].any() for k in (1, 5, 10)]
        furthest = max(furthest, float(np.nanmax(np.abs(np.array(precision) - found[direction][:measured]))))
    return furthest


def lists(scale: float) -> None:
    """Lists of VoxCeleb1's size, from embeddings on the disk to results on the disk."""
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with timed(times, "make embeddings"):
            write_world(root / "data", int(30_500 * scale), int(162_170 * scale), max(20, int(250 * scale)))
        with timed(times, "open"):
            dataset = Dataset.open(root / "data")
            features = dataset.features
        with timed(times, "make lists"):
            trials = make_lists(dataset, scale)
        with timed(times, "score"):
            scorer = EmbeddingScorer(features["voice"], features["face"])
            result = score(trials, scorer, {"method": "noise"})
        with timed(times, "write"):
            write_results(root / "results.csv", result.rows)
            write_scores(root / "scores", result.scores)
    n_lists = sum(len(part.lists) for part in trials.parts)
    print(f"{n_lists} lists, {len(result.rows)} figures, {trials.replicates} resamples each")
    shown = result.rows[result.rows["metric"].isin(("auc", "map")) & (result.rows["group"] == "")]
    print(shown[["stratum", "direction", "metric", "value", "ci_low", "ci_high"]].to_string(index=False))
    print(", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items()))
    total = times["open"] + times["score"] + times["write"]
    print(f"from embeddings to results {total:.1f} s, peak memory {peak():.2f} GiB")


def write_world(root: Path, voices: int, faces: int, people: int) -> None:
    """Write a dataset of embeddings: identities with a gender, six voices to a video."""
    rng = np.random.default_rng(3)
    tables, tensors = [], {}
    for modality, count in (("voice", voices), ("face", faces)):
        identity = np.sort(rng.integers(0, people, count))
        video = rng.integers(0, max(1, voices // (6 * people)), count)
        names = [f"id{k:05d}" for k in identity]
        tables.append(
            pd.DataFrame(
                {
                    "path": [f"{modality}/{k}" for k in range(count)],
                    "modality": modality,
                    "video": [f"{name}-{k}" for name, k in zip(names, video, strict=True)],
                    "identity": names,
                    "split": "test",
                    "gender": np.array(["f", "m"])[identity % 2],
                }
            )
        )
        tensors[modality] = vectors(identity, modality)
    root.mkdir()
    pd.concat(tables).to_csv(root / "manifest.csv", index=False)
    write_blocks(root / FEATURES, tensors, {})


def make_lists(dataset: Dataset, scale: float) -> TrialSet:
    """Five lists of pairs, eight of galleries and one retrieval."""
    rng = np.random.default_rng(4)
    identity = {m: pd.factorize(dataset.rows(m)["identity"], sort=True)[0] for m in ("voice", "face")}
    of_identity = {m: np.searchsorted(codes, np.arange(codes.max() + 2)) for m, codes in identity.items()}

    def rows_of(modality: str, people: np.ndarray) -> np.ndarray:
        """A row of each of some identities."""
        start, stop = of_identity[modality][people], of_identity[modality][people + 1]
        return start + (rng.random(people.shape) * (stop - start)).astype(np.int64)

    def others(people: np.ndarray, count: int) -> np.ndarray:
        """Identities that are none of these and differ among themselves: [T, count]."""
        everyone = int(identity["voice"].max()) + 1
        shift = np.argsort(rng.random((len(people), everyone - 1)), axis=1)[:, :count] + 1
        return (people[:, None] + shift) % everyone

    verification = []
    for stratum in ("U", "G", "N", "A", "GNA"):
        voice = rng.choice(len(identity["voice"]), int(15_000 * scale), replace=False)
        speaker = identity["voice"][voice]
        face = np.concatenate([rows_of("face", speaker), rows_of("face", others(speaker, 1)[:, 0])])
        label = np.arange(2 * len(voice)) < len(voice)
        verification.append(VerificationTrials(np.tile(voice, 2), face, label, stratum, "unseen-unheard"))
    matching = []
    for stratum in ("U", "G", "N", "GN"):
        for direction in DIRECTIONS:
            query, gallery = direction.split("_to_")
            probe = rng.choice(len(identity[query]), int(10_000 * scale), replace=False)
            people = identity[query][probe]
            target, impostors = rows_of(gallery, people), rows_of(gallery, others(people, 9))
            matching.append(MatchingTrials(direction, probe, target, impostors, stratum, "unseen-unheard"))
    sides = [np.sort(rng.choice(len(identity[m]), int(20_000 * scale), replace=False)) for m in ("voice", "face")]
    queries = tuple(find_queries(*sides, "unseen-unheard", direction, dataset) for direction in DIRECTIONS)
    return TrialSet(
        dataset=dataset,
        parts=(
            Part(Verification(), tuple(verification)),
            Part(Matching(), tuple(matching)),
            Part(Retrieval(), queries),
        ),
        seed=0,
        replicates=1000,
        warnings=(),
    )


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    ranked = commands.add_parser("retrieval")
    ranked.add_argument("--items", type=int, default=20_000, help="voices, and as many faces")
    ranked.add_argument("--rows", type=int, default=200, help="queries of each direction for the naive way; 0 for all")
    commands.add_parser("lists").add_argument("--scale", type=float, default=1.0, help="share of the full size")
    options = parser.parse_args()
    if options.command == "retrieval":
        retrieval(options.items, options.rows)
    else:
        lists(options.scale)


if __name__ == "__main__":
    main()
