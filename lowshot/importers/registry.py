"""All importers by name. What they need is imported with their first run."""

from pathlib import Path
from typing import Any

from lowshot.importers.importer import Importer, Option, Outcome

FACES_PER_VIDEO = Option(
    "faces_per_video",
    int,
    "Keep at most so many faces of a video, evenly spaced.",
    metavar="N",
    absent="all",
    least=1,
)
VAL = Option("val", float, "Share of the identities to validate on.", 0.0, least=0, below=1)
TEST = Option("test", float, "Share of the identities to test on.", 0.0, least=0, below=1)
SPLIT_SEED = Option("split_seed", int, "Seed of the choice of identities for each split.", 0, least=0)


def _folder(name: str, content: str) -> Option:
    return Option(name, Path, f"Folder with {content}.", required=True, metavar="DIR")


def _meta(content: str, required: bool = True) -> Option:
    return Option("meta", Path, content, required=required, metavar="FILE", absent="" if required else "no genders")


def _voxceleb1(**given: Any) -> Outcome:
    from lowshot.importers.voxceleb import import_voxceleb1

    return import_voxceleb1(**given)


def _voxceleb2(**given: Any) -> Outcome:
    from lowshot.importers.voxceleb import import_voxceleb2

    return import_voxceleb2(**given)


def _mavceleb(**given: Any) -> Outcome:
    from lowshot.importers.mavceleb import import_mavceleb

    return import_mavceleb(**given)


def _any_folder(**given: Any) -> Outcome:
    from lowshot.importers.folder import import_folder

    return import_folder(**given)


def _csv(**given: Any) -> Outcome:
    from lowshot.importers.table import import_table

    return import_table(**given)


def _videos(folder: Path, out: Path, identity_from: Any, report: Any, **thresholds: Any) -> Outcome:
    from lowshot.importers.videos.faces import find_detector
    from lowshot.importers.videos.run import import_videos
    from lowshot.importers.videos.spans import Thresholds

    detect = find_detector()
    return import_videos(folder, out, detect, Thresholds(**thresholds), identity_from=identity_from, report=report)


IMPORTERS = {
    importer.name: importer
    for importer in (
        Importer(
            "voxceleb1",
            "VoxCeleb1, split by people as the field splits it across modalities.",
            _voxceleb1,
            (
                _folder("faces", "<name>/1.6/<video>/*.jpg"),
                _folder("voices", "<id>/<video>/*.wav"),
                _meta("vox1_meta.csv."),
                Option(
                    "splits",
                    Path,
                    "identity_splits.txt: the split of each person.",
                    metavar="FILE",
                    absent="the one beside vox1_meta.csv",
                ),
                FACES_PER_VIDEO,
            ),
        ),
        Importer(
            "voxceleb2",
            "VoxCeleb2: voices as M4A, and frames that were cut from its videos.",
            _voxceleb2,
            (
                _folder("faces", "<id>/<video>/*.jpg"),
                _folder("voices", "<id>/<video>/*.m4a"),
                _meta("vox2_meta.csv."),
                Option("val", float, "Share of the development identities to validate on.", 0.1, least=0, below=1),
                SPLIT_SEED,
                FACES_PER_VIDEO,
            ),
        ),
        Importer(
            "mavceleb",
            "The training part of a version of MAV-Celeb (FAME), with the language as a column.",
            _mavceleb,
            (
                _folder("faces", "<id>/<language>/<video>/*.jpg"),
                _folder("voices", "<id>/<language>/<video>/*.wav"),
                _meta("v1_meta.csv or the like, with ids, name and gender.", required=False),
                VAL,
                TEST,
                SPLIT_SEED,
                FACES_PER_VIDEO,
            ),
        ),
        Importer(
            "folder",
            "A FOLDER with <identity>/<video>/..., or <video>/... without identities.",
            _any_folder,
            (
                Option("folder", Path, positional=True),
                Option(
                    "identities",
                    bool,
                    "Whether the first folder is a person.",
                    absent="yes if that pairs voices with faces",
                ),
                VAL,
                TEST,
                SPLIT_SEED,
                FACES_PER_VIDEO,
            ),
            "The ending of a file's name tells voices from faces.",
        ),
        Importer(
            "csv",
            "A TABLE of your own with one row per voice clip or face image.",
            _csv,
            (
                Option("table", Path, positional=True),
                Option(
                    "column",
                    dict,
                    "What the table calls a column of the manifest, as in path=file; may be repeated.",
                    metavar="OURS=THEIRS",
                ),
                Option(
                    "value",
                    dict,
                    "What a word of the table is in the manifest, as in split:dev=train; may be repeated.",
                    metavar="COLUMN:THEIRS=OURS",
                ),
                Option("root", Path, "Folder that paths are relative to.", metavar="DIR", absent="the table's folder"),
                Option("trust_paths", bool, "Allow paths that lead out of that folder.", False),
                VAL,
                TEST,
                SPLIT_SEED,
            ),
        ),
        Importer(
            "videos",
            "Cut the MP4, MKV and WebM files below DIR into clips of one voice and pictures of one face.",
            _videos,
            (
                Option("folder", Path, positional=True, metavar="DIR"),
                Option(
                    "identity_from",
                    str,
                    "Identity of a file: none, or the name of the folder it lies in.",
                    "none",
                    choices=("none", "folder"),
                ),
                Option("min_face", int, "Least side of a face, in pixels.", 64, least=16),
                Option("min_sharpness", float, "Least sharpness of a picture; 0 takes all.", 0.02, least=0),
                Option("min_seconds", float, "Least length of a span.", 2.0, least=0.5),
                Option("max_seconds", float, "Greatest length of a span; longer ones are cut.", 10.0, least=1),
                Option("faces", int, "Greatest number of pictures of a span.", 4, least=1),
                Option("per_second", float, "Pictures examined per second, at most 30.", 4.0, least=1, most=30),
            ),
            "It keeps stretches of a shot in which exactly one face is seen from the front. Each becomes a video of "
            "the manifest. Skipped stretches are counted, and a CSV beside the manifest lists them with their reasons. "
            "If you stop the command, the same command goes on after the last file that was done. It needs "
            "pip install 'lowshot[video]'.",
        ),
    )
}
