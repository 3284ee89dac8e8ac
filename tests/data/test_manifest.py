"""The manifest: what is refused, and that the message names the place."""

import numpy as np
import pandas as pd
import pytest

from lowshot.checking.table import read_table
from lowshot.data.dataset import Dataset, write_features
from lowshot.data.manifest import read_manifest, write_manifest
from lowshot.errors import RequestError


def table(**changes):
    rows = pd.DataFrame(
        {
            "path": ["a.wav", "a.jpg", "b.wav", "b.jpg"],
            "modality": ["voice", "face"] * 2,
            "video": ["v1", "v1", "v2", "v2"],
            "identity": ["p1", "p1", "p2", "p2"],
            "split": ["train", "train", "test", "test"],
            "mood": ["x"] * 4,
        }
    )
    return rows.assign(**changes)


def written(tmp_path, rows):
    path = tmp_path / "manifest.csv"
    rows.to_csv(path, index=False)
    return path


def test_round_trip_keeps_extra_columns(tmp_path):
    path = tmp_path / "manifest.csv"
    write_manifest(table(), path)
    pd.testing.assert_frame_equal(read_manifest(path), table())


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"modality": ["voice"] * 4}, "no row with modality 'face'"),
        ({"modality": ["voice", "face", "sound", "face"]}, "row 4: modality 'sound'"),
        ({"split": ["train", "dev", "test", "test"]}, "row 3: split 'dev'"),
        ({"video": ["v1", "", "v2", "v2"]}, "row 3: video is empty"),
        ({"identity": ["p1", "p2", "p2", "p2"]}, "video 'v1' has rows of several identities"),
        ({"identity": ["p1"] * 4}, "identity 'p1' is in several splits .test, train."),
        ({"identity": ["", "", "p2", "p2"], "video": ["v1"] * 4}, "video 'v1' is in several splits .test, train."),
        ({"identity": [""] * 4, "video": ["v1"] * 4}, "video 'v1' is in several splits .test, train."),
        ({"path": ["a.wav", "a.jpg", "a.wav", "b.jpg"]}, "path 'a.wav' is in several splits .test, train."),
    ],
)
def test_a_fault_is_named(tmp_path, changes, fault):
    with pytest.raises(RequestError, match=fault):
        read_manifest(written(tmp_path, table(**changes)))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a.jpg,face,v1,p1", "row 3: 4 cells, the header has 6"),
        ('"a,1.jpg",face,v1,p1,train', "row 3: 5 cells, the header has 6"),
        ("a.jpg,face,v1,p1,train,x,y", "not a CSV table"),
    ],
)
def test_a_row_with_more_or_fewer_cells_is_no_row_with_empty_ones(tmp_path, row, fault):
    lines = written(tmp_path, table()).read_text().splitlines()
    lines[2] = row
    (tmp_path / "manifest.csv").write_text("\n\n".join(lines) + "\n")
    with pytest.raises(RequestError, match=fault):
        read_manifest(tmp_path / "manifest.csv")


def test_cells_in_excess_at_every_row_move_no_column(tmp_path):
    header, *rows = written(tmp_path, table()).read_text().splitlines()
    (tmp_path / "manifest.csv").write_text("\n".join([header, *(f"0,{row}" for row in rows)]) + "\n")
    with pytest.raises(RequestError, match="row 2: 7 cells, the header has 6"):
        read_manifest(tmp_path / "manifest.csv")


def test_a_last_column_without_values_is_a_column(tmp_path):
    rows = table(mood=[""] * 4)
    pd.testing.assert_frame_equal(read_manifest(written(tmp_path, rows)), rows)


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(RequestError, match="column 'identity' is missing"):
        read_manifest(written(tmp_path, table().drop(columns="identity")))


@pytest.mark.parametrize(("mark", "said"), [(";", "semicolons"), ("\t", "tabs")])
@pytest.mark.parametrize("read", [read_manifest, read_table])
def test_columns_that_no_commas_separate_are_told_by_what_does(tmp_path, read, mark, said):
    path = tmp_path / "manifest.csv"
    # A cell with a comma makes rows of two cells of it, and a byte order mark comes with it from a spreadsheet.
    table(mood=["x, y"] * 4).to_csv(path, index=False, sep=mark, encoding="utf-8-sig")
    with pytest.raises(RequestError, match=rf"manifest\.csv: {said} seem to separate the columns; write commas$"):
        read(path)


def test_a_name_with_semicolons_is_no_separator(tmp_path):
    rows = table().rename(columns={"mood": "a;b;c;d;e;f;g;h"})
    assert read_manifest(written(tmp_path, rows)).columns.tolist() == rows.columns.tolist()


def test_a_column_named_twice_is_named(tmp_path):
    path = written(tmp_path, table())
    path.write_text(path.read_text().replace("mood", "identity", 1))
    with pytest.raises(RequestError, match=r"manifest\.csv: column 'identity' appears twice"):
        read_manifest(path)


def test_no_rows_and_no_file_are_refused(tmp_path):
    with pytest.raises(RequestError, match="no rows"):
        read_manifest(written(tmp_path, table().iloc[:0]))
    with pytest.raises(RequestError, match="no such manifest"):
        read_manifest(tmp_path / "none.csv")


def test_a_file_that_is_trained_on_is_no_held_out_clip(tmp_path):
    rows = table(identity=["p1"] * 4, split=["train", "train", "", ""], path=["a.wav", "a.jpg", "a.wav", "b.jpg"])
    with pytest.raises(RequestError, match=r"path 'a\.wav' is in several splits \(empty, train\)"):
        read_manifest(written(tmp_path, rows))


def test_one_file_may_hold_voice_and_face_and_features_need_no_path(tmp_path):
    both = table(path=["a.mp4", "a.mp4", "b.mp4", "b.mp4"])
    assert len(read_manifest(written(tmp_path, both))) == 4
    assert len(read_manifest(written(tmp_path, table(path=[""] * 4)))) == 4


def test_held_out_clips_of_a_training_identity_are_no_shared_split(tmp_path):
    rows = table(identity=["p1"] * 4, split=["train", "train", "", ""])
    assert len(read_manifest(written(tmp_path, rows))) == 4


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.wav", "x/../../a.wav", "C:\\a.wav", "\\\\host\\a.wav", ""])
def test_a_path_outside_the_dataset_is_refused(tmp_path, path):
    written(tmp_path, table(path=["a.wav", path, "b.wav", "b.jpg"]))
    with pytest.raises(RequestError, match=r"row 3: path .* must name a file below"):
        Dataset.open(tmp_path)


def test_rows_without_any_path_ask_for_their_vectors_by_name(tmp_path):
    written(tmp_path, table(path=[""] * 4))
    with pytest.raises(RequestError, match=r"features\.safetensors: is missing; no row .* beside the manifest$"):
        Dataset.open(tmp_path)
    (tmp_path / "feature.safetensors").touch()
    with pytest.raises(RequestError, match=r"perhaps feature\.safetensors needs that name"):
        Dataset.open(tmp_path)


def test_training_rows_of_an_archive_without_splits_are_all(tmp_path):
    written(tmp_path, table(split=[""] * 4, identity=[""] * 4))
    rows = Dataset.open(tmp_path).training_rows()
    assert rows["voice"].tolist() == rows["face"].tolist() == [0, 1]


def test_missing_files_are_counted_and_named(tmp_path):
    written(tmp_path, table())
    dataset = Dataset.open(tmp_path)
    (tmp_path / "a.wav").touch()
    with pytest.raises(RequestError, match=r"1 of 2 voice files are missing: .*b\.wav"):
        dataset.check_files("voice", [0, 1])


def test_an_unknown_source_is_refused(tmp_path):
    with pytest.raises(RequestError, match="no such dataset"):
        Dataset.open(tmp_path / "nowhere")


def test_features_are_a_dataset(tmp_path):
    written(tmp_path, table())
    source = Dataset.open(tmp_path)
    voice, face = np.eye(2, 3, dtype=np.float32), np.ones((2, 3), np.float32)
    write_features(tmp_path / "out", source, voice, face, {"model": "m"})
    features = Dataset.open(tmp_path / "out")
    assert features.has_features
    np.testing.assert_array_equal(features.features["voice"], voice)
    assert features.sha != source.sha


@pytest.mark.parametrize("name", ["world.json", "latents.safetensors", "truth.csv"])
def test_another_rendering_of_a_world_is_another_dataset(tmp_path, name):
    written(tmp_path, table())
    plain = Dataset.open(tmp_path).sha
    assert Dataset.open(tmp_path).sha == plain
    shas = {plain}
    for content in ("one", "other"):
        (tmp_path / name).write_text(content)
        shas.add(Dataset.open(tmp_path).sha)
    assert len(shas) == 3


@pytest.mark.parametrize(
    ("voice", "fault"),
    [([[1.0, 2.0]], "has shape"), ([[1.0, 2.0], [float("nan"), 0.0]], "row 4: voice vector holds values")],
)
def test_features_that_do_not_fit_are_named(tmp_path, voice, fault):
    written(tmp_path, table())
    write_features(
        tmp_path / "out", Dataset.open(tmp_path), np.array(voice, np.float32), np.ones((2, 2), np.float32), {}
    )
    with pytest.raises(RequestError, match=fault):
        _ = Dataset.open(tmp_path / "out").features
