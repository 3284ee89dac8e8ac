"""`lowshot data import videos`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lowshot.cli.options import json_option
from lowshot.errors import RequestError

if TYPE_CHECKING:
    from lowshot.importers.videos.faces import FaceDetector


@click.command("videos")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="MANIFEST",
    help="Manifest to write, as in x/manifest.csv.",
)
@click.option(
    "--identity-from",
    type=click.Choice(["none", "folder"]),
    default="none",
    show_default=True,
    help="Whose a file is: nobody's that is known, or of the name of the folder it lies in.",
)
@click.option(
    "--min-face", type=click.IntRange(16), default=64, show_default=True, help="Least side of a face, pixels."
)
@click.option(
    "--min-sharpness", type=click.FloatRange(0), default=0.02, show_default=True, help="Of a picture; 0 takes all."
)
@click.option("--min-seconds", type=click.FloatRange(0.5), default=2.0, show_default=True, help="Of a span.")
@click.option("--max-seconds", type=click.FloatRange(1), default=10.0, show_default=True, help="Longer ones are cut.")
@click.option("--faces", type=click.IntRange(1), default=4, show_default=True, help="Pictures of a span, at most.")
@click.option("--per-second", type=click.FloatRange(1, 30), default=4.0, show_default=True, help="Pictures looked at.")
@json_option
def videos(
    folder: Path,
    out: Path,
    identity_from: str,
    min_face: int,
    min_sharpness: float,
    min_seconds: float,
    max_seconds: float,
    faces: int,
    per_second: float,
    as_json: bool,
) -> None:
    """Cut the MP4, MKV and WebM files below DIR into clips of one voice and pictures of one face.

    Kept are stretches of a shot in which exactly one face is seen from the front; each becomes a video of the
    manifest. What is left out, and why, is counted and listed in a CSV beside the manifest. Stopped, the same command
    goes on after the last file that was done. Needs pip install 'lowshot[video]'.
    """
    detect = _detector()

    from typing import cast

    from tqdm import tqdm

    from lowshot.importers.videos.run import IdentityFrom, import_videos
    from lowshot.importers.videos.spans import REASONS, Thresholds

    asked = Thresholds(per_second, min_face, min_sharpness, min_seconds, max_seconds, faces)
    with tqdm(desc="import", unit="B", unit_scale=True, disable=None) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        done = import_videos(folder, out, detect, asked, cast(IdentityFrom, identity_from), advance)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "manifest": str(out),
                    "videos": done.videos,
                    "files": done.files,
                    "done_before": done.kept,
                    "skipped": dict(done.skipped),
                    "report": str(done.listed) if done.skipped else None,
                }
            )
        )
        return
    click.echo(f"{out}: {done.videos} videos of {done.files} files ({done.kept} files done before)")
    for reason, count in done.skipped.items():
        click.echo(f"  left out, {reason}: {count} stretches, {done.seconds[reason]:.0f} s ({REASONS[reason]})")
    if done.skipped:
        click.echo(f"  each is listed in {done.listed}")


def _detector() -> "FaceDetector":
    try:
        import av  # noqa: F401

        from lowshot.importers.videos.faces import FrontalFaces

        return FrontalFaces()
    except ImportError as error:
        raise RequestError(f"videos need the package '{error.name}': pip install 'lowshot[video]'") from error
    except AttributeError as error:
        raise RequestError(
            "this OpenCV has no face detector of its own: pip install 'opencv-python-headless<5'"
        ) from error
