"""Adapt a model with labels, and write the outcome as a run."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lowshot.adapt.early_stopping import Selected, start_kept
from lowshot.adapt.finetune import finetune
from lowshot.adapt.names import Adaptation, adaptation_name, recipe
from lowshot.adapt.probe import probe
from lowshot.adapt.subset_lists import list_bytes
from lowshot.adapt.subsets import Subset, draw_subset
from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.data.pairs import Videos, videos_of
from lowshot.data.readers.base import Reader
from lowshot.data.trained import write_trained
from lowshot.errors import RequestError
from lowshot.files import atomic_path
from lowshot.models.device import default_device
from lowshot.models.embedding import Embeddings
from lowshot.models.loaded import LoadedModel
from lowshot.models.weights import save_model
from lowshot.runs import lock_run, open_run, start_run, write_provenance
from lowshot.schema import LABELLED, MODEL


def labelled_share(dataset: Dataset, fraction: float) -> str:
    """Describe a label fraction, as in `2 of 150 identities (1.3 %)`.

    Raises:
        RequestError: see `labelled_count`.
    """
    return str(draw_subset(dataset.manifest, fraction, seed=0))


def labelled_videos(dataset: Dataset, identities: list[str]) -> Videos:
    """The training videos of the given identities."""
    videos = videos_of(dataset, "train")
    return videos.select(np.flatnonzero(np.isin(videos.identities, identities)))


def videos_of_subset(dataset: Dataset, subset: Subset) -> Videos:
    """The training videos that a subset labels."""
    videos = labelled_videos(dataset, subset.identities)
    if subset.videos is None:
        return videos
    return videos.select(np.flatnonzero(np.isin(videos.names, subset.videos)))


def validation_videos(dataset: Dataset) -> Videos:
    """The validation videos that select an adaptation.

    Raises:
        RequestError: the manifest has no validation split, or it has fewer than two identities with two videos each.
    """
    videos = videos_of(dataset, "val") if (dataset.manifest["split"] == "val").any() else None
    counts = pd.Series([name for name in videos.identities if name] if videos else [], dtype=object).value_counts()
    if videos is None or (counts >= 2).sum() < 2:
        raise RequestError(
            f"{dataset.manifest_path}: adaptation is selected on validation identities and needs a split 'val' "
            "with at least 2 identities of 2 videos each"
        )
    return videos


def training_videos(dataset: Dataset, labelled: Videos) -> Videos:
    """All training videos, if some of them are not labelled.

    Raises:
        RequestError: all of them are labelled.
    """
    videos = videos_of(dataset, "train")
    if len(videos) == len(labelled):
        raise RequestError(
            "adapt.objective=semi-supervised: needs training videos without labels, but all "
            f"{len(videos)} are labelled; lower `labels`, or use another objective"
        )
    return videos


def label_facts(subset: Subset) -> dict[str, str]:
    """Metadata of a labelled subset: its fraction, its seed, and its list."""
    seed = "" if subset.seed is None else str(subset.seed)
    facts = {"fraction": f"{subset.fraction:g}", "subset_seed": seed}
    if not subset.listed:
        return facts
    return {**facts, "subset": subset.listed, "subset_unit": subset.unit, "subset_sha256": subset.sha}


def adapt(
    pretrained: LoadedModel,
    adaptation: Adaptation,
    fraction: float,
    subset_seed: int,
    reader: Reader,
    config: Config,
    out: Path | None = None,
    vectors: Embeddings | None = None,
) -> tuple[Path, Selected]:
    """Adapt a model with a label fraction, by `adapt_to`.

    Args:
        pretrained, adaptation, reader, config, out, vectors: as in `adapt_to`.
        fraction: share of the training identities to label, in (0, 1].
        subset_seed: seed of the choice of identities.
    """
    refuse_adapted(pretrained)
    subset = draw_subset(reader.dataset.manifest, fraction, subset_seed)
    return adapt_to(pretrained, adaptation, subset, reader, config, out, vectors)


def refuse_adapted(pretrained: LoadedModel) -> None:
    """Refuse a model that has already learned from labels.

    Raises:
        RequestError: the model is adapted.
    """
    if pretrained.metadata["adaptation"] != "none":
        raise RequestError(
            f"{pretrained.name}: is already adapted ({pretrained.metadata['adaptation']}), and its labels would not be "
            f"counted; name the pretrained run it started from ({pretrained.metadata.get('init', 'unknown')})"
        )


def adapt_to(
    pretrained: LoadedModel,
    adaptation: Adaptation,
    subset: Subset,
    reader: Reader,
    config: Config,
    out: Path | None = None,
    vectors: Embeddings | None = None,
) -> tuple[Path, Selected]:
    """Adapt a model with a labelled subset and write a run.

    Args:
        pretrained: the model to adapt, which has not learned from labels.
        adaptation: `finetune` or `probe`.
        subset: the labelled subset, from `draw_subset` or `read_subset`.
        reader: of the dataset.
        config: `config.adapt` and `config.seed` decide the training.
        out: the run directory; by default the next one in `runs/`.
        vectors: embeddings for a probe, as in `probe`.

    Returns:
        The run directory and the record of the choice.

    Raises:
        RequestError: the model, the splits or a file do not fit, and nothing was written; or another process is
            writing to this run.
    """
    refuse_adapted(pretrained)
    dataset = reader.dataset
    labelled = videos_of_subset(dataset, subset)
    validation = validation_videos(dataset)
    tuned = adaptation == "finetune"
    semi_supervised = tuned and config.adapt.objective == "semi-supervised"
    learned = training_videos(dataset, labelled) if semi_supervised else labelled
    for videos in (learned, validation):
        dataset.check_files("voice", np.concatenate(videos.voices))
        dataset.check_files("face", np.concatenate(videos.faces))
    method = pretrained.metadata["method"]
    run = open_run(out, adaptation, "-".join([method, subset.name, *(recipe(config.adapt) if tuned else [])]))
    with lock_run(run):
        facts = {"method": method, "init": pretrained.name, **label_facts(subset)}
        if tuned:
            facts |= {"strategy": config.adapt.strategy, "objective": config.adapt.objective}
        record = {**facts, "start_sha": pretrained.sha}
        start_run(run, adaptation, config, dataset.sha, **record)
        with atomic_path(run / LABELLED) as temporary:
            temporary.write_bytes(list_bytes(subset.rows, subset.unit))
        write_trained(run, learned, pretrained.trained)
        # A frozen list of a seed gives the same weights as `labels` with that seed.
        seed = int(np.random.SeedSequence([config.seed, subset.seed or 0]).generate_state(1, np.uint32)[0])
        pretrained.towers.to(default_device()).to(memory_format=torch.channels_last)
        if adaptation == "probe":
            model, chosen = probe(pretrained.towers, labelled, validation, reader, config, seed, vectors)
        else:
            model, chosen = finetune(
                pretrained.towers, labelled, validation, reader, config, seed, scratch=pretrained.scratch
            )
        save_model(
            model,
            run / MODEL,
            **facts,
            adaptation=adaptation_name(adaptation, config.adapt),
            **({"start_kept": "true"} if start_kept(asdict(chosen)) else {}),
            # Results are identified by the seed of the pretraining, which may be only in the weights file.
            train_seed=pretrained.metadata.get("train_seed", str(config.seed)),
            data_sha=dataset.sha,
            config_sha=config.sha(),
        )
        write_provenance(
            run,
            adaptation,
            config,
            dataset.sha,
            **record,
            labelled_identities=len(subset.identities),
            labelled_videos=len(labelled),
            selected=asdict(chosen),
            finished=True,
        )
    return run, chosen
