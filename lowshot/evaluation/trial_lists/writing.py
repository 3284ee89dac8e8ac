"""Built lists on disk: one file per population, direction and stratum, and the recipe that makes them again."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from lowshot import __version__
from lowshot.evaluation.trial_files import write_matching, write_retrieval, write_verification
from lowshot.evaluation.trial_set import TrialSet
from lowshot.files import write_text
from lowshot.schema import RECIPE


def write_lists(
    out: Path, trials: TrialSet, *, split: str, strata: Sequence[str], exclude_same_video: bool
) -> list[Path]:
    """Write the lists of a trial set as CSV, and `recipe.json` beside them.

    The recipe says from which data, by which rules and with which seed the lists were drawn, what each holds, and the
    hash of each file. Equal requests write equal bytes.

    Args:
        out: the directory.
        trials: as `build_trial_set` gives them.
        split, strata, exclude_same_video: what was asked for.

    Returns:
        The files written, the recipe last.
    """
    held: dict[str, dict[str, int]] = {}
    for seen in dict.fromkeys(part.seen for part in trials.verification):
        parts = [part for part in trials.verification if part.seen == seen]
        name = f"verification-{seen}.csv"
        write_verification(out / name, parts, trials.dataset)
        held[name] = {
            "trials": sum(len(part) for part in parts),
            "same_video_positives": sum(part.same_video for part in parts),
            "unmatched": sum(part.unmatched for part in parts),
        }
    for part in trials.matching:
        stratum = "" if part.stratum == "U" else f"-{part.stratum}"
        name = f"matching-{part.seen}-{part.direction}{stratum}.csv"
        write_matching(out / name, part, trials.dataset)
        held[name] = {"trials": len(part), "same_video_positives": part.same_video, "unmatched": part.unmatched}
    if trials.retrieval is not None:
        name = f"retrieval-{trials.retrieval.seen}.csv"
        write_retrieval(out / name, trials.retrieval, trials.dataset)
        held[name] = {"voices": len(trials.retrieval.voices), "faces": len(trials.retrieval.faces)}
    protocols = (trials.verification_protocol, trials.matching_protocol, trials.retrieval_protocol)
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
        "protocols": {protocol.name: protocol.model_dump(mode="json") for protocol in protocols},
    }
    write_text(out / RECIPE, json.dumps(recipe, indent=2) + "\n")
    return [*(out / name for name in held), out / RECIPE]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
