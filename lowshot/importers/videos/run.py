"""Cut videos of talking people into clips of one voice and pictures of one face, shot by shot.

Each file has its own folder of clips, which appears when the file is done. A stopped import goes on after it.
"""

import csv
import hashlib
import json
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import soundfile
from PIL import Image

from lowshot.data.manifest import write_manifest
from lowshot.data.sound import SILENT_PEAK
from lowshot.data.voice import SAMPLE_RATE
from lowshot.errors import RequestError
from lowshot.files import atomic_path, no_formula, write_text
from lowshot.importers.videos.faces import FaceDetector, faces_in
from lowshot.importers.videos.spans import REASONS, USUAL, Sample, SkippedSpan, Span, Thresholds, cut_shot
from lowshot.importers.videos.streams import Unreadable, Video
from lowshot.progress import Event, Report, quiet
from lowshot.schema import SKIPPED, VIDEO_RECORD

ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
IdentityFrom = Literal["none", "folder"]
# Version of the record. A folder with another version is made anew.
_FORM = 1
# Share of a picture's colours that leave their ninth of it at a cut.
_CUT = 0.5
# Longer shots are cut to save memory, seconds.
_LONGEST_SHOT = 60.0
# Faces of one picture that are followed.
_FOLLOWED = 3
_QUALITY = 95


@dataclass(frozen=True)
class Imported:
    """Outcome of an import.

    Attributes:
        manifest: the file that was written.
        files: number of video files found.
        kept: number of files that were done before.
        videos: number of spans; each is a video of the manifest.
        skipped: number of skipped stretches by reason.
        seconds: their length by reason. A file that was skipped as a whole counts with its own length.
        skipped_list: the CSV that lists them.
    """

    manifest: Path
    files: int
    kept: int
    videos: int
    skipped: dict[str, int]
    seconds: dict[str, float]
    skipped_list: Path

    def lines(self) -> list[str]:
        """What was imported and what was skipped, for a person."""
        said = [f"{self.manifest}: {self.videos} videos of {self.files} files ({self.kept} files done before)"]
        for reason, count in self.skipped.items():
            said.append(f"  skipped, {reason}: {count} stretches, {self.seconds[reason]:.0f} s ({REASONS[reason]})")
        return [*said, f"  {self.skipped_list} lists the skipped stretches"] if self.skipped else said

    def record(self) -> dict[str, object]:
        """The same as values that JSON can hold, for a script."""
        return {
            "manifest": str(self.manifest),
            "videos": self.videos,
            "files": self.files,
            "done_before": self.kept,
            "skipped": dict(self.skipped),
            "report": str(self.skipped_list) if self.skipped else None,
        }


def import_videos(
    folder: Path,
    out: Path,
    detect: FaceDetector,
    asked: Thresholds = USUAL,
    *,
    identity_from: IdentityFrom = "none",
    report: Report = quiet,
) -> Imported:
    """Make a dataset of the video files below a folder.

    Args:
        folder: where to look. Links to folders are not followed.
        out: the manifest to write. The media go to a folder beside it, `<its name>-media`, and skipped stretches into
            `<its name>-skipped.csv`.
        detect: finds faces.
        asked: requirements of a span.
        identity_from: `folder` takes the name of a file's folder for its identity; files in `folder` itself have
            none. `none` gives no file an identity.
        report: takes progress events.

    Raises:
        RequestError: there are no video files, `out` is a manifest of something else, or no file is usable.
    """
    if asked.max_seconds < 2 * asked.min_seconds:
        raise RequestError(
            f"`max_seconds={asked.max_seconds:g}`: long spans are cut into equal parts; give at least twice "
            f"`min_seconds`, {2 * asked.min_seconds:g}"
        )
    media = out.parent / f"{out.stem}-media"
    if out.exists() and not media.is_dir():
        raise RequestError(f"`out` {out}: exists, and no import of videos wrote it; name another file")
    files = _files_below(folder)
    sizes = [path.stat().st_size for path in files]
    total = sum(sizes)
    before, kept = 0, 0
    rows: list[dict[str, str]] = []
    skipped: list[dict[str, str]] = []
    for path, size in zip(files, sizes, strict=True):
        name = _name_of(path, folder)
        wanted = _wanted(path, asked, detect)
        record = _read_record(media / name, wanted)
        kept += record is not None
        if record is None:

            def advance(share: float, start: int = before, size: int = size) -> None:
                report(Event("steps", "import", start + round(share * size), total, "B"))

            record = _import_file(path, media / name, wanted, detect, asked, advance)
        before += size
        report(Event("steps", "import", before, total, "B"))
        source = _as_text(path.relative_to(folder).as_posix())
        identity = _as_text(path.parent.name) if identity_from == "folder" and path.parent != folder else ""
        rows += _rows(record, f"{media.name}/{name}", source, identity)
        skipped += [{"source": source} | entry for entry in record["skipped"]]
    skipped_list = out.parent / f"{out.stem}-{SKIPPED}"
    _write_table(skipped_list, ("source", "start", "end", "reason", "detail"), skipped)
    if not rows:
        raise RequestError(f"{folder}: none of {len(files)} files is usable; {skipped_list} says why")
    write_manifest(pd.DataFrame(rows), out)
    counts = Counter(entry["reason"] for entry in skipped)
    seconds = {
        reason: sum(float(entry["end"]) - float(entry["start"]) for entry in skipped if entry["reason"] == reason)
        for reason in counts
    }
    videos = len({row["video"] for row in rows})
    return Imported(out, len(files), kept, videos, dict(counts.most_common()), seconds, skipped_list)


def _files_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise RequestError(f"{folder}: no such folder")
    found = [
        Path(place) / name
        for place, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in ENDINGS and (Path(place) / name).is_file()
    ]
    if not found:
        raise RequestError(f"{folder}: no video file ({', '.join(ENDINGS)}) in it or below it; name another folder")
    return sorted(found)


def _name_of(path: Path, folder: Path) -> str:
    """Return a name that suits every file system and that no other file of the folder has."""
    relative = os.fsencode(path.relative_to(folder).as_posix())
    plain = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")[:40]
    return f"{plain or 'video'}-{hashlib.sha256(relative).hexdigest()[:8]}"


def _as_text(name: str) -> str:
    """Return a file's name as text; other bytes are written out, and no spreadsheet takes it for a formula."""
    return no_formula(os.fsencode(name).decode("utf-8", "backslashreplace"))


def _wanted(path: Path, asked: Thresholds, detect: FaceDetector) -> dict[str, Any]:
    """Return what the record of a file must say of its making to be kept."""
    stat = path.stat()
    made = {"form": _FORM, "detector": detect.name, "asked": asdict(asked)}
    return {**made, "size": stat.st_size, "modified": stat.st_mtime_ns}


def _read_record(folder: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    try:
        record = json.loads((folder / VIDEO_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if record.get("made") == wanted else None


def _import_file(
    path: Path,
    target: Path,
    wanted: dict[str, Any],
    detect: FaceDetector,
    asked: Thresholds,
    advance: Callable[[float], None],
) -> dict[str, Any]:
    """Cut one file, write its clips and pictures, and return the record."""
    spans: list[tuple[str, Span]] = []
    skipped: list[tuple[SkippedSpan, str]] = []
    record: dict[str, Any] = {"made": wanted, "videos": []}
    with _folder_in_the_making(target) as folder:
        seconds, reached = 0.0, 0.0
        try:
            video = Video(path)
            seconds = video.seconds
            if not (video.has_picture and video.has_sound):
                skipped.append((SkippedSpan(0.0, seconds, "no-audio" if video.has_picture else "no-picture"), ""))
            else:
                for number, samples in enumerate(_shots(video, detect, asked), start=1):
                    found, rest = cut_shot(samples, asked)
                    spans += [(f"{number:04}-{place:02}", span) for place, span in enumerate(found, start=1)]
                    skipped += [(entry, "") for entry in rest]
                    reached = samples[-1].time
                    advance(min(1.0, reached / seconds) if seconds else 0.0)
        except Unreadable as error:
            skipped.append((SkippedSpan(reached, max(seconds, reached), "unreadable"), str(error)))
        for (name, span), sound in zip(spans, _sounds(video, spans) if spans else (), strict=True):
            reason = _unfit(sound, span)
            if reason:
                skipped.append((SkippedSpan(span.start, span.end, reason), ""))
            else:
                _write_span(folder, name, span, sound)
                record["videos"].append(
                    {"name": name, "faces": len(span.faces), "start": f"{span.start:.2f}", "end": f"{span.end:.2f}"}
                )
        record["skipped"] = [
            {"start": f"{entry.start:.2f}", "end": f"{entry.end:.2f}", "reason": entry.reason, "detail": detail}
            for entry, detail in sorted(skipped, key=lambda pair: pair[0].start)
        ]
        write_text(folder / VIDEO_RECORD, json.dumps(record, indent=1))
    return record


@contextmanager
def _folder_in_the_making(target: Path) -> Iterator[Path]:
    """Give a folder to write to. It becomes `target` if the block ends well, and is removed otherwise."""
    folder = target.with_name(f".{target.name}.part")
    # A killed import may have left one.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
        # From another state of the file, or with other settings.
        shutil.rmtree(target, ignore_errors=True)
        folder.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _shots(video: Video, detect: FaceDetector, asked: Thresholds) -> Iterator[list[Sample]]:
    """Give the pictures of a file shot by shot."""
    shot: list[Sample] = []
    colours = None
    for time, picture in video.pictures(asked.per_second):
        before, colours = colours, _colours(picture)
        if shot and (
            before is None
            or np.abs(colours - before).sum() / 2 > _CUT
            # A gap in the file, or time that runs backwards.
            or not 0 < time - shot[-1].time < 3 / asked.per_second
            or time - shot[0].time > _LONGEST_SHOT
        ):
            yield shot
            shot = []
        grey = np.asarray(Image.fromarray(picture).convert("L"))
        shot.append(Sample(time, faces_in(picture, detect(grey, max(1, asked.min_face // 2)), _FOLLOWED)))
    if shot:
        yield shot


def _colours(picture: np.ndarray) -> np.ndarray:
    """Return the shares of 64 colours in each ninth of a picture, [9, 64]; all together sum to 1."""
    small = np.asarray(Image.fromarray(picture).resize((96, 54), Image.Resampling.BOX)) >> 6
    codes = (small[..., 0].astype(np.int64) << 4) + (small[..., 1] << 2) + small[..., 2]
    ninths = codes.reshape(3, 18, 3, 32).transpose(0, 2, 1, 3).reshape(9, -1)
    counts = np.bincount((ninths + 64 * np.arange(9)[:, None]).ravel(), minlength=9 * 64)
    return counts.reshape(9, 64) / counts.sum()


def _sounds(video: Video, spans: list[tuple[str, Span]]) -> Iterator[np.ndarray]:
    """Give the sound of each span; empty once decoding fails."""
    left = len(spans)
    try:
        for sound in video.sound([(span.start, span.end) for _, span in spans]):
            left -= 1
            yield sound
    except Unreadable:
        yield from [np.zeros(0, np.int16)] * left


def _unfit(sound: np.ndarray, span: Span) -> str:
    # Edges of blocks and the resampler lose a few samples.
    if len(sound) < 0.95 * (span.end - span.start) * SAMPLE_RATE:
        return "no-audio"
    return "silent" if np.abs(sound.astype(np.int32)).max() < SILENT_PEAK * 2**15 else ""


def _write_span(folder: Path, name: str, span: Span, sound: np.ndarray) -> None:
    soundfile.write(folder / f"{name}.wav", sound, SAMPLE_RATE, subtype="PCM_16")
    for number, face in enumerate(span.faces, start=1):
        Image.fromarray(face).save(folder / f"{name}-{number}.jpg", quality=_QUALITY)


def _rows(record: dict[str, Any], folder: str, source: str, identity: str) -> list[dict[str, str]]:
    rows = []
    for entry in record["videos"]:
        stem = f"{folder}/{entry['name']}"
        paths = [(f"{stem}.wav", "voice")]
        paths += [(f"{stem}-{number}.jpg", "face") for number in range(1, entry["faces"] + 1)]
        video = {"video": f"{folder.rsplit('/', 1)[-1]}-{entry['name']}", "identity": identity, "split": ""}
        origin = {"source": source, "start": entry["start"], "end": entry["end"]}
        rows += [{"path": path, "modality": modality} | video | origin for path, modality in paths]
    return rows


def _write_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
