"""How well weights find the deviating videos of the embedded world, and what they do for verification.

    python benchmarks/recalibration.py --out DIR [--shares 0.1 0.2 0.4] [--seeds 2] [--set KEY=VALUE ...]

Worlds like `demo` in which the voice of a given share of the training videos is another person's. CMPC is trained
with each rule of `method.recalibration`. Printed are, for the bank and the clusters of the last checkpoint, the AUROC
with which a measure ranks honest training videos above deviating ones, and the verification AUC on unseen identities.
Stopped, the same command goes on. The truth about the videos is read after training, for the AUROC alone.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.mixture import GaussianMixture

from lowshot.clustering import Clusters
from lowshot.config import Config, build_config, parse_set, read_preset
from lowshot.data.dataset import Dataset
from lowshot.data.pairs import videos_of
from lowshot.data.readers.media import MediaReader
from lowshot.evaluation.evaluate import EvaluationResult
from lowshot.evaluation.paired import paired_difference
from lowshot.evaluation.protocols.verification import Verification
from lowshot.evaluation.run import labels_of, score_model
from lowshot.evaluation.trial_set import build_trial_set
from lowshot.experiments.parallel_pretraining import pretrain_all
from lowshot.losses.agreement import neighbour_agreement
from lowshot.losses.recalibration import deviation, recalibration_weights
from lowshot.metrics.verification import auc
from lowshot.models.weights import read_model
from lowshot.runs import is_finished
from lowshot.schema import CHECKPOINT, MODEL
from lowshot.synthetic.render import render_world
from lowshot.synthetic.world import SIZES
from lowshot.training.checkpoint import load_checkpoint

RULES = ("none", "paper", "cluster-neighbours")
STRATUM = "verification-unseen-unheard-U"


def measures(run: Path, batch: int) -> dict[str, np.ndarray]:
    """What each candidate says of every training video at the end of a run; high for honest ones."""
    state = load_checkpoint(run / CHECKPOINT)["method"]
    voice, face = state["voice_bank"]["vectors"], state["face_bank"]["vectors"]
    voices, faces = Clusters(**state["voice_clusters"]), Clusters(**state["face_clusters"])
    rho = deviation(voice, face, voices.prototypes, faces.prototypes, voices.assignments, faces.assignments)
    order = torch.randperm(len(rho), generator=torch.Generator().manual_seed(0))
    paper = torch.empty_like(rho)
    for rows in order.split(batch):
        paper[rows] = recalibration_weights(rho[rows])
    neighbours = torch.stack(
        [
            neighbour_agreement(voice, face, *clusters)
            for clusters in zip(voices.assignments, faces.assignments, strict=True)
        ]
    )
    cosine = (voice * face).sum(dim=1)
    return {
        "the paper's w, by the batch's statistics": paper.numpy(),
        "the same, by the data set's": recalibration_weights(rho).numpy(),
        "posterior of a two-component mixture of rho": posterior(rho.numpy()),
        "the pair's cosine alone": cosine.numpy(),
        "posterior of a mixture of the cosine": posterior(cosine.numpy()),
        "cluster neighbours, coarsest clusters": neighbours[0].nan_to_num().numpy(),
        "cluster neighbours, finest clusters": neighbours[-1].nan_to_num().numpy(),
        "cluster neighbours, all granularities": neighbours.nanmean(dim=0).nan_to_num().numpy(),
    }


def posterior(values: np.ndarray) -> np.ndarray:
    """Probability of the upper of two Gaussian components."""
    start = np.quantile(values, [0.1, 0.5])[:, None]
    mixture = GaussianMixture(2, means_init=start, random_state=0).fit(values[:, None])
    return mixture.predict_proba(values[:, None])[:, mixture.means_.ravel().argmax()]


def deviates(dataset: Dataset) -> np.ndarray:
    """Which training videos deviate, in the order of the memory bank."""
    truth = pd.read_csv(dataset.root / "truth.csv").set_index("video")["deviates"]
    return truth.loc[videos_of(dataset, "train").names].to_numpy(dtype=bool)


def world(folder: Path, share: float) -> Dataset:
    """The demo's people with another share of deviating training videos."""
    root = folder / f"world-{share:g}"
    if not (root / "manifest.csv").is_file():
        render_world(replace(SIZES["demo"], deviating_share=share), root)
    return Dataset.open(str(root))


def evaluate(run: Path, reader: MediaReader, config: Config) -> EvaluationResult:
    """Verification of a run's model on the test split."""
    trials = build_trial_set(reader.dataset, protocols=["verification"], strata=["U"], replicates=1000)
    return score_model(trials, read_model(run / MODEL)[0], reader, labels_of(run.name, {}))


def main() -> None:
    """Train what is not trained yet, then print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where worlds and runs are kept")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2, 0.4], help="of deviating videos")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings, as for `lowshot pretrain`")
    options = parser.parse_args()
    sets = [parse_set(item) for item in options.set]
    for share in options.shares:
        dataset = world(options.out, share)
        config = build_config([read_preset("demo"), {"data": str(dataset.root)}, *sets])
        reader = MediaReader(dataset, config.voice, config.face)
        runs: dict[str, list[Path]] = {rule: [] for rule in RULES}
        jobs = []
        for seed in range(options.seeds):
            for rule in RULES:
                run = options.out / f"share{share:g}-{rule}-seed{seed}"
                runs[rule].append(run)
                seeded = build_config(
                    [config.model_dump(mode="json"), {"seed": seed, "method": {"name": "cmpc", "recalibration": rule}}]
                )
                if not is_finished(run):
                    jobs.append((seeded, run, "auto"))
        for start in range(0, len(jobs), 2):
            pretrain_all(jobs[start : start + 2], reader)
        odd = deviates(dataset)
        print(f"\n{100 * odd.mean():.0f} % of {len(odd)} training videos deviate, {options.seeds} seeds")
        print("AUROC of                                      " + "  ".join(f"{rule:>6}" for rule in RULES))
        found = {rule: [measures(run, config.train.batch_size) for run in runs[rule]] for rule in RULES}
        for name in found["paper"][0]:
            means = [np.mean([auc(one[name], ~odd) for one in found[rule]]) for rule in RULES]
            print(f"  {name:44}" + "  ".join(f"{value:6.3f}" for value in means))
        results = {rule: [evaluate(run, reader, config) for run in runs[rule]] for rule in RULES}
        tables = {rule: [result.scores[STRATUM] for result in results[rule]] for rule in RULES}
        for rule in RULES:
            value = np.mean([auc(table["score"].to_numpy(), table["label"].to_numpy()) for table in tables[rule]])
            gain = paired_difference(Verification(), Verification.compared[0], tables[rule], tables["paper"], 1000, 0)
            versus = f"{100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
            print(f"  verification AUC % with {rule:6} {100 * value:.1f}   minus paper {versus}", flush=True)


if __name__ == "__main__":
    main()
