"""Packs: the batches of the files they were made of, whole after every stop, refused where they do not fit."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock

from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.data.packing import writing as packing
from lowshot.data.packing.pack import STORE, Pack, damaged_files
from lowshot.data.packing.writing import pack_dataset
from lowshot.data.pairs import PairBatches, videos_of
from lowshot.data.readers.media import MediaReader
from lowshot.errors import RequestError
from lowshot.schema import PACK, UNREADABLE
from lowshot.settings import FaceConfig, VoiceConfig


def packed(source, out, config, **asked):
    return pack_dataset(Dataset.open(source), out, config.voice, config.face, **{"jobs": 1, **asked})


def opened(root, config):
    return MediaReader(Dataset.open(root), config.voice, config.face)


def batch(reader, config, step=3):
    videos = videos_of(reader.dataset, "train")
    return PairBatches(videos, reader, 16, 3, config.voice, config.face, config.augment).batch(step)


def same(one, other):
    return all(torch.equal(getattr(one, part), getattr(other, part)) for part in ("index", "voice", "face"))


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def pack(world, config, tmp_path_factory):
    """The micro world, packed. Do not change it: copy it."""
    out = tmp_path_factory.mktemp("packed") / "pack"
    packed(world, out, config)
    return out


@pytest.fixture
def source(world, tmp_path):
    """A copy of the micro world, to break."""
    return shutil.copytree(world, tmp_path / "source")


def paths(root, modality):
    return [root / path for path in Dataset.open(root).rows(modality)["path"]]


@pytest.mark.filterwarnings("error")
def test_a_pack_gives_every_medium_and_every_batch_of_the_files(pack, world, reader, config, tmp_path):
    packed(world, tmp_path / "files", config, faces="jpeg")
    for other in (opened(pack, config), opened(tmp_path / "files", config)):
        for ours, theirs in zip(other.voices(range(40)), reader.voices(range(40)), strict=True):
            assert ours[0].dtype == theirs[0].dtype
            assert np.array_equal(ours[0], theirs[0])
            assert ours[1] == theirs[1]
        assert all(map(np.array_equal, other.faces(range(80)), reader.faces(range(80))))
        assert same(batch(other, config), batch(reader, config))
        assert other.dataset.sha == reader.dataset.sha
    assert (pack / "manifest.csv").read_bytes() == (world / "manifest.csv").read_bytes()


def test_the_released_front_end_is_kept_exactly_and_bound_to_its_crop(world, tmp_path):
    settings = Config(
        voice=VoiceConfig(front_end="released", frames=160), face=FaceConfig(size=32, front_end="released")
    )
    packed(world, tmp_path / "pack", settings)
    ours, theirs = opened(tmp_path / "pack", settings), opened(world, settings)
    assert ours.voice(5)[0].dtype == np.float32
    assert np.array_equal(ours.voice(5)[0], theirs.voice(5)[0])
    assert np.array_equal(ours.face(5), theirs.face(5))
    with pytest.raises(RequestError, match=r"packed with voice\.frames=160, wanted with voice\.frames=48"):
        MediaReader(ours.dataset, settings.voice.model_copy(update={"frames": 48}), settings.face)


def test_rows_are_mapped_and_not_copied(pack, config):
    reader = opened(pack, config)
    one, again = reader.face(7), reader.face(7)
    assert np.shares_memory(one, again)
    assert not one.flags.writeable


@pytest.mark.slow
def test_several_processes_make_the_same_pack(pack, world, config, tmp_path):
    packed(world, tmp_path / "pack", config, jobs=2)
    ours, theirs = contents(pack), contents(tmp_path / "pack")
    assert ours.pop(ours_lock := (pack / STORE / ".lock").relative_to(pack), b"") == theirs.pop(ours_lock, b"")
    assert ours == theirs
    assert sum(path.suffix == ".bin" for path in ours) > 4


def test_a_stopped_packing_is_refused_and_goes_on(pack, world, config, tmp_path, monkeypatch):
    out, made = tmp_path / "pack", []

    def interrupted(task):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(task.path)
        return packing_make(task)

    packing_make = packing.make_shard
    with monkeypatch.context() as patch:
        patch.setattr(packing, "make_shard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            packed(world, out, config)
    with pytest.raises(RequestError, match="packing did not end"):
        Dataset.open(out)
    # A kill in the midst of a write leaves this, and a shard whose last bytes never came to the disk.
    (out / STORE / ".voice-0003.bin.x.part").write_bytes(b"half")
    made[0].write_bytes(made[0].read_bytes()[:-1] + b"?")
    untouched = made[1].stat().st_mtime_ns
    assert packed(world, out, config).kept == 2
    assert made[1].stat().st_mtime_ns == untouched
    assert {path: content for path, content in contents(out).items() if path.name != ".lock"} == {
        path: content for path, content in contents(pack).items() if path.name != ".lock"
    }


def test_unreadable_files_are_all_named_and_left_out_only_when_told(source, config, tmp_path):
    out = tmp_path / "pack"
    broken = [paths(source, "voice")[3], paths(source, "voice")[20], paths(source, "face")[70]]
    whole = [path.read_bytes() for path in broken]
    for path in broken:
        path.write_bytes(b"not media")
    outcome = packed(source, out, config)
    assert not outcome.record.finished
    assert [(entry.modality, entry.row) for entry in outcome.unreadable] == [("voice", 3), ("voice", 20), ("face", 70)]
    assert all(str(path) in entry.fault for path, entry in zip(broken, outcome.unreadable, strict=True))
    assert len(pd.read_csv(out / UNREADABLE)) == 3
    with pytest.raises(RequestError, match="packing did not end"):
        Dataset.open(out)

    fewer = packed(source, out, config, skip_unreadable=True)
    assert fewer.record.finished
    assert fewer.kept == len(list((out / STORE).glob("*.bin"))) - 3
    # The rows around those left out are still their own.
    ours, theirs = opened(out, config), opened(source, config)
    names = [list(reader.dataset.voices["path"]) for reader in (ours, theirs)]
    assert len(names[0]) == len(names[1]) - 2
    for row in (2, 3, 18, 19):
        assert np.array_equal(ours.voice(row)[0], theirs.voice(names[1].index(names[0][row]))[0])
    assert np.array_equal(ours.face(70), theirs.face(71))
    assert ours.dataset.sha != theirs.dataset.sha

    for path, content in zip(broken, whole, strict=True):
        path.write_bytes(content)
    mended = packed(source, out, config)
    assert mended.record.finished
    assert not mended.unreadable
    assert not (out / UNREADABLE).exists()
    assert Dataset.open(out).sha == Dataset.open(source).sha


def test_damage_is_found_by_hash_and_mended_by_the_same_command(pack, world, config, tmp_path):
    out = shutil.copytree(pack, tmp_path / "pack")
    shard = out / STORE / "face-0001.bin"
    content = shard.read_bytes()
    assert damaged_files(out) == []
    shard.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    assert damaged_files(out) == [shard]
    shard.write_bytes(content[:-1])
    with pytest.raises(RequestError, match=r"face-0001\.bin: missing or damaged"):
        opened(out, config)
    packed(world, out, config)
    assert shard.read_bytes() == content
    assert damaged_files(out) == []


@pytest.mark.parametrize(
    ("voice", "face", "fault"),
    [
        ({"mel_bands": 40}, {}, r"voice\.mel_bands=64, wanted with voice\.mel_bands=40"),
        ({}, {"size": 64}, r"face\.size=32, wanted with face\.size=64"),
    ],
)
def test_other_settings_are_refused_by_name(pack, world, config, tmp_path, voice, face, fault):
    wanted = config.voice.model_copy(update=voice), config.face.model_copy(update=face)
    with pytest.raises(RequestError, match=fault):
        MediaReader(Dataset.open(pack), *wanted)
    with pytest.raises(RequestError, match=fault.partition(",")[0]):
        pack_dataset(Dataset.open(world), pack, *wanted, jobs=1)


def test_a_crop_of_another_length_needs_no_other_pack_and_a_jpeg_pack_no_face_size(pack, world, config, tmp_path):
    longer = config.voice.model_copy(update={"frames": 64})
    Pack(pack, Dataset.open(pack).manifest, longer, config.face)
    packed(world, tmp_path / "files", config, faces="jpeg")
    larger = FaceConfig(size=40)
    reader = MediaReader(Dataset.open(tmp_path / "files"), config.voice, larger)
    assert np.array_equal(reader.face(3), MediaReader(Dataset.open(world), config.voice, larger).face(3))


def test_a_crop_longer_than_what_is_read_of_a_clip_needs_another_pack(world, config, tmp_path):
    short = config.model_copy(update={"voice": config.voice.model_copy(update={"max_seconds": 0.5})})
    packed(world, tmp_path / "pack", short)
    longer = short.voice.model_copy(update={"frames": 100})
    assert MediaReader(Dataset.open(world), longer, config.face).voice(0)[0].shape[1] > 90
    with pytest.raises(RequestError, match=rf"packed with voice\.frames={short.voice.frames}, wanted .*frames=100"):
        MediaReader(Dataset.open(tmp_path / "pack"), longer, config.face)


def test_the_list_of_unreadable_files_holds_no_formula(source, config, tmp_path):
    first = paths(source, "face")[0]
    relative = first.relative_to(source).as_posix()
    (source / "=1+1.jpg").write_bytes(b"no image")
    table = (source / "manifest.csv").read_text(encoding="utf-8")
    (source / "manifest.csv").write_text(table.replace(relative, "=1+1.jpg"), encoding="utf-8")
    packed(source, tmp_path / "pack", config)
    assert pd.read_csv(tmp_path / "pack" / UNREADABLE)["path"].tolist() == ["./=1+1.jpg"]


def test_files_that_have_changed_are_packed_anew_and_those_that_are_gone_stay(source, config, tmp_path):
    out = tmp_path / "pack"
    shards = len(packed(source, out, config).record.shards)
    one, other = paths(source, "voice")[:2]
    content = other.read_bytes()
    one.write_bytes(content[:-2000] + content[-2000:][::-1])
    assert packed(source, out, config).kept == shards - 1
    assert np.array_equal(opened(out, config).voice(0)[0], opened(source, config).voice(0)[0])
    one.unlink()
    assert packed(source, out, config).kept == shards
    assert damaged_files(out) == []


def test_labels_of_a_pack_may_change_and_its_rows_may_not(pack, config, tmp_path):
    out = shutil.copytree(pack, tmp_path / "pack")
    table = pd.read_csv(out / "manifest.csv", dtype=str, keep_default_na=False)
    table.assign(gender="").to_csv(out / "manifest.csv", index=False)
    opened(out, config)
    table.iloc[1:].to_csv(out / "manifest.csv", index=False)
    with pytest.raises(RequestError, match="names other files than the pack holds"):
        opened(out, config)


def test_what_is_no_pack_is_not_written_to(world, pack, config, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("x")
    with pytest.raises(RequestError, match="exists and holds no pack"):
        packed(world, tmp_path / "precious", config)
    with pytest.raises(RequestError, match="holds a pack; only media files are packed"):
        packed(pack, tmp_path / "again", config)
    half = pack / STORE / ".voice-0000.bin.x.part"
    half.touch()
    with FileLock(pack / STORE / ".lock"), pytest.raises(RequestError, match="another process is packing into it"):
        packed(world, pack, config)
    assert half.exists()
    half.unlink()
    other = shutil.copytree(world, tmp_path / "other")
    with (other / "manifest.csv").open("a") as file:
        file.write("wav/x.wav,voice,x,,,,,\n")
    with pytest.raises(RequestError, match="holds a pack of another manifest"):
        packed(other, pack, config)


def test_a_pack_of_another_version_is_refused(pack, tmp_path):
    out = shutil.copytree(pack, tmp_path / "pack")
    record = json.loads((out / PACK).read_text())
    (out / PACK).write_text(json.dumps(record | {"version": 2}))
    with pytest.raises(RequestError, match=r"pack\.json: damaged, or written by another version"):
        Dataset.open(out)
