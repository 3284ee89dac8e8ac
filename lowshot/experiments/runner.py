"""Make and measure the models of a comparison; keep finished ones."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from lowshot.adapt.names import Adaptation
from lowshot.adapt.probe import embed_videos
from lowshot.adapt.run import adapt, labelled_share, labelled_videos, validation_videos
from lowshot.adapt.subsets import labelled_identities
from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.data.readers.base import Reader
from lowshot.evaluation.gallery import write_gallery
from lowshot.evaluation.run import labels_of, score_model
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_set import TrialSet
from lowshot.experiments.cell_store import Measured, fingerprint, trials_sha
from lowshot.experiments.cells import Arm, Cell, Plan, pretraining_run
from lowshot.experiments.parallel_pretraining import pretrain_all
from lowshot.models.device import default_device
from lowshot.models.embedding import Embeddings
from lowshot.models.loaded import LoadedModel, load_model, model_from_scratch
from lowshot.progress import Report, warning
from lowshot.runs import is_finished, read_config, read_provenance
from lowshot.schema import CHECKPOINT, MODEL
from lowshot.settings import EvaluateConfig
from lowshot.training.choice import DECISIVE, changed_settings


class Making:
    """The models of a plan in a directory.

    Args:
        plan: the models.
        reader: of the dataset.
        trials: what they are measured on.
        settings: crops and mirror images of each medium.
        directory: holds their runs and scores.
        say: called with a line about each stage.
        report: takes progress and warnings.
        done: called after each model is made, and after each is measured.
    """

    def __init__(
        self,
        plan: Plan,
        reader: Reader,
        trials: TrialSet,
        settings: EvaluateConfig,
        directory: Path,
        say: Callable[[str], None],
        report: Report,
        done: Callable[[], None],
    ) -> None:
        self.plan = plan
        self.reader = reader
        self.trials = trials
        self.settings = settings
        self.directory = directory
        self.measured = Measured(directory)
        self._trials_sha = trials_sha(trials)
        self._say = say
        self._report = report
        self._done = done

    def whole(self) -> bool:
        """Tell if every model is made and measured with the present settings."""
        for arm, seed, cells in self._groups():
            if not self._pretrained(arm, seed):
                return False
            pretrained = self._start(arm, seed)
            if not all(self._made(cell, arm, pretrained) and self._scored(cell) for cell in cells):
                return False
        return True

    def make(self, jobs: int) -> None:
        """Make and measure what is missing.

        Args:
            jobs: number of pretrainings in parallel on a CPU.

        Raises:
            RequestError: a run in the directory has other settings or data.
            RunError: see `pretrain_all`.
        """
        self._pretrain(jobs)
        for arm, seed, cells in self._groups():
            pretrained = self._start(arm, seed)
            vectors: Embeddings | None = None
            for cell in cells:
                if not self._made(cell, arm, pretrained):
                    if cell.adaptation == "probe" and vectors is None:
                        vectors = self._vectors(pretrained, cells)
                    self._adapt(cell, arm, pretrained, vectors)
                    self._done()
                if not self._scored(cell):
                    self._score(cell, pretrained if cell.adaptation == "none" else self._adapted(cell))
                    self._done()

    def _groups(self) -> Iterator[tuple[Arm, int, list[Cell]]]:
        """Group the cells by the model that they start from."""
        cells = self.plan.cells()
        for seed in self.plan.seeds:
            for arm in self.plan.arms:
                yield arm, seed, [cell for cell in cells if (cell.method, cell.seed) == (arm.label, seed)]

    def _pretrain(self, jobs: int) -> None:
        """Make the missing pretrainings; continue from checkpoints if there are any."""
        all_of_them = [(arm, seed) for arm, seed, _ in self._groups() if arm.pretrained]
        missing = [(arm, seed) for arm, seed in all_of_them if not self._pretrained(arm, seed)]
        at_once = max(1, min(jobs, len(all_of_them)))
        if missing:
            self._say(f"pretrain {', '.join(pretraining_run(arm.label, seed) for arm, seed in missing)}")
        runs = [(arm.seeded(seed), self.directory / pretraining_run(arm.label, seed)) for arm, seed in missing]

        def done(run: Path) -> None:
            self._say(f"{run.name} is made")
            self._done()

        pretrain_all(
            [(config, run, str(run) if (run / CHECKPOINT).is_file() else "never") for config, run in runs],
            self.reader,
            at_once,
            done,
            self._report,
        )

    def _pretrained(self, arm: Arm, seed: int) -> bool:
        if not arm.pretrained:
            return True
        return made_whole(
            self.directory / pretraining_run(arm.label, seed), arm.seeded(seed), self.reader.dataset, DECISIVE
        )

    def _start(self, arm: Arm, seed: int) -> LoadedModel:
        """Return the model that an arm's adaptations start from."""
        if not arm.pretrained:
            pretrained = model_from_scratch(arm.seeded(seed), self.reader.statistics)
        else:
            pretrained = load_model(self.directory / pretraining_run(arm.label, seed))
        return _placed(replace(pretrained, metadata={**pretrained.metadata, "method": arm.label}))

    def _adapted(self, cell: Cell) -> LoadedModel:
        return _placed(load_model(self.directory / cell.run))

    def _made(self, cell: Cell, arm: Arm, pretrained: LoadedModel) -> bool:
        if cell.adaptation == "none":
            return self._pretrained(arm, cell.seed)
        run, dataset = self.directory / cell.run, self.reader.dataset
        if read_provenance(run).get("start_sha") != pretrained.sha:
            return False
        return made_whole(run, arm.seeded(cell.seed), dataset, DECISIVE | {"adapt"})

    def _adapt(self, cell: Cell, arm: Arm, pretrained: LoadedModel, vectors: Embeddings | None) -> None:
        run = self.directory / cell.run
        # An old model here was trained from other weights or settings.
        (run / MODEL).unlink(missing_ok=True)
        adaptation: Adaptation = "probe" if cell.adaptation == "probe" else "finetune"
        config, subset = arm.seeded(cell.seed), cell.subset_seed
        _, chosen = adapt(pretrained, adaptation, cell.fraction, subset, self.reader, config, run, vectors)
        share = labelled_share(self.reader.dataset, cell.fraction)
        drawn = "" if cell.subset is None else f"subset {cell.subset}, "
        self._say(f"{cell.adaptation} {cell.method}, {share} labelled, {drawn}seed {cell.seed}: {chosen}")

    def _vectors(self, pretrained: LoadedModel, cells: list[Cell]) -> Embeddings:
        """Embed every medium that any probe of a model needs.

        Finished probes count too, so the embeddings are the same after a stop.
        """
        dataset = self.reader.dataset
        people = {
            identity
            for cell in cells
            if cell.adaptation == "probe"
            for identity in labelled_identities(dataset.manifest, cell.fraction, cell.subset_seed)
        }
        videos = [labelled_videos(dataset, sorted(people)), validation_videos(dataset)]
        return embed_videos(pretrained.towers, videos, self.reader)

    def _scored(self, cell: Cell) -> bool:
        return self.measured.holds(cell.key, self._fingerprint(cell))

    def _score(self, cell: Cell, model: LoadedModel) -> None:
        labels = labels_of(cell.key, {**model.metadata, "init": model.metadata.get("init", model.name)})

        def show(scorer: EmbeddingScorer) -> None:
            for line in write_gallery(self.directory, self.trials, scorer, self.settings, cell.key):
                warning(self._report, line)

        shown = show if cell == self.plan.exhibited else None
        result = score_model(self.trials, model.towers, self.reader, labels, self.settings, shown, self._report)
        self.measured.write(cell.key, self._fingerprint(cell), result)

    def _fingerprint(self, cell: Cell) -> dict[str, str]:
        looks = self.settings.model_dump_json(include={"voice_crops", "mirror"})
        return {**fingerprint(self.directory / cell.run / MODEL, self._trials_sha), "looks": looks}


def made_whole(run: Path, config: Config, dataset: Dataset, sections: frozenset[str]) -> bool:
    """Tell if a run has finished with these settings and data.

    Args:
        run: its directory.
        config, dataset: the present ones.
        sections: sections of settings that must be equal.
    """
    if not is_finished(run) or read_provenance(run)["data_sha"] != dataset.sha:
        return False
    return not changed_settings(read_config(run), config, sections)


def _placed(model: LoadedModel) -> LoadedModel:
    """Move towers to the usual device and memory format, for equal digits."""
    model.towers.to(default_device()).to(memory_format=torch.channels_last)
    return model
