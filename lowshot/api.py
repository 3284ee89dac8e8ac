"""The verbs of the command line as functions: the same defaults, the same files, the same errors (docs/api.md).

Progress and warnings go to standard error. What a person got wrong is `lowshot.errors.RequestError`, one line each.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lowshot.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

    from lowshot.adapt.names import Adaptation
    from lowshot.data.dataset import Dataset
    from lowshot.models.match import Matches
    from lowshot.settings import Strategy

PathLike = str | Path
Settings = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        directory: with results.csv, scores, curves, plots and report.html.
        results: the rows of results.csv, fractions in [0, 1]; chance and, on embedded data, the ceiling among them.
    """

    directory: Path
    results: "pd.DataFrame"


def pretrain(
    data: PathLike | None = None,
    *,
    method: str | None = None,
    preset: str | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: PathLike | None = None,
    resume: str = "auto",
) -> Path:
    """Learn a voice-face representation without identity labels.

    Args:
        data: a directory, a manifest, or `synth:tiny|demo|bench`; the preset's, or `synth:demo`, when not given.
        method: `cmpc` unless given; `cid` or another of `lowshot pretrain --help`.
        preset: settings that come with lowshot.
        settings: any others by their names in docs/settings.md, as in `{"train.epochs": 20}`.
        seed: of weights, order and augmentation.
        out: the run directory; the next one in `runs/` when not given.
        resume: `auto` goes on with a stopped run of the same settings, `never` starts anew, a path names the run.

    Returns:
        The run directory: what `model` of the other functions takes.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
        RunError: the training failed.
    """
    from lowshot.cli.options import resolve_config
    from lowshot.cli.pretrain import run_pretraining
    from lowshot.training.distributed import ALONE

    flags = {"data": _text(data), "seed": seed, "method": {"name": method} if method else None}
    return run_pretraining(resolve_config(preset, None, _sets(settings), flags), _path(out), resume, ALONE)


def finetune(
    model: PathLike | None = None,
    *,
    labels: float = 0.1,
    subset: PathLike | None = None,
    subset_seed: int = 0,
    strategy: "Strategy | None" = None,
    data: PathLike | None = None,
    preset: str | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: PathLike | None = None,
) -> Path:
    """Adapt a model with a few labelled identities.

    Learning rate and stopping step are chosen on validation identities.

    Args:
        model: a run directory, a weights file, `pretrained:NAME`, or `scratch`; the newest pretrained run when not
            given.
        labels: share of the training identities that is labelled, in (0, 1].
        subset: a list of what is labelled, instead of `labels` and `subset_seed`.
        subset_seed: which identities.
        strategy: what is trained; `full` unless given.
        data, preset, settings, seed, out: as of `pretrain`; the data are the model's when not given.

    Returns:
        The run directory.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
    """
    flags = {"adapt": {"strategy": strategy} if strategy else None, "data": _text(data), "seed": seed}
    return _adapt("finetune", model, labels, subset, subset_seed, preset, settings, flags, out)


def probe(
    model: PathLike | None = None,
    *,
    labels: float = 0.1,
    subset: PathLike | None = None,
    subset_seed: int = 0,
    data: PathLike | None = None,
    preset: str | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: PathLike | None = None,
) -> Path:
    """Adapt a model with a few labelled identities by one linear map after each frozen tower; see `finetune`."""
    return _adapt(
        "probe", model, labels, subset, subset_seed, preset, settings, {"data": _text(data), "seed": seed}, out
    )


def embed(
    model: PathLike | None = None,
    *,
    out: PathLike,
    data: PathLike | None = None,
    settings: Settings | None = None,
) -> Path:
    """Turn a dataset into embeddings: a directory with manifest.csv and features.safetensors.

    Args:
        model: a run directory, a weights file or `pretrained:NAME`; the newest model when not given.
        out: the directory to make.
        data: the dataset; the one the model was trained on when not given.
        settings: as in `{"evaluate.mirror": True}`.

    Returns:
        `out`.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
    """
    from lowshot.cli.embed import embed_dataset

    embed_dataset(_text(model), _text(data), _sets(settings), Path(out))
    return Path(out)


def evaluate(
    model: PathLike | None = None,
    *,
    embeddings: PathLike | None = None,
    protocol: str = "all",
    data: PathLike | None = None,
    split: Literal["test", "val"] = "test",
    settings: Settings | None = None,
    out: PathLike | None = None,
) -> Evaluation:
    """Measure a model, or anyone's embeddings, by verification, matching and retrieval, with intervals.

    Args:
        model: a run directory, a weights file or `pretrained:NAME`; the newest model when not given.
        embeddings: a directory as `embed` writes it, instead of a model.
        protocol: `verification`, `matching`, `retrieval`, one of your own, or `all`.
        data: the dataset; the one the model was trained on when not given.
        split: on whom.
        settings: as in `{"evaluate.replicates": 2000}`.
        out: the directory to make; the next one in `runs/` when not given.

    Returns:
        The directory and the figures.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
    """
    from lowshot.cli.evaluating import Asked, evaluate_embeddings, evaluate_model
    from lowshot.cli.options import open_dataset, resolve_config
    from lowshot.evaluation.protocols.registry import chosen

    asked = Asked(chosen(protocol), split)
    if embeddings is None:
        return Evaluation(*evaluate_model(_text(model), _text(data), _sets(settings), asked, _path(out)))
    if model is not None or data is not None:
        raise RequestError("embeddings bring their own manifest and no model; leave model and data out")
    config = resolve_config(None, None, _sets(settings), {"data": _text(embeddings)})
    return Evaluation(*evaluate_embeddings(open_dataset(config.data), config, asked, _path(out)))


def match(probe: PathLike, candidates: Iterable[PathLike], *, model: PathLike | None = None) -> "Matches":
    """Rank faces by similarity to a voice, or voices by similarity to a face.

    Args:
        probe: a voice file or a face image; its content says which.
        candidates: files of the other modality.
        model: a run directory, a weights file or `pretrained:NAME`; the newest model when not given.

    Returns:
        The ranking, with a probability where the model was calibrated, and warnings on what it is worth: read them.

    Raises:
        RequestError: a file is missing, unreadable or of the wrong modality, or the model takes no such files.
    """
    from lowshot.models.loaded import load_model

    return load_model(model).match(Path(probe), [Path(path) for path in candidates])


def open_data(data: PathLike) -> "Dataset":
    """Open a dataset: `.manifest`, `.voices` and `.faces` are data frames, and `.features` its vectors, if it has any.

    Args:
        data: a directory of media or of vectors (manifest.csv, and features.safetensors), a manifest, or
            `synth:tiny|demo|bench`.

    Raises:
        RequestError: there is none, or it breaks a rule of docs/data.md.
    """
    from lowshot.cli.options import open_dataset

    return open_dataset(str(data))


def _adapt(
    adaptation: "Adaptation",
    model: PathLike | None,
    labels: float,
    subset: PathLike | None,
    subset_seed: int,
    preset: str | None,
    settings: Settings | None,
    flags: Mapping[str, Any],
    out: PathLike | None,
) -> Path:
    # What the command line's parser refuses would pass from here to where nobody expects it.
    if not isinstance(labels, Real) or isinstance(labels, bool):
        raise RequestError(f"labels={labels!r}: give a number above 0 and at most 1, as in labels=0.1 for 10 %")
    if not isinstance(subset_seed, Integral) or isinstance(subset_seed, bool) or subset_seed < 0:
        raise RequestError(f"subset_seed={subset_seed!r}: give a whole number from 0 on, as in subset_seed=1")
    from lowshot.cli.adapting import adapt_as_asked

    asked = (float(labels), _path(subset), _text(model), int(subset_seed))
    return adapt_as_asked(adaptation, *asked, preset, None, _sets(settings), flags, _path(out))[0]


def _sets(settings: Settings | None) -> tuple[str, ...]:
    """As `--set` takes them: JSON is YAML."""
    if settings is not None and not isinstance(settings, Mapping):
        raise RequestError(f"settings={settings!r}: give a dict by key, as in {{'train.epochs': 20}}")
    return tuple(f"{key}={json.dumps(value, default=_plain)}" for key, value in (settings or {}).items())


def _plain(value: object) -> int | float:
    """A number of numpy as one of Python."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise RequestError(f"settings: {value!r} is no number, text, list or dict")


def _text(path: PathLike | None) -> str | None:
    return None if path is None else str(path)


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)
