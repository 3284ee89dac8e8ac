"""Published trial lists, in the forms in which they are distributed.

VoxCeleb1, as released with Learnable PINs and CMPC:
- verification: CSV with a header that has `voice-path`, `face-path` and `label`;
- matching: `<probe> <target> <other> ...` separated by blanks, no header; the target always comes first;
- retrieval: tab-separated `VoxCeleb1 ID` and `wav` or `jpg`, one file for each modality.

MAV-Celeb, as the FAME challenge distributes it: `<key> <voice> <face>`. The challenge keeps the labels.

The content of a file says which form it has. It does not say what impostors share, nor whether its people are trained
on; the names of the released files say that.
"""

import numpy as np

from lowshot.data.table_text import Rows
from lowshot.errors import RequestError
from lowshot.evaluation.trial_lists.listed import (
    GalleryList,
    HiddenList,
    MatchingList,
    TrialList,
    VerificationList,
    check_labels,
    names_of,
    seen_of,
    stratum_of,
)

VOXCELEB, MAVCELEB = "voxceleb1", "mavceleb"
_PAIRS = ("voice-path", "face-path", "label")
_GALLERY_ID = "VoxCeleb1 ID"
_GALLERY_MODALITY = {"wav": "voice", "jpg": "face"}
_ENDINGS = {
    **dict.fromkeys((".wav", ".m4a", ".flac", ".ogg", ".mp3", ".aac", ".opus"), "voice"),
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".webp", ".bmp"), "face"),
}


def modality_of(name: str) -> str | None:
    """Return a medium's modality by the ending of its name, else None."""
    return _ENDINGS.get(name[name.rfind(".") :].lower())


def parse_published(rows: Rows) -> TrialList | None:
    """Read a list of one of the published forms.

    Args:
        rows: the file.

    Returns:
        The list; None for another form.

    Raises:
        RequestError: a list of a published form that has a fault; names file and row.
    """
    header = rows.fields[0]
    if "voice-path" in header or "face-path" in header:
        return _verification(rows)
    if header[0] == _GALLERY_ID:
        return _gallery(rows)
    modalities = [modality_of(name) for name in header]
    if rows.separator == "," or modalities.count(None) > 1:
        return None
    if modalities == [None, "voice", "face"]:
        return _hidden(rows)
    return _matching(rows) if len(header) > 1 else None


def _name(rows: Rows) -> str:
    return rows.path.name


def _verification(rows: Rows) -> VerificationList:
    header, body = rows.fields[0], rows.fields[1:]
    for column in _PAIRS:
        if column not in header:
            raise RequestError(f"{rows.path}: column '{column}' is missing; this list needs {', '.join(_PAIRS)}")
    if not body:
        raise RequestError(f"{rows.path}: no trials")
    voice, face, label = (names_of([row[header.index(column)] for row in body]) for column in _PAIRS)
    listed = VerificationList(
        path=rows.path,
        form=VOXCELEB,
        line=rows.line[1:],
        stratum=stratum_of(_name(rows)) or "U",
        seen=seen_of(_name(rows)),
        voice=voice,
        face=face,
        label=np.asarray(label == "1", dtype=bool),
    )
    check_labels(listed, label.tolist())
    return listed


def _gallery(rows: Rows) -> GalleryList:
    header, body = rows.fields[0], rows.fields[1:]
    if len(header) != 2 or header[1] not in _GALLERY_MODALITY:
        raise RequestError(f"{rows.path}: '{_GALLERY_ID}' must be followed by wav or jpg, not {', '.join(header[1:])}")
    if not body:
        raise RequestError(f"{rows.path}: no items")
    return GalleryList(
        path=rows.path,
        form=VOXCELEB,
        line=rows.line[1:],
        seen=seen_of(_name(rows)),
        modality=_GALLERY_MODALITY[header[1]],
        name=names_of([row[1] for row in body]),
        identity=names_of([row[0] for row in body]),
    )


def _check_modality(listed: TrialList) -> None:
    """Refuse media with an ending of the other modality."""
    for modality, names in listed.media():
        wrong = {name for name in dict.fromkeys(names.tolist()) if modality_of(name) != modality}
        if wrong:
            trial = next(trial for trial, name in enumerate(names) if name in wrong)
            raise RequestError(f"{listed.place(trial)}: '{names[trial]}' stands where a {modality} should")


def _matching(rows: Rows) -> MatchingList:
    table = np.array(rows.fields, dtype=object)
    probe = modality_of(table[0, 0])
    if table.shape[1] < 3:
        raise RequestError(
            f"{rows.path}, row {rows.line[0]}: 2 fields; a matching list has a probe, its target and other candidates"
        )
    listed = MatchingList(
        path=rows.path,
        form=VOXCELEB,
        line=rows.line,
        stratum=stratum_of(_name(rows)) or "U",
        seen=seen_of(_name(rows)),
        direction="face_to_voice" if probe == "face" else "voice_to_face",
        probe=table[:, 0],
        target=table[:, 1],
        impostors=table[:, 2:],
    )
    _check_modality(listed)
    return listed


def _hidden(rows: Rows) -> HiddenList:
    table = np.array(rows.fields, dtype=object)
    listed = HiddenList(
        path=rows.path,
        form=MAVCELEB,
        line=rows.line,
        seen=seen_of(_name(rows)),
        key=table[:, 0],
        voice=table[:, 1],
        face=table[:, 2],
    )
    _check_modality(listed)
    first: dict[str, int] = {}
    for trial, key in enumerate(listed.key.tolist()):
        if key in first:
            raise RequestError(
                f"{listed.place(trial)}: key '{key}' stands in row {rows.line[first[key]]} too; a key names one trial"
            )
        first[key] = trial
    return listed
