"""Pretraining loop for any method and number of processes, with exact resume."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowshot.config import Config, build_config
from lowshot.data.pairs import Batch, PairBatches, Videos, videos_of
from lowshot.data.readers.base import Reader
from lowshot.data.readers.choice import check_towers
from lowshot.data.trained import write_trained
from lowshot.errors import RequestError, RunError
from lowshot.files import write_text
from lowshot.methods.base import RunShape
from lowshot.methods.registry import BUILDERS, build_method
from lowshot.models.device import default_device
from lowshot.models.two_tower import TwoTower, tower_layout
from lowshot.models.vector_tower import join_dropouts
from lowshot.models.weights import save_model
from lowshot.progress import Event, Report, message, quiet
from lowshot.runs import lock_run, start_run, write_provenance
from lowshot.schema import CHECKPOINT, CLUSTERS, LAST_MODEL, METRICS, MODEL
from lowshot.training.batch_norm import join_batch_norms
from lowshot.training.checkpoint import load_checkpoint, save_checkpoint
from lowshot.training.choice import changed_settings, choose_run
from lowshot.training.closed_form import pretrain_in_closed_form
from lowshot.training.cluster_health import cluster_table
from lowshot.training.distributed import ALONE, World
from lowshot.training.interrupt import stop_on_signal
from lowshot.training.loading import batches_ahead
from lowshot.training.metrics_log import MetricsLog, kept_by_size
from lowshot.training.precision import autocast
from lowshot.training.schedule import learning_rate
from lowshot.training.selection import start_selection
from lowshot.training.validation import validation_auc


class Pretraining:
    """One pretraining run: its model, its method, its place in the data.

    `train.select` decides which weights are the result: those of the last step, or those that a judge prefers. The
    validation AUC in metrics.csv is only for information unless it is the judge.

    Several processes form one run. Each embeds its part of the batch, and all compute the loss of the whole batch. All
    end each step in the same state, which the first process writes.

    Args:
        config: the whole run's settings.
        reader: of the dataset.
        device: where to compute.
        world: the processes.

    Raises:
        RequestError: the training split has no pairs, one of its files is missing, or the batch cannot be divided.
    """

    def __init__(self, config: Config, reader: Reader, device: torch.device, world: World = ALONE) -> None:
        dataset = reader.dataset
        check_towers(dataset, config.model)
        self.config = config
        self.reader = reader
        self.device = device
        self.world = world
        videos = videos_of(dataset, "train")
        if len(videos) < 2:
            raise RequestError(
                f"{dataset.manifest_path}: the training split has only one video; pretraining needs at least two"
            )
        dataset.check_files("voice", np.concatenate(videos.voices))
        dataset.check_files("face", np.concatenate(videos.faces))
        self.validation = _validation_videos(reader)
        self.videos = videos
        self.selection, learned = start_selection(config, reader, videos, self.validation, device, world)
        self.batches = PairBatches(
            learned,
            reader,
            config.train.batch_size,
            config.seed,
            config.voice,
            config.face,
            config.augment,
            world.rank,
            world.size,
        )
        self.total_steps = config.train.epochs * self.batches.steps_per_epoch
        self.model = TwoTower.from_config(config, reader.statistics).to(device).to(memory_format=torch.channels_last)
        join_batch_norms(self.model, world)
        join_dropouts(self.model, world.rank, world.size)
        # Compiled or not, the weights keep their names: they are saved from the model itself.
        self.towers = torch.compile(self.model) if config.train.compile else self.model
        shape = RunShape(
            len(learned),
            config.model.dim,
            self.batches.batch_size,
            self.batches.steps_per_epoch,
            config.train.epochs,
            config.seed,
            device,
        )
        self.method = build_method(config.method, shape)
        self.optimizer = torch.optim.Adam(
            [*self.model.parameters(), *self.method.parameters()],
            lr=config.train.learning_rate,
            weight_decay=config.train.weight_decay,
        )
        self.step = 0
        self.seconds = 0.0
        self._logged: dict[str, Any] | None = None

    def resume(self, run: Path) -> None:
        """Continue from a run's checkpoint.

        Raises:
            RequestError: the checkpoint is damaged, or was made with other data or settings; names them.
        """
        state = load_checkpoint(run / CHECKPOINT)
        if state["data_sha"] != self.reader.dataset.sha:
            raise RequestError(f"{run}: cannot be resumed because it was trained on other data; name another `out`")
        if changed := changed_settings(build_config([state["config"]]), self.config):
            raise RequestError(
                f"{run}: cannot be resumed because {changed[0]} differs; use the same value, or name another `out`"
            )
        self._take_over(state)
        # Version 0.1 stored the size of the log.
        self._logged = state["log"] if "log" in state else kept_by_size(run / METRICS, state["log_size"])

    def join(self) -> None:
        """Start every process from the first one's checkpoint or fresh weights."""
        state = self.world.from_first(self._state())
        if not self.world.leads:
            self._take_over(state)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "method": self.method.state_dict(),
            "selection": self.selection.state_dict() if self.selection else None,
        }

    def _take_over(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.method.load_state_dict(state["method"])
        if self.selection:
            self.selection.load_state_dict(state["selection"])
        self.step = state["step"]
        self.seconds = state["seconds"]

    def train(self, run: Path, on_step: Callable[[int], None] | None = None) -> None:
        """Train to the end.

        Args:
            run: the run directory, which exists; the first process writes to it.
            on_step: called with the number of steps done.

        Raises:
            RunError: stopped by Ctrl-C or SIGTERM (after saving), a loss that is not finite, or a full disk.
            FailedElsewhere: one of these in another process.
        """
        log = None
        with self.world.together():
            if self.world.leads:
                log = MetricsLog(run / METRICS, self._logged)
        saved = time.monotonic()
        steps = range(self.step, self.total_steps)
        with stop_on_signal() as stop, batches_ahead(self.batches, steps, self.config.train) as coming:
            try:
                while not self._over:
                    started = time.monotonic()
                    with self.world.together():
                        batch = next(coming)
                    self._train_step(batch.to(self.device), run, log)
                    self.seconds += time.monotonic() - started
                    if on_step:
                        on_step(self.step)
                    asked = self.world.any(stop.asked)
                    with self.world.together():
                        due = time.monotonic() - saved > self.config.train.checkpoint_seconds
                        if log and (asked or (due and not self._over)):
                            self._save(run, log)
                            saved = time.monotonic()
                        if asked and not self._over:
                            raise RunError(
                                f"stopped at step {self.step} of {self.total_steps} and saved; the same command "
                                f"goes on from {run}"
                            )
                if log:
                    self._save(run, log)
            finally:
                if log:
                    log.close()
        if self.world.leads:
            self._finish(run)

    @property
    def _over(self) -> bool:
        return self.step >= self.total_steps or (self.selection is not None and self.selection.decided)

    def _train_step(self, batch: Batch, run: Path, log: MetricsLog | None) -> None:
        train, step = self.config.train, self.step
        rate = learning_rate(step, self.total_steps, train.learning_rate, train.final_learning_rate, train.warmup_share)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._prepare(step)
        self.model.train()
        with autocast(self.device, train.precision):
            voice, face = self.towers(tower_layout(batch.voice), tower_layout(batch.face))
        index, voice, face = (self.world.gather(part) for part in (batch.index, voice, face))
        loss, figures = self.method.loss(index, voice, face)
        value = loss.item()
        with self.world.together():
            if not torch.isfinite(loss):
                raise RunError(
                    f"{run}: the loss at step {step} is {value}; the last checkpoint is intact. Lower "
                    "train.learning_rate, or look for broken media with `lowshot data check`"
                )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.world.sum_gradients(self.model.parameters())
        # The method's own have that of the whole batch already: every process computes its loss. On a GPU they need not
        # be the same bits, and would drift apart.
        self.world.copy_gradients(self.method.parameters())
        self.optimizer.step()
        self.method.after_step(index, voice.detach(), face.detach())
        self.step += 1
        figures = {**figures, **self._judge(step)}
        with self.world.together():
            if log:
                self._log(log, step, rate, value, figures)

    def _prepare(self, step: int) -> None:
        """Prepare the method; cluster once, for all processes."""
        if self.world.size == 1 or not self.method.clusters_at(step):
            self.method.before_step(step)
            return
        with self.world.together():
            if self.world.leads:
                self.method.before_step(step)
        state = self.world.from_first(self.method.state_dict())
        if not self.world.leads:
            self.method.load_state_dict(state)

    def _judge(self, step: int) -> dict[str, float]:
        """Let the judge look at the end of an epoch; the first process looks, and all hear the verdict."""
        epoch, position = divmod(step, self.batches.steps_per_epoch)
        if self.selection is None or position != self.batches.steps_per_epoch - 1:
            return {}
        found: dict[str, float] = {}
        with self.world.together():
            if self.world.leads:
                found = self.selection.look(self.model, self.reader, epoch + 1, self.step)
        state = self.world.from_first(self.selection.state_dict())
        if not self.world.leads:
            self.selection.load_state_dict(state)
        return found

    def _log(self, log: MetricsLog, step: int, rate: float, loss: float, figures: dict[str, float]) -> None:
        epoch, position = divmod(step, self.batches.steps_per_epoch)
        last_of_epoch = position == self.batches.steps_per_epoch - 1
        every = self.config.train.validate_every
        last = self._over
        validate = bool(every) and self.validation is not None and last_of_epoch and (epoch + 1) % every == 0
        clustered = self.method.clusters_at(step)
        judged = self.selection is not None and last_of_epoch
        if not (step % self.config.train.log_every == 0 or validate or judged or clustered or last):
            return
        row: dict[str, float | int | str] = {
            "step": step,
            "epoch": epoch,
            "learning_rate": rate,
            "loss": loss,
        }
        row["clustered"] = int(clustered)
        if self.validation is not None and (validate or (every and last)):
            row["val_auc"] = validation_auc(self.model, self.reader, self.validation)
        log.write(row, figures)

    def _save(self, run: Path, log: MetricsLog) -> None:
        save_checkpoint(
            run / CHECKPOINT,
            {
                "data_sha": self.reader.dataset.sha,
                "config": self.config.model_dump(mode="json"),
                "log": log.sync(),
                **self._state(),
            },
        )

    def _finish(self, run: Path) -> None:
        config, data_sha = self.config, self.reader.dataset.sha
        facts = {
            "method": config.method.name,
            "init": "scratch",
            "adaptation": "none",
            "fraction": "0",
            "train_seed": str(config.seed),
            "data_sha": data_sha,
            "config_sha": config.sha(),
        }
        if self.selection is not None and self.selection.best is not None:
            save_model(self.model, run / LAST_MODEL, **facts, select="last")
            self.model.load_state_dict(self.selection.best)
            facts["select"] = self.config.train.select
        save_model(self.model, run / MODEL, **facts)
        if partitions := self.method.partitions():
            weights = self.method.pair_weights_now()
            of_pairs = None if weights is None else weights.cpu().numpy()
            table = cluster_table(partitions, of_pairs, self.batches.videos.identities)
            write_text(run / CLUSTERS, table.to_csv(index=False, lineterminator="\n"))
        write_provenance(
            run,
            "pretrain",
            config,
            data_sha,
            method=config.method.name,
            finished=True,
            steps=self.step,
            training_seconds=round(self.seconds, 1),
            training_videos=len(self.batches.videos),
            **(self.selection.record() if self.selection else {"judge": "none: the weights of the last step"}),
            device=str(self.device),
            processes=self.world.size,
            threads=torch.get_num_threads(),
        )


def _validation_videos(reader: Reader) -> Videos | None:
    """Validation videos of known identity; None without at least two identities."""
    if not (reader.dataset.manifest["split"] == "val").any():
        return None
    videos = videos_of(reader.dataset, "val")
    return videos if len(set(videos.identities) - {""}) >= 2 else None


def pretrain(
    config: Config,
    reader: Reader,
    out: Path | None = None,
    resume: str = "auto",
    device: torch.device | None = None,
    world: World = ALONE,
    report: Report = quiet,
) -> Path:
    """Pretrain into a run directory.

    With several processes, all call this with the same arguments.

    Args:
        config: settings; written to config.yaml.
        reader: of the dataset.
        out: the run directory; by default the next one in `runs/`.
        resume: `auto` continues a stopped run of the same settings, `never` starts anew, a path names the run.
        device: where to compute; by default the first GPU, or the CPU.
        world: the processes that share the work. The first one decides on the run directory and writes to it.
        report: takes the progress of the first process.

    Returns:
        The run directory.

    Raises:
        RequestError: nothing was written; or another process is using this run.
        RunError, FailedElsewhere: see `Pretraining.train`.
    """
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    if type(config.method) not in BUILDERS:
        run = Path()
        with world.together():
            if world.leads:
                run = pretrain_in_closed_form(config, reader, out, resume, device or default_device(), report)
        return world.from_first(run)
    with world.together():
        job = Pretraining(config, reader, device or default_device(), world)
    with ExitStack() as held:
        with world.together():
            run = _claim(job, out, resume, held) if world.leads else Path()
        run = world.from_first(run)
        job.join()
        work = f"pretrain {config.method.name}"

        def show(step: int) -> None:
            report(Event("steps", work, step, job.total_steps))

        if world.leads:
            begins = f"{len(job.batches.videos)} videos, {job.total_steps} steps"
            goes_on = f"goes on from step {job.step} of {job.total_steps}"
            message(report, f"{work}: {run}, {goes_on if job.step else begins}")
            show(job.step)
        job.train(run, show if world.leads else None)
        if world.leads and job.selection is not None:
            # A run that the judge ends early leaves its bar unfinished.
            show(job.total_steps)
            message(report, f"{work}: {job.selection}")
    return run


def _claim(job: Pretraining, out: Path | None, resume: str, held: ExitStack) -> Path:
    """Choose and lock the run directory; resume or start the run.

    The lock lasts as long as `held`.
    """
    config, data_sha = job.config, job.reader.dataset.sha
    run, goes_on = choose_run(config, data_sha, out, resume)
    held.enter_context(lock_run(run))
    if goes_on:
        job.resume(run)
    else:
        start_run(run, "pretrain", config, data_sha, method=config.method.name)
    # Videos that a judge looks at decide what the model becomes: they are seen, too.
    write_trained(run, job.videos)
    return run
