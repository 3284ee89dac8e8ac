"""How long tables of VoxCeleb1's size take, from folders to batches, and how much memory.

    python benchmarks/scale.py [--scale 1.0]

Makes a tree of empty files in VoxCeleb1's layout: 1,251 people, 21,819 videos, 153,516 voices and 1,200,045 faces,
times the scale. Then, in one process: import, reading and checking of the manifest, labelled subsets, the trials that
`evaluate` builds, and one epoch of what the sampler uniforms. No medium is read. Seconds are those of the clock and of
the processor, which differ where the machine has other work; memory is the largest so far of the whole process.
Making and removing the tree is not counted.
"""

import argparse
import csv
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lowshot.adapt.subset_lists import FRACTIONS
from lowshot.adapt.subsets import draw_subset
from lowshot.data.dataset import Dataset
from lowshot.data.pairs import Videos, choose, epoch_order, sample_uniforms, videos_of
from lowshot.evaluation.trial_set import build_trial_set
from lowshot.importers.voxceleb import import_voxceleb1

PEOPLE, VIDEOS, VOICES, FACES = 1251, 21_819, 153_516, 1_200_045
BATCH = 256


def peak() -> float:
    """Largest memory of this process so far, GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Print how long a stage took."""
    clock, processor = time.perf_counter(), time.process_time()
    yield
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    print(f"{name:28} {clock:8.1f} s   processor {processor:8.1f} s   peak {peak():5.2f} GiB", flush=True)


def shared_out(total: int, parts: int) -> Iterator[int]:
    """Sizes of so many nearly equal parts."""
    for part in range(parts):
        yield (part + 1) * total // parts - part * total // parts


def make_tree(root: Path, scale: float) -> None:
    """Empty files as VoxCeleb1 has them, with its tables."""
    people = round(PEOPLE * scale)
    voices, faces = (shared_out(round(total * scale), round(VIDEOS * scale)) for total in (VOICES, FACES))
    number = 0
    for person, videos in enumerate(shared_out(round(VIDEOS * scale), people)):
        for _ in range(videos):
            video = f"video{number:06d}"
            number += 1
            for folder, name, count in (
                (root / "wav" / f"id{10001 + person}" / video, "{:05d}.wav", next(voices)),
                (root / "unzippedFaces" / f"Person_{person}" / "1.6" / video, "{:07d}.jpg", next(faces)),
            ):
                folder.mkdir(parents=True)
                for item in range(1, count + 1):
                    (folder / name.format(item if name.endswith("wav") else 25 * item)).touch()
    with (root / "vox1_meta.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(("VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set"))
        for person in range(people):
            # Nations of unequal size, the largest with half of the people.
            nation = f"nation{int(np.log2(people / (person + 1)))}"
            writer.writerow((f"id{10001 + person}", f"Person_{person}", "mf"[person % 2], nation, "dev"))
    # 901, 100 and 250 of 1,251, spread evenly.
    codes = ("4" if person % 5 == 0 else "2" if person % 12 == 1 else "1" for person in range(people))
    lines = (f"Person_{person} {code} \n" for person, code in enumerate(codes))
    (root / "identity_splits.txt").write_text("".join(lines))


def draw_epoch(videos: Videos) -> int:
    """Which voice and which face each sample of an epoch is: what a batch is made of, without reading it."""
    rows = 0
    for step in range(len(videos) // BATCH):
        order = epoch_order(len(videos), 0, 0)[step * BATCH : (step + 1) * BATCH]
        uniforms = sample_uniforms(BATCH, 0, step)
        rows += len(choose([videos.voices[video] for video in order], uniforms[:, 0]))
        rows += len(choose([videos.faces[video] for video in order], uniforms[:, 2]))
    return rows


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="at least 0.2: a hundredth must be two people")
    scale = parser.parse_args().scale
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with stage("(making the tree)"):
            make_tree(root, scale)
        clock, processor = time.perf_counter(), time.process_time()
        with stage("import"):
            done = import_voxceleb1(root / "unzippedFaces", root / "wav", root / "vox1_meta.csv", root / "manifest.csv")
        with stage("read and check the table"):
            dataset = Dataset.open(done.manifest)
        with stage("subsets, all usual shares"):
            for fraction in FRACTIONS:
                draw_subset(dataset.manifest, fraction, seed=0)
        with stage("trials of all protocols"):
            build_trial_set(dataset)
        with stage("videos"):
            videos = videos_of(dataset, "train")
        with stage("one epoch of draws"):
            draw_epoch(videos)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        size = done.manifest.stat().st_size / 2**20
        print(f"{len(dataset.manifest):,} rows, {size:.0f} MiB, {len(videos):,} training videos")
        print(f"in all {clock:.1f} s, processor {processor:.1f} s, peak {peak():.2f} GiB")


if __name__ == "__main__":
    main()
