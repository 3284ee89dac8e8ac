"""A small archive in VoxCeleb1's layout, its table of people, and lists in the published forms."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from lowshot.data.dataset import Dataset

# VoxCeleb1 ID, VGGFace1 ID, gender, nationality, split of the manifest.
PEOPLE = (
    ("id20001", "Ada_B._Vox", "f", "Norway", "test"),
    ("id20002", "Bo_Vox", "m", "Norway", "test"),
    ("id20003", "Cy-D._Vox", "m", "Chile", "test"),
    ("id20004", "Di_Vox", "f", "Chile", "test"),
    ("id20005", "Ed_Vox", "m", "Norway", "train"),
    ("id20006", "Fay_Vox", "f", "Chile", "train"),
)
CLIPS = (1, 2)
FRAMES = (25, 50)


def videos(person: int) -> tuple[str, str]:
    """Two names of 11 characters, as YouTube's: they may hold `_` and `-`."""
    return f"a_-{person:08d}", f"b{person}_0000001_"[:11]


def new_voice(person: int, video: int, clip: int) -> str:
    return f"{PEOPLE[person][0]}/{videos(person)[video]}/{clip:05d}.wav"


def old_voice(person: int, video: int, clip: int) -> str:
    return f"{PEOPLE[person][1]}/{videos(person)[video]}_{clip:07d}.wav"


def face(person: int, video: int, frame: int, scale: str = "1.6/") -> str:
    return f"{PEOPLE[person][1]}/{scale}{videos(person)[video]}/{frame:07d}.jpg"


def vox_dataset(root: Path, features: bool = True) -> Dataset:
    """Two videos of each person, two voices and two faces each; `vox1_meta.csv` and `identity_splits.txt` beside."""
    rows = []
    for person, (identity, *_, split) in enumerate(PEOPLE):
        for video in (0, 1):
            shared = {"video": f"{identity}/{videos(person)[video]}", "identity": identity, "split": split}
            rows += [{"path": f"wav/{new_voice(person, video, c)}", "modality": "voice", **shared} for c in CLIPS]
            rows += [{"path": f"unzippedFaces/{face(person, video, f)}", "modality": "face", **shared} for f in FRAMES]
    table = pd.DataFrame(rows)
    root.mkdir(parents=True, exist_ok=True)
    table.to_csv(root / "manifest.csv", index=False)
    write_meta(root / "vox1_meta.csv")
    if features:
        rng = np.random.default_rng(0)
        centre = {identity: rng.standard_normal(8) for identity, *_ in PEOPLE}
        vectors = {
            m: np.stack([centre[i] + rng.standard_normal(8) for i in table.loc[table["modality"] == m, "identity"]])
            for m in ("voice", "face")
        }
        save_file({m: v.astype(np.float32) for m, v in vectors.items()}, root / "features.safetensors")
    return Dataset.open(root)


def write_meta(path: Path) -> None:
    header = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
    path.write_text(header + "".join("\t".join((*person[:4], "dev")) + "\n" for person in PEOPLE))
    # With the trailing blank of the released file.
    number = {"train": 1, "test": 4}
    path.with_name("identity_splits.txt").write_text("".join(f"{p[1]} {number[p[4]]} \n" for p in PEOPLE))


def verification_text(people: tuple[int, ...] = (0, 1, 2, 3), impostor: int = 1) -> str:
    """For each voice of the first video a face of the second, and one of another person."""
    lines = ["id,voice-speaker-id,face-speaker-id,label,voice-path,face-path"]
    for person, clip in product(people, CLIPS):
        other = people[(people.index(person) + impostor) % len(people)]
        for label, whose in ((1, person), (0, other)):
            place = f"{len(lines)},{person + 1},{whose + 1},{label}"
            lines.append(f"{place},{old_voice(person, 0, clip)},{face(whose, 1, FRAMES[clip - 1], scale='')}")
    return "\n".join(lines) + "\n"


def matching_text(direction: str = "v2f", size: int = 2) -> str:
    """For each probe of the first video the target of the second, then others."""
    lines = []
    for person, k in product(range(4), (0, 1)):
        whose = [person, *((person + step) % 4 for step in range(1, size))]
        if direction == "v2f":
            names = [new_voice(person, 0, CLIPS[k]), *(face(p, 1, FRAMES[k]) for p in whose)]
        else:
            names = [face(person, 0, FRAMES[k]), *(new_voice(p, 1, CLIPS[k]) for p in whose)]
        lines.append(" ".join(names))
    return "\n".join(lines) + "\n"


def gallery_text(modality: str) -> str:
    """All voices or all faces of the people who are not trained on."""
    kind = {"voice": "wav", "face": "jpg"}[modality]
    lines = [f"VoxCeleb1 ID\t{kind}"]
    for person, video, k in product(range(4), (0, 1), (0, 1)):
        name = new_voice(person, video, CLIPS[k]) if modality == "voice" else face(person, video, FRAMES[k])
        lines.append(f"{PEOPLE[person][0]}\t{name}")
    return "\n".join(lines) + "\n"
