"""Learn a voice-face representation without identity labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from lowshot.progress import Report, quiet
from lowshot.workflows.datasets import open_dataset
from lowshot.workflows.settings import AllSections, Settings, resolve_config

if TYPE_CHECKING:
    from lowshot.training.distributed import World


def pretrain(
    data: str | Path | None = None,
    *,
    method: str | Settings | None = None,
    preset: str | None = None,
    config: str | Path | Settings | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    out: Path | None = None,
    resume: str = "auto",
    trust_paths: bool = False,
    report: Report = quiet,
    world: "World | None" = None,
    **sections: Unpack[AllSections],
) -> Path:
    """Pretrain into a run directory.

    Args:
        data: a directory, a manifest, or `synth:tiny|demo|bench`; the setting `data` if None.
        method: its name, or its settings.
        preset, config, settings, sections: see `resolve_config`.
        seed: of weights, order and augmentation.
        out: the run directory; the next one in `runs/` if None.
        resume: `auto` continues a stopped run of the same settings, `never` starts anew, a path names the run.
        trust_paths: let the manifest name files outside its folder.
        report: takes progress events.
        world: the processes that share the work; this one alone if None.

    Returns:
        The run directory.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
        RunError: the training failed.
    """
    named = {**sections, "data": data, "method": method, "seed": seed}
    resolved = resolve_config(preset=preset, config=config, settings=settings, named=named)
    # Errors in settings are reported before torch is imported.
    from lowshot.data.readers.choice import open_reader
    from lowshot.training.distributed import ALONE
    from lowshot.training.loop import pretrain as train

    world = world or ALONE
    # The first process goes first, so that an embedded world is rendered once.
    for turn in (world.leads, not world.leads):
        with world.together():
            if turn:
                dataset = open_dataset(resolved.data, trust_paths=trust_paths, report=report if world.leads else quiet)
                reader = open_reader(dataset, resolved.model, resolved.voice, resolved.face)
    return train(resolved, reader, out, resume, world=world, report=report)
