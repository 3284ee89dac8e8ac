"""The page and its pictures, from a small invented results directory."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowshot.errors import RequestError
from lowshot.metrics.verification import roc_corners
from lowshot.reporting.drawing import Picture
from lowshot.reporting.page import write_report
from lowshot.reporting.plots import draw
from lowshot.reporting.sources import gather

from .invented import NASTY, curve, differences, fill, results

PICTURES = (
    "forest",
    "label-efficiency",
    "roc",
    "det",
    "label-fraction",
    "matching-voice_to_face",
    "matching-face_to_voice",
    "strata",
    "groups",
    "training-loss",
    "training-auc",
    "clusters",
    "map",
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A results directory with everything in it, without a report."""
    return fill(tmp_path)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of such a directory and of two training runs; to be read only."""
    folder = fill(tmp_path_factory.mktemp("report"))
    curves = {f"pretrain-{name}-seed0": curve(folder / name / "metrics.csv") for name in ("cmpc", "cid")}
    commands = ["lowshot pretrain --seed 0", "lowshot evaluate && echo <done>"]
    return write_report(folder, title="A & B", curves=curves, commands=commands)


class Loads(HTMLParser):
    """Everything in a page that a browser would fetch or run, and the text that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.names: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.names += [str(values["id"])] if values.get("id") else []
        if tag in ("svg", "img"):
            self.images.append(values)
        for key in ("src", "href", "srcset", "data", "action", "poster"):
            if values.get(key) and not str(values[key]).startswith("#"):
                self.loads.append(f"{tag} {key}={values[key]}")


def parse(text: str) -> Loads:
    page = Loads()
    page.feed(text)
    return page


def written(directory: Path) -> str:
    """The page of a directory; no picture is written as a file, which would take longer than the page."""
    return write_report(directory, title="t", curves={}, commands=[], formats=()).read_text(encoding="utf-8")


def test_page_holds_everything_and_loads_nothing(report: Path) -> None:
    assert report.name == "report.html"
    text, directory = report.read_text(encoding="utf-8"), report.parent
    for name in PICTURES:
        assert (directory / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (directory / "plots" / f"{name}.svg").read_text(encoding="utf-8")
        assert f'id="picture-{name}"' in text
    assert "is not shown" not in text
    page = parse(text)
    assert [load.partition(";base64,")[0] for load in page.loads] == [
        "audio src=data:audio/flac",
        *["img src=data:image/jpeg"] * 6,
        *["audio src=data:audio/flac"] * 2,
    ]
    assert "http:" not in text and "https:" not in text and "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)
    assert len(page.names) == len(set(page.names))
    assert "<title>A &amp; B</title>" in text
    assert "lowshot evaluate &amp;&amp; echo &lt;done&gt;" in text


def test_every_reference_inside_a_picture_finds_its_target(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert used and used <= set(parse(text).names)


def test_every_picture_has_words_of_its_own(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    images = parse(text).images
    words = [image["aria-label"] for image in images if "aria-label" in image]
    assert len(words) == len(set(words)) == len(PICTURES)
    faces = [image["alt"] for image in images if "alt" in image]
    assert len(faces) == len(set(faces)) == len(images) - len(PICTURES)
    assert any("CMPC 70.6 %" in str(word) for word in words)


def test_figures_of_the_table_equal_the_input(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    # Two seeds of 0.7013 and 0.7113: 70.63 in the mean, with an interval of 3 points to each side.
    assert '70.6<small>[67.6, 73.6]</small><small class="spread">70.1–71.1</small>' in text
    assert "1,234 verification trials between 56 identities" in text


def test_claims_are_the_paired_differences(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    part = text[text.index('<h2 id="differences">') : text.index("By every protocol and pair")]
    claims = re.findall(r"<li>(.*?)</li>", part, flags=re.DOTALL)
    assert len(claims) == 2
    assert all(part in claims[0] for part in ("No labels", "+5.0", "[+2.0, +8.1]", "CMPC is better", "2 seeds"))
    assert all(part in claims[1] for part in ("10 % fine-tuned", "[−2.0, +4.0]", "no difference shown"))
    words = [re.sub(r"<[^>]+>", "", claim) for claim in claims]
    any_impostor = "Against any impostor: {} for these two training runs."
    same_gender = "Against impostors of the same gender: {} for these two training runs."
    for text_of, first, second in (
        (words[0], "CMPC is better", "no difference shown"),
        (words[1], "no difference shown", "CMPC is better"),
    ):
        assert 0 < text_of.index(any_impostor.format(first)) < text_of.index(same_gender.format(second))


def test_the_page_says_once_what_the_intervals_hold_fixed(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert text.count("keeps the training runs fixed") == 1
    # Both seeds differ by five points: 0.7013 - 0.6513 and 0.7113 - 0.6613.
    assert "seeds +5.0 to +5.0" in text


def test_every_protocol_stands_in_the_table_of_differences(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    part = text[text.index("By every protocol and pair") : text.index('<h2 id="headline">')]
    assert re.findall(r'class="number">([^<]+)</th>', part) == ["AUC U", "AUC G", "1:2 V→F"]
    assert "+7.7" in part


@pytest.mark.usefixtures("unrendered")
def test_figures_by_gender_stand_in_a_table_of_their_own(directory: Path) -> None:
    text = written(directory)
    part = text[
        text.index("Verification AUC by the gender of the voice") : text.index("<h2>Matching and retrieval</h2>")
    ]
    assert re.findall(r'class="number">([^<]+)</th>', part) == ["U gender=f", "U gender=m", "G gender=f", "G gender=m"]
    # 70.63 over two seeds, and 4.11 less or more.
    assert ">66.5<" in part and ">74.7<" in part
    assert '70.6<small>[67.6, 73.6]</small><small class="spread">70.1–71.1</small>' in text


def test_no_gender_is_called_worse_for_the_impostors_that_it_meets(report: Path) -> None:
    """Where a fifth are women, a score that knows gender alone, as well of either, has an AUC U of 84 and of 59 %."""
    text = report.read_text(encoding="utf-8")
    assert "serves it worse" not in text
    # With the picture, and with the table and its name.
    assert text.count("Compare genders in G. In U, voices of the rarer gender meet more impostors") == 3


def test_the_first_screen_says_the_difference_with_its_interval(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    said = re.sub(r"<[^>]+>", "", text[text.index("<main") : text.index("against each rival")])
    assert "CMPC 70.6 % and CID 65.6 % (chance is 50.0 %, the upper bound is 90.0 %)" in said
    assert "CMPC − CID is +5.0 points, 95 % interval [+2.0, +8.1]" in said
    part = text[text.index("against each rival") : text.index('<h2 id="differences">')]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", part, flags=re.DOTALL)
    words = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows]
    assert words[0] == "Verification AUC % no labels 10 % fine-tuned"
    assert [row.split()[0] for row in words[1:]] == ["chance", "CMPC", "CID", "oracle"]
    assert "Δ +5.0 [+2.0, +8.1]" in words[3] and "Δ +1.0 [−2.0, +4.0]" in words[3]


def test_label_efficiency_names_no_number_that_was_not_measured(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    part = text[text.index('<h2 id="labels">') : text.index('<h2 id="curves">')]
    rows = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in re.findall(r"<tr.*?</tr>", part, re.DOTALL)]
    assert "70.6 8 % 2 % to 31 %" in rows[1] and "more, by the interval" in rows[1]
    assert "over 50 % none to over 50 %" in rows[2]


def test_clusters_stand_beside_chance(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    part = text[text.index('<h2 id="prototypes">') : text.index('<h2 id="map">')]
    assert all(f">{number}<" in part for number in ("61.2", "25.7", "8.3", "4 (1 to 30)"))


@pytest.mark.usefixtures("quick")
def test_p_values_on_the_page_are_corrected(directory: Path) -> None:
    text = written(directory)
    # Five differences of p = 0.01: four of them on cards, and every one in the table of all pairs.
    assert text.count("p = 0.050") == 4 + 5 and "p = 0.010" not in text
    part = text[text.index("By every protocol and pair") : text.index('<h2 id="headline">')]
    assert part.count("p = 0.050") == 5
    assert "Holm’s method corrects p for all comparisons" in text


@pytest.mark.usefixtures("quick")
def test_all_impostors_without_the_gender_matched_are_said_to_be_so(directory: Path) -> None:
    table = differences()
    table[table["stratum"] == "U"].to_csv(directory / "differences.csv", index=False)
    text = written(directory)
    assert "the share of gender in U is unknown" in text


@pytest.mark.usefixtures("unrendered")
def test_validation_figures_are_said_to_be_no_test_figures(directory: Path) -> None:
    results().assign(seen="validation").to_csv(directory / "results.csv", index=False)
    (directory / "differences.csv").unlink()
    for path in directory.glob("scores/*/*.csv"):
        path.rename(path.with_name("verification-validation-U.csv"))
    text = written(directory)
    assert "These are validation figures" in text
    assert "between 56 validation identities" in text
    assert "validation AUC %" in text and "validation AUC G %" in text and "70.6" in text
    assert "no model was trained on" not in text[: text.index('<h2 id="curves">')]
    assert "the seed chose their people from validation identities" in text and "unseen person" not in text
    drawn = set(re.findall('id="picture-([a-z_-]+)"', text))
    # Only what comes from files of its own.
    assert drawn == {"label-efficiency", "map"}


@pytest.mark.slow
def test_names_are_escaped(directory: Path) -> None:
    table = results(methods=("cmpc", NASTY), seeds=1)
    table.to_csv(directory / "results.csv", index=False)
    run = curve(directory / "run" / "metrics.csv")
    page = write_report(directory, title=NASTY, curves={NASTY: run}, commands=[NASTY], formats=())
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "script" not in parse(text).tags


@pytest.mark.slow
def test_same_input_gives_the_same_bytes(directory: Path) -> None:
    first = write_report(directory, title="t", curves={}, commands=[], formats=("png",)).read_bytes()
    picture = (directory / "plots" / "roc.png").read_bytes()
    assert write_report(directory, title="t", curves={}, commands=[], formats=("png",)).read_bytes() == first
    assert (directory / "plots" / "roc.png").read_bytes() == picture


@pytest.mark.usefixtures("unrendered")
def test_results_alone_make_a_clear_page(tmp_path: Path) -> None:
    results().to_csv(tmp_path / "results.csv", index=False)
    text = written(tmp_path)
    assert "No paired difference was computed" in text
    assert "there is no provenance.json" in text.lower()
    assert "ROC on unseen identities</strong> is not shown: there is no curves/" in text
    assert "Training loss</strong> is not shown: the pretraining&#39;s metrics.csv" in text
    assert "Gallery</strong> is not shown" in text
    assert "Label efficiency" not in text


@pytest.mark.usefixtures("quick")
def test_the_command_for_differences_names_the_method_as_it_is_called(tmp_path: Path) -> None:
    results(methods=("cmpc-released", "pins")).to_csv(tmp_path / "results.csv", index=False)
    assert "<code>lowshot compare --reference cmpc-released</code>" in written(tmp_path)


@pytest.mark.usefixtures("unrendered")
def test_one_method_with_missing_figures_makes_a_clear_page(tmp_path: Path) -> None:
    table = results(methods=("cmpc",), seeds=1)
    table = table[(table["method"] != "oracle") & (table["protocol"] == "verification")]
    table.loc[table["method"] == "cmpc", ["value", "ci_low", "ci_high"]] = np.nan
    table.to_csv(tmp_path / "results.csv", index=False)
    text = written(tmp_path)
    assert "Only CMPC was measured: there is nothing to compare it with." in text
    assert "AUC by what the impostor shares</strong> is not shown" in text
    assert not re.search(r"\bnan\b", text, flags=re.IGNORECASE)


@pytest.mark.usefixtures("unrendered")
def test_run_directory_with_one_adapted_model(tmp_path: Path) -> None:
    table = results(methods=("cmpc",), seeds=1)
    table = table[table["adaptation"] != "none"]
    table.to_csv(tmp_path / "results.csv", index=False)
    (tmp_path / "scores").mkdir()
    scores = pd.DataFrame({"label": [0, 1, 0, 1], "score": [0.1, 0.9, 0.4, 0.3]})
    scores.to_csv(tmp_path / "scores" / "verification-unseen-unheard-U.csv", index=False)
    text = written(tmp_path)
    assert "CMPC, 10 % fine-tuned 72.0 %" in text
    assert 'id="picture-roc"' in text


@pytest.mark.slow
def test_points_of_curves_are_drawn_before_scores(directory: Path) -> None:
    by_scores = draw(gather([directory], {}))
    for path in directory.glob("scores/*/*.csv"):
        table = pd.read_csv(path)
        points = roc_corners(table["score"].to_numpy(float), table["label"].to_numpy())
        folder = directory / "curves" / path.parent.name
        folder.mkdir(parents=True)
        pd.DataFrame({"fpr": points.fpr, "tpr": points.tpr}).to_csv(folder / path.name, index=False)
        path.write_text("not read")
    by_points = draw(gather([directory], {}))
    for one, other in zip(by_scores, by_points, strict=True):
        if one.name in ("roc", "det"):
            assert isinstance(one, Picture) and isinstance(other, Picture)
            assert one.file("png") == other.file("png")


@pytest.mark.parametrize("points", ["fpr,tpr\n0.5,0.1\n0.1,1\n", "fpr,tpr\n0,0\n1,nan\n", "fpr,tpr\n"])
def test_points_that_are_no_curve_write_nothing(directory: Path, points: str) -> None:
    (directory / "curves" / "oracle").mkdir(parents=True)
    (directory / "curves" / "oracle" / "verification-unseen-unheard-U.csv").write_text(points)
    with pytest.raises(RequestError, match="are not the points of a curve"):
        write_report(directory, title="t", curves={}, commands=[])


@pytest.mark.usefixtures("unrendered")
def test_scores_outside_the_directory_are_not_read(directory: Path) -> None:
    table = results(methods=("cmpc",), seeds=1)
    table["run_id"] = "../elsewhere"
    table.to_csv(directory / "results.csv", index=False)
    (directory / "elsewhere").mkdir()
    (directory / "elsewhere" / "verification-unseen-unheard-U.csv").write_text("label,score\n0,0.1\n1,0.2\n")
    text = written(directory)
    assert "ROC on unseen identities</strong> is not shown" in text


@pytest.mark.slow
def test_a_picture_that_can_no_longer_be_drawn_goes(directory: Path) -> None:
    (directory / "plots").mkdir()
    (directory / "plots" / "roc.png").write_bytes(b"of earlier scores")
    for path in directory.glob("scores/*/*.csv"):
        path.unlink()
    write_report(directory, title="t", curves={}, commands=[], formats=("png",))
    assert not (directory / "plots" / "roc.png").exists()
    assert (directory / "plots" / "strata.png").exists()


def test_bad_input_writes_nothing(directory: Path) -> None:
    scores = directory / "scores" / "cmpc-seed0" / "verification-unseen-unheard-U.csv"
    scores.write_text("label,score\n1,0.5\n1,0.6\n")
    with pytest.raises(RequestError, match="both labels"):
        write_report(directory, title="t", curves={}, commands=[])
    assert not (directory / "report.html").exists()
    assert not (directory / "plots").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [("step,epoch\n1,1\n", "column 'loss' is missing"), ("step,loss\n1,x\n", "column 'loss' must hold numbers")],
)
def test_malformed_curve_names_file_and_column(directory: Path, content: str, words: str) -> None:
    path = directory / "metrics.csv"
    path.write_text(content)
    with pytest.raises(RequestError, match=rf"metrics\.csv: {words}"):
        write_report(directory, title="t", curves={"cmpc": path}, commands=[])


@pytest.mark.usefixtures("quick")
def test_the_command_of_a_run_can_be_given_again(directory: Path) -> None:
    command = ["lowshot", "demo", "--out", "a b"]
    (directory / "provenance.json").write_text(json.dumps({"command": command}))
    text = written(directory)
    assert "<dt>command</dt><dd>lowshot demo --out &#39;a b&#39;</dd>" in text


@pytest.mark.usefixtures("quick")
def test_what_to_know_of_the_figures_stands_below_them(directory: Path) -> None:
    (directory / "provenance.json").write_text(json.dumps({"warnings": ["3 of 4 <b>", "y"], "seed": 7}))
    text = written(directory)
    listed = text.index("<li>3 of 4 &lt;b&gt;</li>")
    assert text.index('id="headline"') < listed < text.index("<li>y</li>") < text.index('id="curves"')
    assert "<dt>seed</dt><dd>7</dd>" in text
    assert "<dt>warnings</dt>" not in text


def test_no_results_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"results\.csv: no such file"):
        write_report(tmp_path, title="t", curves={}, commands=[])


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_pictures_say_that_they_leave_models_with_labels_out(directory: Path) -> None:
    said = "The plot shows models without labels; the tables have all models."
    # ROC, DET, two directions of matching, strata and genders.
    assert written(directory).count(said) == 6
    table = pd.read_csv(directory / "results.csv")
    labelled = ~table["method"].isin(("chance", "oracle")) & (table["adaptation"] != "none")
    table[~labelled].to_csv(directory / "results.csv", index=False)
    assert said not in written(directory)
    plain = ~table["method"].isin(("chance", "oracle")) & (table["adaptation"] == "none")
    table[~plain].to_csv(directory / "results.csv", index=False)
    assert said not in written(directory)
