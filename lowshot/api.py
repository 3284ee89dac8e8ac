"""The verbs of the command line as functions (docs/api.md).

They have the same defaults, files and errors. Progress and warnings go to standard error, unless `progress` is False or
a function. A request that cannot be carried out raises `lowshot.errors.RequestError` with one line.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from lowshot.progress import Report, Terminal, quiet
from lowshot.workflows.settings import AllSections, Sections, Settings

if TYPE_CHECKING:
    from lowshot.data.dataset import Dataset
    from lowshot.models.loaded import LoadedModel
    from lowshot.models.match import Matches
    from lowshot.settings import Strategy
    from lowshot.workflows.adapt import Probed
    from lowshot.workflows.compare import Comparison, Method
    from lowshot.workflows.evaluate import Evaluation

PathLike = str | Path
Progress = bool | Report
"""True shows progress on standard error, False shows nothing, a function takes each `lowshot.progress.Event`."""


def pretrain(
    data: PathLike | None = None,
    *,
    method: str | Settings | None = None,
    preset: str | None = None,
    config: PathLike | Settings | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: PathLike | None = None,
    resume: PathLike = "auto",
    trust_paths: bool = False,
    progress: Progress = True,
    **sections: Unpack[AllSections],
) -> Path:
    """Learn a voice-face representation without identity labels.

    Args:
        data: a directory, a manifest, or `synth:tiny|demo|bench`; the preset's, or `synth:demo`, if None.
        method: a method of docs/settings.md, or its settings by key; `cmpc` if None.
        preset: name of settings that come with lowshot.
        config: a YAML file of settings, or settings.
        settings: by the names in docs/settings.md: `{"train.epochs": 20}` or `{"train": {"epochs": 20}}`.
        seed: of weights, order and augmentation.
        out: the run directory; the next one in `runs/` if None.
        resume: `auto` continues a stopped run of the same settings, `never` starts anew, a path names the run.
        trust_paths: let the manifest name files outside its folder, now and later, as long as it does not change.
        progress: see `Progress`.
        sections: sections of docs/settings.md by name, such as `train={"epochs": 20}`. They override `settings`.

    Returns:
        The run directory: what `model` of the other functions takes.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
        RunError: the training failed.

    Example:
        >>> import lowshot
        >>> run = lowshot.pretrain("synth:tiny", method="cid", train={"epochs": 5})  # doctest: +SKIP
    """
    from lowshot.workflows import pretrain as workflow

    with _shown(progress) as report:
        return workflow.pretrain(
            data,
            method=method,
            preset=preset,
            config=config,
            settings=settings,
            seed=seed,
            out=_path(out),
            resume=str(resume),
            trust_paths=trust_paths,
            report=report,
            **sections,
        )


def finetune(
    model: PathLike | None = None,
    *,
    labels: float | None = None,
    subset: PathLike | None = None,
    subset_seed: int | None = None,
    strategy: "Strategy | None" = None,
    data: PathLike | None = None,
    preset: str | None = None,
    config: PathLike | Settings | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: PathLike | None = None,
    trust_paths: bool = False,
    progress: Progress = True,
    **sections: Unpack[Sections],
) -> Path:
    """Adapt a model with a few labelled identities.

    The validation identities choose the learning rate and the stopping step.

    Args:
        model: a run directory, a weights file, `pretrained:NAME`, or `scratch`; the newest pretrained run if None.
        labels: labelled fraction of the training identities, in (0, 1]; 0.1 if None.
        subset: a list of labelled identities or videos, instead of `labels` and `subset_seed`.
        subset_seed: seed of the labelled subset; 0 if None.
        strategy: which weights to train; the setting `adapt.strategy`, `full` by default, if None.
        data: the dataset; the model's if None.
        preset, config, settings, seed, out, trust_paths, progress, sections: as of `pretrain`.

    Returns:
        The run directory.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.

    Example:
        >>> import lowshot
        >>> tuned = lowshot.finetune("pretrained:cmpc-compact", labels=0.1, adapt={"steps": 20})  # doctest: +SKIP
    """
    from lowshot.workflows import adapt as workflow

    with _shown(progress) as report:
        return workflow.finetune(
            model,
            labels=labels,
            subset=_path(subset),
            subset_seed=subset_seed,
            strategy=strategy,
            data=data,
            preset=preset,
            config=config,
            settings=settings,
            seed=seed,
            out=_path(out),
            trust_paths=trust_paths,
            report=report,
            **sections,
        ).directory


def probe(
    model: PathLike | None = None,
    *,
    labels: float | None = None,
    subset: PathLike | None = None,
    subset_seed: int | None = None,
    data: PathLike | None = None,
    preset: str | None = None,
    config: PathLike | Settings | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: PathLike | None = None,
    trust_paths: bool = False,
    progress: Progress = True,
    **sections: Unpack[Sections],
) -> Path:
    """Adapt a model by one linear map after each frozen tower.

    Args:
        model, labels, subset, subset_seed, data, preset, config, settings, seed, out, trust_paths, progress, sections:
            as of `finetune`.

    Returns:
        The run directory.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
    """
    from lowshot.workflows import adapt as workflow

    with _shown(progress) as report:
        return workflow.probe(
            model,
            labels=labels,
            subset=_path(subset),
            subset_seed=subset_seed,
            data=data,
            preset=preset,
            config=config,
            settings=settings,
            seed=seed,
            out=_path(out),
            trust_paths=trust_paths,
            report=report,
            **sections,
        ).directory


def probe_within(
    modality: Literal["voice", "face", "both"],
    model: PathLike | None = None,
    *,
    targets: Sequence[str] = (),
    labels: float | None = None,
    subset: PathLike | None = None,
    subset_seed: int | None = None,
    data: PathLike | None = None,
    preset: str | None = None,
    config: PathLike | Settings | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: PathLike | None = None,
    trust_paths: bool = False,
    progress: Progress = True,
    **sections: Unpack[Sections],
) -> "Probed":
    """Classify people by the frozen embeddings of one modality.

    Args:
        modality: of the embeddings; `both` probes each alone.
        model: as of `finetune`.
        targets: some of identity, gender, age, nationality; all that the data allow if empty.
        labels, subset, subset_seed, data, preset, config, settings, seed, out, trust_paths, progress, sections: as of
            `finetune`.

    Returns:
        The run directory, and the rows of its results.csv.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
    """
    from lowshot.schema import MODALITIES
    from lowshot.workflows import adapt as workflow

    with _shown(progress) as report:
        return workflow.probe_within(
            MODALITIES if modality == "both" else (modality,),
            model,
            targets=targets,
            labels=labels,
            subset=_path(subset),
            subset_seed=subset_seed,
            data=data,
            preset=preset,
            config=config,
            settings=settings,
            seed=seed,
            out=_path(out),
            trust_paths=trust_paths,
            report=report,
            **sections,
        )


def embed(
    model: PathLike | None = None,
    *,
    out: PathLike,
    data: PathLike | None = None,
    settings: Settings | None = None,
    trust_paths: bool = False,
    progress: Progress = True,
    **sections: Unpack[Sections],
) -> Path:
    """Turn a dataset into embeddings.

    The outcome is a directory with manifest.csv and features.safetensors.

    Args:
        model: a run directory, a weights file or `pretrained:NAME`; the newest model if None.
        out: the directory to make.
        data: the dataset; the one the model was trained on if None.
        settings, trust_paths, progress, sections: as of `pretrain`, such as `evaluate={"mirror": True}`.

    Returns:
        `out`.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
    """
    from lowshot.workflows import embed as workflow

    with _shown(progress) as report:
        return workflow.embed(
            model,
            out=Path(out),
            data=data,
            settings=settings,
            trust_paths=trust_paths,
            report=report,
            **sections,
        )


def evaluate(
    model: PathLike | None = None,
    *,
    embeddings: PathLike | None = None,
    scores: PathLike | Sequence[PathLike] = (),
    protocol: str | None = None,
    data: PathLike | None = None,
    split: Literal["test", "val"] | None = None,
    trials: PathLike | Sequence[PathLike] = (),
    meta: PathLike | None = None,
    skip_missing: bool = False,
    settings: Settings | None = None,
    out: PathLike | None = None,
    trust_paths: bool = False,
    progress: Progress = True,
    **sections: Unpack[Sections],
) -> "Evaluation":
    """Measure a model, embeddings or score tables by the protocols.

    Args:
        model: a run directory, a weights file or `pretrained:NAME`; the newest model if None.
        embeddings: a directory as `embed` writes it, instead of a model.
        scores: score tables and folders of them, instead of a model and a dataset.
        protocol: `verification`, `matching`, `retrieval`, `enrolment`, one of your own, or `all`; all if None.
        data: the dataset; the one the model was trained on if None.
        split: split to measure on; `test` if None.
        trials: lists to score instead of trials built from the manifest.
        meta: VoxCeleb's vox1_meta.csv, for `trials`; the one beside the manifest if None.
        skip_missing: skip trials of lists that name media the dataset lacks.
        settings, trust_paths, progress, sections: as of `pretrain`, such as `evaluate={"replicates": 2000}`.
        out: the directory to make; the next one in `runs/` if None.

    Returns:
        The directory and the figures.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.

    Example:
        >>> import lowshot
        >>> found = lowshot.evaluate("pretrained:cmpc-compact", data="synth:tiny")  # doctest: +SKIP
    """
    from lowshot.workflows import evaluate as workflow

    with _shown(progress) as report:
        return workflow.evaluate(
            model,
            embeddings=embeddings,
            scores=_paths(scores),
            protocol=protocol,
            data=data,
            split=split,
            trials=_paths(trials),
            meta=_path(meta),
            skip_missing=skip_missing,
            settings=settings,
            out=_path(out),
            trust_paths=trust_paths,
            report=report,
            **sections,
        )


def match(probe: PathLike, candidates: Iterable[PathLike], *, model: PathLike | None = None) -> "Matches":
    """Rank faces by similarity to a voice, or voices to a face.

    Args:
        probe: a voice file or a face image; its content says which.
        candidates: files of the other modality.
        model: a run directory, a weights file or `pretrained:NAME`; the newest model if None.

    Returns:
        The ranking, with probabilities if the model is calibrated, and warnings about its limits. Read the warnings.

    Raises:
        RequestError: a file is missing, unreadable or of the wrong modality, or the model takes no such files.
    """
    from lowshot.workflows import match as workflow

    return workflow.match(probe, candidates, model=model)


def compare(
    methods: "Sequence[Method]" = ("cmpc", "cid", "scratch"),
    *,
    data: PathLike | None = None,
    fractions: Sequence[float] | None = None,
    adaptations: Sequence[str] = ("probe", "finetune"),
    subset_seeds: int = 3,
    seeds: int = 3,
    reference: str = "cid",
    jobs: int = 2,
    preset: str | None = None,
    config: PathLike | Settings | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: PathLike | None = None,
    trust_paths: bool = False,
    progress: Progress = True,
    **sections: Unpack[AllSections],
) -> "Comparison":
    """Compare methods at several label fractions over seeds.

    After a stop, the same call continues.

    Args:
        methods: methods of `pretrain`, `scratch` for fresh weights, and variants with their settings, such as
            `("cmpc", {"method.temperature": 0.05})`.
        data: as of `pretrain`.
        fractions: labelled fractions of the training identities; 0 uses no labels. If None, 0 and those of the setting
            `labels` that give two people or more.
        adaptations: how to use labels, `probe` and `finetune`.
        subset_seeds: number of labelled subsets of each fraction.
        seeds: number of training seeds; they count from `seed`.
        reference: method to compare the others with.
        jobs: number of pretrainings in parallel on a CPU.
        preset, config, settings, seed, trust_paths, progress, sections: as of `pretrain`.
        out: the directory; that of the same request in `runs/`, or the next one, if None.

    Returns:
        The directory, the rows of its results.csv, and warnings.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was trained.
        RunError: a pretraining failed or was stopped.

    Example:
        >>> import lowshot
        >>> found = lowshot.compare(["cmpc", "cid"], data="synth:tiny", fractions=[0, 0.5], seeds=2)  # doctest: +SKIP
    """
    from lowshot.workflows import compare as workflow

    with _shown(progress) as report:
        return workflow.compare(
            methods,
            data=data,
            fractions=fractions,
            adaptations=adaptations,
            subset_seeds=subset_seeds,
            seeds=seeds,
            reference=reference,
            jobs=jobs,
            preset=preset,
            config=config,
            settings=settings,
            seed=seed,
            out=_path(out),
            trust_paths=trust_paths,
            report=report,
            **sections,
        )


def report(
    directories: PathLike | Sequence[PathLike], *, formats: Sequence[str] = ("png", "svg"), out: PathLike | None = None
) -> Path:
    """Make a page, plots and tables from results on disk.

    Args:
        directories: each holds a results.csv, or is one. Several go on one page, if they were measured on the same
            data and trials.
        formats: of the files beside the page: csv, md, latex, png, svg, pdf, or all.
        out: directory of the page. If None, a single directory itself; for several, the next run in `runs/`.

    Returns:
        Path of report.html.

    Raises:
        RequestError: results are missing, malformed, or of different data or trials.
    """
    from lowshot.workflows import report as workflow

    return workflow.report(_paths(directories), formats=formats, out=_path(out))


def load_model(model: PathLike | None = None) -> "LoadedModel":
    """Load a model by the old name of `lowshot.load`."""
    from lowshot.models.loaded import load_model as load

    warnings.warn("lowshot.load_model is now lowshot.load", DeprecationWarning, stacklevel=2)
    return load(model)


def open_data(data: PathLike, *, trust_paths: bool = False, progress: Progress = True) -> "Dataset":
    """Open a dataset.

    Its `.manifest`, `.voices` and `.faces` are data frames; `.features` holds its vectors, if it has any.

    Args:
        data: a directory of media or of vectors (manifest.csv, and features.safetensors), a manifest, or
            `synth:tiny|demo|bench`.
        trust_paths: let the manifest name files outside its folder, now and later, as long as it does not change.
        progress: see `Progress`.

    Raises:
        RequestError: there is none, or it breaks a rule of docs/data.md.
    """
    from lowshot.workflows.datasets import open_dataset

    with _shown(progress) as report:
        return open_dataset(data, trust_paths=trust_paths, report=report)


@contextmanager
def _shown(progress: Progress) -> Iterator[Report]:
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield quiet
    else:
        terminal = Terminal()
        try:
            yield terminal
        finally:
            terminal.close()


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def _paths(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    return [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
