"""Made trees of empty files: an importer opens none."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from click.testing import CliRunner, Result

from lowshot.cli import app
from lowshot.data.manifest import read_manifest

VOX1_META = (
    "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
    "id10001\tAnn_A\tf\tIreland\tdev\nid10002\tBob_B\tm\tIndia\tdev\nid10003\tCem_C\tm\tUSA\ttest\n"
)
SPLITS = "Ann_A 1 \nBob_B 2 \nCem_C 4 \n"


def grow(root: Path, names: Iterable[str]) -> Path:
    """Empty files below a folder."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def run(*words: object) -> Result:
    """`lowshot data import ...`, in this process."""
    return CliRunner().invoke(app, ["data", "import", *map(str, words)])


def imported(*words: object, out: Path) -> pd.DataFrame:
    """The manifest that an import writes."""
    result = run(*words, "--out", out)
    assert result.exit_code == 0, result.output + str(result.exception)
    return read_manifest(out)


def skipped(out: Path) -> dict[str, str]:
    """What an import left out: the reason by path."""
    table = pd.read_csv(out.with_name(out.name + ".skipped.csv"), dtype=str)
    return dict(zip(table["path"], table["reason"], strict=True))
