"""Three settings of every method on equal terms, judged by the validation AUC at the end of training.

    python benchmarks/tuning.py --out DIR [--preset demo] [--methods NAME ...] [--seeds 1] [--set KEY=VALUE ...]

The settings of a method are its default and changes of what its authors name as decisive, or of what it shares with
the others (the temperature). All runs have the same data, towers, budget and schedule, and none reads the test split.
Stopped, the same command goes on. Prints a Markdown table; docs/fidelity.md records it.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from lowshot.config import Config, build_config, parse_set, read_preset
from lowshot.data.readers.media import MediaReader
from lowshot.experiments.parallel_pretraining import pretrain_all
from lowshot.runs import is_finished, safe_name
from lowshot.workflows.datasets import open_dataset

TRIALS: dict[str, tuple[str, ...]] = {
    "cid": ("temperature=0.03", "temperature=0.07", "temperature=0.15"),
    "cmpc": ("temperature=0.03", "temperature=0.07", "temperature=0.15"),
    "cmpc-released": ("temperature=0.03", "temperature=0.07", "temperature=0.15"),
    "avid": ("temperature=0.07", "temperature=0.15", "warmup_share=0.3"),
    "robust-xid": ("temperature=0.07", "temperature=0.15", "warmup_share=0.3"),
    "pins": ("margin=0.6", "margin=1.0", "margin=1.4"),
    "barlow": ("projector=[512,512,512]", "projector=[512,512,512]:redundancy_weight=0.02", "projector=[]"),
    "siglip": ("initial_scale=10", "initial_scale=20", "initial_scale=30"),
    "self-lifting": ("warmup_share=0.09", "warmup_share=0.09:base=0.5", "warmup_share=0.3"),
}


def trial(base: Config, method: str, setting: str, seed: int) -> Config:
    """The settings of one run."""
    named = {"method": {"name": method}, "seed": seed}
    changes = [parse_set(f"method.{change}") for change in setting.split(":")]
    return build_config([base.model_dump(mode="json", exclude={"method"}), named, *changes])


def final_auc(run: Path) -> float:
    """Validation AUC after the last step."""
    return float(pd.read_csv(run / "metrics.csv")["val_auc"].dropna().iloc[-1])


def main() -> None:
    """Train what is not trained yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--methods", nargs="+", default=list(TRIALS), choices=list(TRIALS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    base = build_config([read_preset(options.preset), *(parse_set(item) for item in options.set)])
    reader = MediaReader(open_dataset(base.data), base.voice, base.face)
    runs: dict[tuple[str, str], list[Path]] = {}
    jobs = []
    for method in options.methods:
        for setting in TRIALS[method]:
            for seed in range(options.seeds):
                run = options.out / safe_name(f"{method}-{setting}-seed{seed}")
                runs.setdefault((method, setting), []).append(run)
                if not is_finished(run):
                    jobs.append((trial(base, method, setting, seed), run, "auto"))
    for start in range(0, len(jobs), 2):
        pretrain_all(jobs[start : start + 2], reader)
    print("| method | setting | validation AUC % |\n|---|---|---|")
    for (method, setting), found in runs.items():
        print(f"| `{method}` | `{setting}` | {100 * np.mean([final_auc(run) for run in found]):.1f} |")


if __name__ == "__main__":
    main()
