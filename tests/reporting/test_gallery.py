"""The gallery on the page: what is marked right, what is played, and what is refused."""

import base64
import json
import re
from pathlib import Path

import pytest

from lowshot.errors import RequestError
from lowshot.reporting import page
from lowshot.reporting.gallery import LARGEST, read_gallery

from .invented import NASTY, results, write_gallery


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    results().to_csv(tmp_path / "results.csv", index=False)
    write_gallery(tmp_path / "gallery")
    return tmp_path


def written(directory: Path) -> str:
    return page.write_report(directory, title="t", curves={}, commands=[]).read_text(encoding="utf-8")


def rankings(text: str) -> list[str]:
    return re.findall(r'<section class="ranking".*?</section>', text, flags=re.DOTALL)


@pytest.mark.usefixtures("quick")
def test_right_ones_are_marked_and_no_other(directory: Path) -> None:
    voice, face = rankings(written(directory))
    answers = re.findall(r'<li class="([^"]*)">(.*?)</li>', voice, flags=re.DOTALL)
    assert [bool("right" in marks.split()) for marks, _ in answers] == [False, True, False, False, False]
    assert [("✓ right" in text, "another person" in text) for _, text in answers] == [
        (place == 1, place != 1) for place in range(5)
    ]
    # What is marked by a frame is said in words too, in sight and for a screen reader.
    assert 'alt="Query 1, ranked 2: face of Ann, right"' in voice
    assert 'alt="Query 1, ranked 1: face of Bob, another person"' in voice
    assert "✓" not in face and face.count("another person</") == 0 and face.count("<br>another person") == 2
    assert "the first right face has rank 2 of 1,200; a random order gives rank 200 on average." in voice
    assert "0.80" in answers[1][1]


@pytest.mark.usefixtures("quick")
def test_voices_play_from_the_page_itself(directory: Path) -> None:
    text = written(directory)
    played = re.findall(r'<audio controls preload="none" src="([^"]*)" aria-label="([^"]*)">', text)
    assert text.count("<audio") == len(played) == 3
    assert [words for _, words in played] == [
        "Query 1: voice of Ann",
        "Query 2, ranked 1: voice of Bob, another person",
        "Query 2, ranked 2: voice of Cem, another person",
    ]
    for place, (source, _) in enumerate(played):
        kind, _, data = source.partition(",")
        assert kind == "data:audio/flac;base64"
        assert base64.b64decode(data) == (directory / "gallery" / f"voice-{place}.flac").read_bytes()
    pictures = re.findall(r'<img src="([^"]*)"', text)
    assert len(pictures) == 6 and all(source.startswith("data:image/jpeg;base64,") for source in pictures)
    assert "media-src data:" in text


@pytest.mark.usefixtures("quick")
def test_names_of_people_are_shown_as_they_are(directory: Path) -> None:
    write_gallery(directory / "gallery", name=NASTY, model=f"{NASTY}-seed0")
    text = written(directory)
    assert "<script" not in text
    assert text.count("Voice of &lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; $x_:") == 1
    assert "Gallery of &lt;script&gt;" in text


@pytest.mark.parametrize("name", ["../results.csv", "voice-0.html", "none.flac", "/etc/hostname"])
def test_a_medium_elsewhere_is_refused(directory: Path, name: str) -> None:
    path = directory / "gallery" / "gallery.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["items"][0]["query"]["file"] = name
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RequestError, match=r"gallery\.json: '.*' must be a file of its folder"):
        written(directory)
    assert not (directory / "report.html").exists()


def test_a_medium_that_is_too_large_is_refused(directory: Path) -> None:
    (directory / "gallery" / "face-3.jpg").write_bytes(bytes(LARGEST + 1))
    with pytest.raises(RequestError, match=r"'face-3\.jpg' must be a file of its folder"):
        read_gallery(directory)


@pytest.mark.parametrize("text", ["", "[]", '{"model": "m"}', '{"model": "m", "items": [{"direction": "x"}]}'])
def test_a_malformed_gallery_is_one_line(directory: Path, text: str) -> None:
    (directory / "gallery" / "gallery.json").write_text(text, encoding="utf-8")
    with pytest.raises(RequestError, match=r"gallery\.json: not a gallery of `lowshot evaluate`"):
        read_gallery(directory)


@pytest.mark.usefixtures("quick")
def test_a_gallery_that_does_not_fit_is_said_to_be_left_out(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "LARGEST_GALLERIES", 1000)
    text = written(directory)
    assert "The gallery of cmpc-seed0 is not shown" in text and "<audio" not in text


@pytest.mark.usefixtures("quick")
def test_without_a_gallery_the_page_says_how_to_have_one(directory: Path) -> None:
    (directory / "gallery" / "gallery.json").unlink()
    text = written(directory)
    assert "<strong>Gallery</strong> is not shown" in text and "evaluate.gallery=3" in text
