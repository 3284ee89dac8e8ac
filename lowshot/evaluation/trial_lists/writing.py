"""Write built lists, by population, direction and stratum, and their recipe."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from lowshot import __version__
from lowshot.evaluation.protocols.base import TableProtocol
from lowshot.evaluation.trial_set import TrialSet
from lowshot.files import write_table, write_text
from lowshot.schema import RECIPE


def write_lists(
    out: Path, trials: TrialSet, *, split: str, strata: Sequence[str], exclude_same_video: bool
) -> list[Path]:
    """Write the lists of a trial set as CSV, with `recipe.json`.

    The recipe names data, rules and seed, what each list holds, and the hash of each file. Equal requests write equal
    bytes.

    Args:
        out: the directory.
        trials: as `build_trial_set` gives them.
        split, strata, exclude_same_video: as in `build_trial_set`.

    Returns:
        The files written, the recipe last.
    """
    held: dict[str, dict[str, int]] = {}
    for part in trials.parts:
        if not isinstance(part.protocol, TableProtocol):
            continue
        for name, (table, counts) in part.protocol.list_files(part.lists, trials.dataset).items():
            write_table(out / name, table)
            held[name] = counts
    recipe = {
        "lowshot": __version__,
        "data": trials.dataset.name,
        "data_sha": trials.dataset.sha,
        "split": split,
        "seed": trials.seed,
        "strata": list(strata) or "those that the protocols name",
        "exclude_same_video": exclude_same_video,
        "lists": {name: {**counts, "sha256": _sha256(out / name)} for name, counts in held.items()},
        "warnings": list(trials.warnings),
        "protocols": {part.protocol.name: part.protocol.record() for part in trials.parts},
    }
    write_text(out / RECIPE, json.dumps(recipe, indent=2) + "\n")
    return [*(out / name for name in held), out / RECIPE]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
