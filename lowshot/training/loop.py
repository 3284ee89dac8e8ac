"""Pretraining: one loop for every method, resumable at any step, bit for bit."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from tqdm import tqdm

from lowshot.config import Config
from lowshot.data.pairs import Batch, PairBatches, Videos, videos_of
from lowshot.data.reader import MediaReader
from lowshot.errors import RequestError, RunError
from lowshot.files import write_text
from lowshot.methods.registry import build_method
from lowshot.models.two_tower import TwoTower
from lowshot.models.weights import save_model
from lowshot.runs import MODEL, write_provenance
from lowshot.training.checkpoint import load_checkpoint, save_checkpoint
from lowshot.training.interrupt import StopRequest, stop_on_signal
from lowshot.training.metrics_log import MetricsLog
from lowshot.training.schedule import learning_rate
from lowshot.training.validation import validation_auc

CHECKPOINT = Path("state") / "checkpoint.pt"


class Pretraining:
    """One pretraining run: its model, its method, its place in the data.

    The weights of the last step are the result. Nothing is selected: the validation AUC in metrics.csv is for reading.

    Args:
        config: the whole run's settings.
        reader: decoded media of the dataset.
        run: the run directory.
        device: where to compute.

    Raises:
        RequestError: the training split has no pairs, or a file of it is missing.
    """

    def __init__(self, config: Config, reader: MediaReader, run: Path, device: torch.device) -> None:
        dataset = reader.dataset
        if dataset.has_features:
            raise RequestError(f"{dataset.root}: holds feature vectors; pretraining needs voice and face files")
        self.config = config
        self.reader = reader
        self.run = run
        self.device = device
        videos = videos_of(dataset, "train")
        if len(videos) < 2:
            raise RequestError(f"{dataset.manifest_path}: one training video alone cannot be contrasted with another")
        for modality, rows in (("voice", videos.voices), ("face", videos.faces)):
            dataset.check_files(modality, torch.cat([torch.from_numpy(r) for r in rows]).numpy())
        self.validation = _validation_videos(reader)
        self.batches = PairBatches(
            videos, reader, config.train.batch_size, config.seed, config.voice, config.face, config.augment
        )
        self.total_steps = config.train.epochs * self.batches.steps_per_epoch
        self.model = TwoTower.from_config(config).to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=config.train.learning_rate, weight_decay=config.train.weight_decay
        )
        self.method = build_method(config, len(videos), self.batches.steps_per_epoch, device)
        self.step = 0
        self.seconds = 0.0
        self._log_size = 0

    def resume(self) -> None:
        """Go on from the run's checkpoint.

        Raises:
            RequestError: the checkpoint is damaged, or was made with other data or other settings.
        """
        state = load_checkpoint(self.run / CHECKPOINT)
        for what, now in self._identity().items():
            if state["identity"][what] != now:
                raise RequestError(f"{self.run}: cannot be resumed, its {what} differs; use the same, or another --out")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.method.load_state_dict(state["method"])
        self.step = state["step"]
        self.seconds = state["seconds"]
        self._log_size = state["log_size"]

    def train(self, on_step: Callable[[int, int], None] | None = None) -> Path:
        """Train to the end.

        Args:
            on_step: called with (steps done, steps in all).

        Returns:
            The file of the trained weights.

        Raises:
            RunError: stopped by Ctrl-C or SIGTERM (after saving), a loss that is not finite, or a full disk.
        """
        log = MetricsLog(self.run / "metrics.csv", self._log_size)
        saved = time.monotonic()
        with stop_on_signal() as stop, ThreadPoolExecutor(max_workers=1) as loader:
            coming: Future[Batch] = loader.submit(self.batches.batch, self.step)
            try:
                while self.step < self.total_steps:
                    started = time.monotonic()
                    batch = coming.result()
                    if self.step + 1 < self.total_steps:
                        coming = loader.submit(self.batches.batch, self.step + 1)
                    self._train_step(batch.to(self.device), log)
                    self.seconds += time.monotonic() - started
                    if on_step:
                        on_step(self.step, self.total_steps)
                    due = time.monotonic() - saved > self.config.train.checkpoint_seconds
                    if stop.asked or (due and self.step < self.total_steps):
                        self._save(log)
                        saved = time.monotonic()
                    _raise_if_asked(stop, self.run, self.step, self.total_steps)
                self._save(log)
            finally:
                log.close()
        return self._finish()

    def _train_step(self, batch: Batch, log: MetricsLog) -> None:
        train, step = self.config.train, self.step
        rate = learning_rate(step, self.total_steps, train.learning_rate, train.final_learning_rate, train.warmup_share)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.method.before_step(step)
        self.model.train()
        voice, face = self.model(
            batch.voice.contiguous(memory_format=torch.channels_last),
            batch.face.contiguous(memory_format=torch.channels_last),
        )
        loss, figures = self.method.loss(batch.index, voice, face)
        value = loss.item()
        if not torch.isfinite(loss):
            raise RunError(
                f"{self.run}: the loss at step {step} is {value}; the last checkpoint is intact. Lower "
                "train.learning_rate, or look for broken media with `lowshot data check`"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.method.after_step(batch.index, voice.detach(), face.detach())
        self.step += 1
        self._log(log, step, rate, value, figures)

    def _log(self, log: MetricsLog, step: int, rate: float, loss: float, figures: dict[str, float]) -> None:
        epoch, position = divmod(step, self.batches.steps_per_epoch)
        last_of_epoch = position == self.batches.steps_per_epoch - 1
        every = self.config.train.validate_every
        last = self.step == self.total_steps
        validate = bool(every) and self.validation is not None and last_of_epoch and (epoch + 1) % every == 0
        clustered = self.method.clusters_at(step)
        if not (step % self.config.train.log_every == 0 or validate or clustered or last):
            return
        row: dict[str, float | int | str] = {
            "step": step,
            "epoch": epoch,
            "learning_rate": rate,
            "loss": loss,
        }
        row |= figures
        row["clustered"] = int(clustered)
        if self.validation is not None and (validate or (every and last)):
            row["val_auc"] = validation_auc(self.model, self.reader, self.validation)
        log.write(row)

    def _identity(self) -> dict[str, str]:
        """What must be the same for a run to be the same run."""
        return {"data": self.reader.dataset.sha, "configuration": run_identity(self.config)}

    def _save(self, log: MetricsLog) -> None:
        save_checkpoint(
            self.run / CHECKPOINT,
            {
                "identity": self._identity(),
                "step": self.step,
                "seconds": self.seconds,
                "log_size": log.sync(),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "method": self.method.state_dict(),
            },
        )

    def _finish(self) -> Path:
        config, data_sha = self.config, self.reader.dataset.sha
        facts = {"method": config.method.name, "data_sha": data_sha, "config_sha": config.sha()}
        save_model(self.model, self.run / MODEL, **facts, train_seed=str(config.seed), adaptation="none")
        write_provenance(
            self.run,
            "pretrain",
            config,
            data_sha,
            method=config.method.name,
            finished=True,
            steps=self.step,
            training_seconds=round(self.seconds, 1),
            training_videos=len(self.batches.videos),
            device=str(self.device),
            threads=torch.get_num_threads(),
        )
        return self.run / MODEL


def run_identity(config: Config) -> str:
    """Hash of the settings that decide a pretraining run's weights."""
    return config.sha("seed", "data", "voice", "face", "augment", "model", "train", "method")


def _validation_videos(reader: MediaReader) -> Videos | None:
    """Validation videos whose identities are known; none where the manifest has no such split."""
    if not (reader.dataset.manifest["split"] == "val").any():
        return None
    videos = videos_of(reader.dataset, "val")
    return videos if len(set(videos.identities) - {""}) >= 2 else None


def _raise_if_asked(stop: StopRequest, run: Path, step: int, total: int) -> None:
    if stop.asked and step < total:
        raise RunError(f"stopped at step {step} of {total}; saved, go on with the same command (--out {run})")


def pretrain(
    config: Config, reader: MediaReader, run: Path, *, resume: bool, device: torch.device | None = None
) -> Path:
    """Pretrain into a run directory, with a progress bar on standard error.

    Args:
        config: settings; written to config.yaml.
        reader: decoded media of the dataset `config.data`.
        run: the run directory; made when missing.
        resume: go on from a checkpoint where there is one.
        device: where to compute; the first GPU, or the CPU, when not given.

    Returns:
        The file of the trained weights.
    """
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    job = Pretraining(config, reader, run, device or default_device())
    if resume and (run / CHECKPOINT).is_file():
        job.resume()
    else:
        write_text(run / "config.yaml", config.to_yaml())
        write_provenance(run, "pretrain", config, reader.dataset.sha, method=config.method.name, finished=False)
    label = f"pretrain {config.method.name}"
    with tqdm(desc=label, total=job.total_steps, initial=job.step, unit="step", disable=None) as bar:

        def advance(done: int, total: int) -> None:
            bar.update(done - bar.n)

        return job.train(advance)


def default_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
