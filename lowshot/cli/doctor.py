"""`lowshot doctor`."""

import json
import multiprocessing
import os
import platform
import shutil
from dataclasses import asdict, dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import click

from lowshot import __version__

NEEDED = ("torch", "torchvision", "torchaudio", "soundfile", "pillow", "scikit-learn", "pandas", "safetensors")
# What is installed on request, as in `pip install 'lowshot[codec]'`: the modules, and what they are for.
EXTRAS = {
    "codec": (("av",), "voices from M4A, MP4, AAC, WebM and MKV"),
    "video": (("av", "cv2"), "data import videos"),
    "onnx": (("onnx", "onnxruntime", "onnxscript"), "models export --format onnx"),
}
# What rendering the demo world and a run of it take, with room to spare.
NEEDED_BYTES = 1 << 30


@dataclass
class Findings:
    """What this machine has.

    Attributes:
        packages: versions of what lowshot needs.
        extras: whether each is installed.
        cores: CPUs that this process may use.
        threads: of torch, where train.threads does not say otherwise.
        worker_starts: how worker processes can be started, the usual way first.
        gpus: by name.
        folders: where worlds and runs are kept, and the bytes that are free there.
        models: those that come with lowshot.
        faults: what would stop a run, a line each.
    """

    lowshot: str
    python: str
    platform: str
    packages: dict[str, str] = field(default_factory=dict)
    extras: dict[str, bool] = field(default_factory=dict)
    cores: int = 1
    threads: int | None = None
    worker_starts: list[str] = field(default_factory=list)
    gpus: list[str] = field(default_factory=list)
    folders: dict[str, tuple[str, int]] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(as_json: bool) -> None:
    """Say what this machine has, and what would stop a run."""
    from lowshot.errors import RunError

    found = _look()
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        _print(found)
    if found.faults:
        raise RunError(f"{len(found.faults)} faults would stop a run; they are listed above")
    if not as_json:
        click.echo("nothing here would stop a run")


def _look() -> Findings:
    from lowshot.files import cache_root

    found = Findings(__version__, platform.python_version(), platform.platform())
    for name in NEEDED:
        try:
            found.packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found.faults.append(f"{name} is not installed: pip install {name}")
    for extra, (modules, _) in EXTRAS.items():
        found.extras[extra] = all(find_spec(module) is not None for module in modules)
    found.cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found.worker_starts = multiprocessing.get_all_start_methods()
    if "torch" in found.packages:
        import torch

        found.threads = torch.get_num_threads()
        found.gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    for what, folder in (("cache", cache_root()), ("runs", Path("runs").resolve())):
        _look_at_folder(what, folder, found)
    _look_at_models(found)
    return found


def _look_at_folder(what: str, folder: Path, found: Findings) -> None:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    found.folders[what] = (str(folder), free)
    if not os.access(there, os.W_OK):
        found.faults.append(f"{there} cannot be written to")
    elif free < NEEDED_BYTES:
        found.faults.append(f"{there} has less than {NEEDED_BYTES / 2**30:.0f} GiB free")


def _look_at_models(found: Findings) -> None:
    """Whether the models that come with lowshot are whole: they are no use otherwise."""
    from lowshot.errors import RequestError
    from lowshot.models.pretrained import PREFIX, checked_weights, read_registry

    try:
        for name, entry in read_registry().items():
            checked_weights(entry)
            found.models.append(PREFIX + name)
    except RequestError as error:
        found.faults.append(str(error))


def _print(found: Findings) -> None:
    lines = {"lowshot": found.lowshot, "python": f"{found.python} on {found.platform}", **found.packages}
    for extra, (_, purpose) in EXTRAS.items():
        here = "installed" if found.extras[extra] else f"not installed (pip install 'lowshot[{extra}]')"
        lines[f"[{extra}]"] = f"{here}: {purpose}"
    lines["cores"] = str(found.cores)
    if found.threads is not None:
        lines["threads"] = f"{found.threads} of torch, unless train.threads says otherwise"
    lines["workers"] = f"train.workers=N starts N processes, by {' or '.join(found.worker_starts)}"
    lines["gpu"] = ", ".join(found.gpus) or "none; runs use the CPU"
    for what, (folder, free) in found.folders.items():
        lines[what] = f"{folder} ({free / 2**30:.1f} GiB free)"
    lines["models"] = f"{', '.join(found.models)} (hashes right)" if found.models else "none"
    for what, said in lines.items():
        click.echo(f"{what:12} {said}")
    for fault in found.faults:
        click.echo(f"{'fault':12} {fault}")
