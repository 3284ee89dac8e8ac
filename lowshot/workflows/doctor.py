"""Check this machine: versions, devices, extras, folders, and bundled models."""

import multiprocessing
import os
import platform
import shutil
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from lowshot import __version__
from lowshot.errors import RequestError
from lowshot.files import cache_root

NEEDED = ("torch", "torchvision", "torchaudio", "soundfile", "pillow", "scikit-learn", "pandas", "safetensors")
# Optional packages, as in `pip install 'lowshot[codec]'`: the modules, and their purpose.
EXTRAS = {
    "codec": (("av",), "voices from M4A, MP4, AAC, WebM and MKV"),
    "video": (("av", "cv2"), "lowshot data import videos"),
    "onnx": (("onnx", "onnxruntime", "onnxscript"), "lowshot models export as ONNX"),
}
# More than the demo world and one run on it need.
NEEDED_BYTES = 1 << 30


@dataclass
class Findings:
    """Versions, devices, extras and faults of this machine.

    Attributes:
        packages: versions of packages that lowshot needs.
        extras: whether each extra is installed.
        cores: number of CPUs that this process may use.
        threads: number of torch's threads without the setting train.threads.
        worker_starts: ways to start worker processes, the usual one first.
        gpus: their names.
        folders: folders of worlds and runs, with their free bytes.
        models: bundled models.
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


def examine() -> Findings:
    """Examine this machine. Faults raise no error."""
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
        _examine_folder(what, folder, found)
    _examine_models(found)
    return found


def _examine_folder(what: str, folder: Path, found: Findings) -> None:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    found.folders[what] = (str(folder), free)
    if not os.access(there, os.W_OK):
        found.faults.append(f"cannot write to {there}")
    elif free < NEEDED_BYTES:
        found.faults.append(f"{there} has less than {NEEDED_BYTES / 2**30:.0f} GiB free")


def _examine_models(found: Findings) -> None:
    """Check the hashes of bundled models."""
    from lowshot.models.pretrained import PREFIX, checked_weights, read_registry

    try:
        for name, entry in read_registry().items():
            checked_weights(entry)
            found.models.append(PREFIX + name)
    except RequestError as error:
        found.faults.append(str(error))
