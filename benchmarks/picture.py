"""Draw the picture of README.md from docs/data/demo-auc.csv.

python benchmarks/picture.py
"""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from lowshot.reporting import style

ROOT = Path(__file__).parents[1]
PLACES = {0.0: 0, 0.01: 1, 0.1: 2}
TICKS = ["no labels", "2 people labelled (1 %)", "15 people labelled (10 %)"]
# In the order from top to bottom; the last number moves a name off its neighbour's.
LINES = {
    "cmpc-neighbours": ("CMPC, weights by cluster neighbours", style.LOOKS["robust-xid"], 0.9),
    "cmpc": ("CMPC, as in the paper", style.LOOKS["cmpc"], 0.4),
    "cid": ("CID, instance-wise contrast", style.LOOKS["cid"], -0.8),
    "scratch": ("labelled people only (scratch)", style.LOOKS["scratch"], -0.3),
}


def main() -> None:
    table = pd.read_csv(ROOT / "docs" / "data" / "demo-auc.csv").set_index("method")
    with mpl.rc_context(style.rc()):
        figure = Figure(figsize=(7.6, 3.5), layout="constrained")
        axes = figure.add_subplot()
        for lane, (method, (name, look, lift)) in enumerate(LINES.items()):
            rows = table.loc[method]
            x = rows["fraction"].map(PLACES) + 0.04 * (lane - 1.5)
            axes.vlines(x, 100 * rows["ci_low"], 100 * rows["ci_high"], color=look.light, linewidth=1.4)
            axes.plot(x, 100 * rows["auc"], color=look.light, marker=look.marker, markersize=7, linewidth=2)
            end = 100 * rows["auc"].iloc[-1] + lift
            axes.text(2.12, end, name, color=look.light, va="center", fontsize=9.5)
        for name, words, ink in (
            ("oracle", "upper bound (oracle)", style.ORACLE_INK[0]),
            ("chance", "chance", style.CHANCE_INK[0]),
        ):
            level = 100 * table.loc[name, "auc"]
            axes.axhline(level, color=ink, linewidth=1.3, linestyle="--" if name == "oracle" else "-")
            axes.text(2.12, level + 1.4, f"{words}, {level:.0f} %", color=ink, va="center", fontsize=9.5)
        axes.set_xticks(list(PLACES.values()), TICKS)
        axes.set(xlim=(-0.2, 3.45), ylim=(48, 95), ylabel="verification AUC (%)")
        axes.grid(visible=False, axis="x")
        figure.suptitle("Do this voice and this face belong together?", x=0.01, horizontalalignment="left")
        figure.savefig(ROOT / "docs" / "images" / "few-labels.png", dpi=160)


if __name__ == "__main__":
    main()
