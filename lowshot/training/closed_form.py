"""Pretraining by methods that need no steps: fit, and write the run that a loop would have written."""

import time
from pathlib import Path

import numpy as np
import torch

from lowshot.config import Config
from lowshot.data.pairs import Videos, videos_of
from lowshot.data.readers.base import Reader
from lowshot.data.readers.choice import check_towers
from lowshot.data.trained import write_trained
from lowshot.errors import RequestError
from lowshot.methods.cca import Tried, fit_cca
from lowshot.models.two_tower import TwoTower
from lowshot.models.weights import save_model
from lowshot.progress import Event, Report, message, quiet, warning
from lowshot.runs import lock_run, open_run, start_run, write_provenance
from lowshot.schema import METRICS, MODEL
from lowshot.settings import CcaConfig
from lowshot.training.metrics_log import MetricsLog


def linear_towers(config: Config) -> Config:
    """The same settings with towers that are one linear map, which is what a closed form can find.

    Raises:
        RequestError: the towers take media.
    """
    if config.model.tower != "mlp":
        raise RequestError(
            f"method {config.method.name}: takes vectors, and the towers {config.model.tower} take voice and face "
            "files; turn the files into vectors with `lowshot embed` first"
        )
    plain = config.model.mlp.model_copy(update={"layers": 0, "dropout": 0.0})
    return config.model_copy(update={"model": config.model.model_copy(update={"mlp": plain})})


def pretrain_in_closed_form(
    config: Config, reader: Reader, out: Path | None, resume: str, device: torch.device, report: Report = quiet
) -> Path:
    """Fit a closed-form method into a run directory. A stopped run begins anew: it takes seconds.

    Args:
        config: settings; written to config.yaml with towers of one linear map.
        reader: of the vectors.
        out: the run directory; the next one in `runs/` when None.
        resume: `auto` or `never`, which are the same here.
        device: where to compute.
        report: takes progress events.

    Returns:
        The run directory.

    Raises:
        RequestError: a setting has no meaning for a closed form, the data are no vectors, or there are fewer than two
            training videos; nothing was written.
    """
    method = config.method
    assert isinstance(method, CcaConfig), "the one closed form there is"
    if resume not in {"auto", "never"}:
        raise RequestError(f"`resume={resume}`: method {method.name} takes seconds and has no checkpoint; leave it out")
    if config.train.select == "labels":
        raise RequestError(
            f"train.select=labels: method {method.name} chooses its strength on held-out clusters, or takes "
            "method.ridge and method.power"
        )
    config = linear_towers(config)
    dataset = reader.dataset
    check_towers(dataset, config.model)
    videos = videos_of(dataset, "train")
    if len(videos) < 2:
        raise RequestError(f"{dataset.manifest_path}: one training video alone has nothing to correlate with")
    model = TwoTower.from_config(config, reader.statistics).eval()
    run = open_run(out, "pretrain", method.name)
    with lock_run(run):
        start_run(run, "pretrain", config, dataset.sha, method=method.name)
        write_trained(run, videos)
        message(report, f"pretrain {method.name}: {run}, {len(videos)} videos, closed form")
        started = time.monotonic()

        def advance(done: int, total: int) -> None:
            report(Event("steps", f"pretrain {method.name}", done, total, "video"))

        tried = fit_cca(model, reader, videos, method, config.seed, device, advance)
        _log(run, tried)
        for line in (text := _chosen(tried[0], videos)).splitlines():
            (warning if np.isnan(tried[0].auc) else message)(report, line)
        save_model(
            model,
            run / MODEL,
            method=method.name,
            init="scratch",
            adaptation="none",
            fraction="0",
            train_seed=str(config.seed),
            data_sha=dataset.sha,
            config_sha=config.sha(),
        )
        write_provenance(
            run,
            "pretrain",
            config,
            dataset.sha,
            method=method.name,
            finished=True,
            steps=0,
            training_seconds=round(time.monotonic() - started, 1),
            training_videos=len(videos),
            device=str(device),
            processes=1,
            threads=torch.get_num_threads(),
            judge="none" if np.isnan(tried[0].auc) else "held-out clusters",
            chosen=text,
            ridge=tried[0].ridge,
            power=tried[0].power,
        )
    return run


def _log(run: Path, tried: list[Tried]) -> None:
    log = MetricsLog(run / METRICS)
    try:
        for number, each in enumerate(tried):
            figures = {"ridge": each.ridge, "power": each.power}
            if not np.isnan(each.auc):
                figures |= {"held_out_auc": each.auc, "held_out_error": each.error}
            log.write({"step": number}, figures)
        log.sync()
    finally:
        log.close()


def _chosen(best: Tried, videos: Videos) -> str:
    strength = f"ridge {best.ridge:g}, power {best.power:g}"
    if np.isnan(best.auc):
        return f"{len(videos)} videos are too few to hold any out: {strength} are not chosen but usual"
    return f"{strength}: AUC {100 * best.auc:.1f} +- {100 * best.error:.1f} % on held-out clusters, cross-fitted"
