"""Tables as files: the numbers, Markdown, and LaTeX whose bold type an interval supports."""

import re
from pathlib import Path

import pandas as pd
import pytest

from lowshot.reporting.sources import gather
from lowshot.reporting.table_files import FORMATS, Sheet, escape_latex, sheets, to_latex, to_markdown, write_tables
from lowshot.reporting.tables import escape_markdown

from .invented import NASTY, curve, differences, fill, results


def sheet(directory: Path, name: str):
    return {each.name: each for each in sheets(gather([directory]))}[name]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return fill(tmp_path)


def test_bold_is_what_an_interval_supports_and_nothing_else(directory: Path) -> None:
    found = sheet(directory, "headline")
    # Without labels CMPC is ahead by [+2.0, +8.1]; fine-tuned by [-2.0, +4.0], and its G by [+1.0, +3.0].
    bold = {(found.lines[row][0], found.lines[row][1], found.lines[0][place]) for row, place in found.best}
    assert bold == {("no labels", "CMPC", "AUC %"), ("10 % fine-tuned", "CMPC", "AUC G %")}
    latex = to_latex(found)
    assert len(re.findall(r"\\textbf", latex)) == 2
    assert r"\textbf{70.6} {\scriptsize [67.6, 73.6]}" in latex
    assert "**70.6 [67.6, 73.6]**" in to_markdown(found)


def test_a_method_that_is_worse_is_never_bold(directory: Path) -> None:
    worse = differences().assign(difference=-0.05, ci_low=-0.08, ci_high=-0.02)
    worse.to_csv(directory / "differences.csv", index=False)
    # CID is ahead by the intervals, but CMPC has the greater figure: neither is called the best.
    assert not sheet(directory, "headline").best


def test_without_intervals_nothing_is_bold(directory: Path) -> None:
    (directory / "differences.csv").unlink()
    latex = to_latex(sheet(directory, "headline"))
    assert r"\textbf" not in latex
    assert "nothing in bold" in latex
    # What was not tested is no finding.
    assert "some pairs were not compared" in latex and "no model is better" not in latex


def test_a_rival_that_was_not_compared_leaves_the_best_unnamed(directory: Path) -> None:
    results(methods=("cmpc", "cid", "pins")).to_csv(directory / "results.csv", index=False)
    assert not sheet(directory, "headline").best


def test_latex_is_a_table_of_booktabs_with_names_literally(directory: Path) -> None:
    name = NASTY + r" \input{x} & 5% #_^~"
    results(methods=("cmpc", name)).to_csv(directory / "results.csv", index=False)
    found = sheet(directory, "headline")
    latex = to_latex(found)
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == 1
    assert escape_latex(name) in latex
    assert r"\input" not in latex
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(found.lines[0]) - 1}
    # Outside of commands no character is left that LaTeX would act on.
    assert not re.search(r"(?<!\\)[#_%]", "\n".join(rows))


def test_every_table_is_written_in_every_format(directory: Path) -> None:
    found = sheets(gather([directory], {"cmpc": curve(directory / "run" / "metrics.csv")}))
    names = {"headline", "strata", "groups", "voice_to_face", "face_to_voice", "differences", "label-efficiency"}
    assert {each.name for each in found} == names
    paths = write_tables(directory / "tables", found, FORMATS)
    assert {path.name for path in paths} == {f"{name}{end}" for name in names for end in (".csv", ".md", ".tex")}
    numbers = pd.read_csv(directory / "tables" / "headline.csv").set_index(["method", "adaptation"])
    assert numbers.loc[("cmpc", "none"), "auc"] == pytest.approx(0.7063)


def test_best_is_better_than_every_rival(directory: Path) -> None:
    results(methods=("cmpc", "cid", "avid")).to_csv(directory / "results.csv", index=False)
    assert not sheet(directory, "headline").best
    pd.concat([differences(), differences().assign(method_b="avid")]).to_csv(directory / "differences.csv", index=False)
    assert len(sheet(directory, "headline").best) == 2


@pytest.mark.parametrize("name", [NASTY, "../../out,of;here", "=1+1", "[x] * & \\\\ |"])
def test_names_stay_themselves_in_every_format(directory: Path, name: str) -> None:
    results(methods=("cmpc", name)).to_csv(directory / "results.csv", index=False)
    found = sheet(directory, "headline")
    paths = write_tables(directory / "tables", [found], FORMATS)
    assert {path.parent for path in paths} == {directory / "tables"}
    assert name in set(pd.read_csv(directory / "tables" / "headline.csv")["method"])
    assert f"| {escape_markdown(name)} |" in (directory / "tables" / "headline.md").read_text(encoding="utf-8")
    assert escape_latex(name) in (directory / "tables" / "headline.tex").read_text(encoding="utf-8")


def test_protocols_that_no_other_table_shows_have_one_per_list(directory: Path) -> None:
    table = pd.read_csv(directory / "results.csv", keep_default_na=False)
    kept = table[(table["protocol"] == "verification") & (table["metric"] == "auc") & (table["stratum"] == "U")]
    parts = [
        kept.assign(protocol="enrolment", direction=side, metric=metric)
        for side in ("voice", "both")
        for metric in ("auc@k=1", "auc@k=2")
    ]
    beyond = kept.assign(protocol="own", metric="rank", value=7.0, ci_low="", ci_high="")
    pd.concat([table, *parts, beyond]).to_csv(directory / "results.csv", index=False)
    found = {each.name: each for each in sheets(gather([directory])) if each.name.startswith("protocol-")}
    assert list(found) == [f"protocol-enrolment-{side}-U-unseen-unheard" for side in ("voice", "both")]
    for each in found.values():
        assert {"auc@k=1", "auc@k=2"} <= set(each.lines[0])
        assert each.data["auc@k=1"].tolist() == each.data["auc@k=2"].tolist()
    written = write_tables(directory / "tables", list(found.values()), ["csv"])
    assert all(path.is_file() for path in written)
    # Tables of an earlier report go.
    write_tables(directory / "tables", [], ["csv"])
    assert not any(path.is_file() for path in written)


def test_characters_of_latex_are_shown_as_they_are() -> None:
    assert escape_latex(r"a_b & 5 % \x {y} $z$ ~ ^ #") == (
        r"a\_b \& 5 \% \textbackslash{}x \{y\} \$z\$ \textasciitilde{} \textasciicircum{} \#"
    )
    assert escape_latex("two\nlines") == "two lines"
    # After the end of a line, LaTeX takes a bracket for an argument.
    table = Sheet("s", "c", pd.DataFrame(), [["A", "B"], ["[x]", "1"], ["*", "2"]])
    assert "{}[x] & 1" in to_latex(table) and "{}* & 2" in to_latex(table)


def test_tables_of_earlier_results_go(directory: Path) -> None:
    folder, found = directory / "tables", sheets(gather([directory]))
    write_tables(folder, found, ("csv", "latex"))
    (folder / "mine.csv").write_text("kept", encoding="utf-8")
    assert (folder / "label-efficiency.tex").is_file()
    left = write_tables(folder, [each for each in found if each.name != "label-efficiency"], ("csv",))
    assert set(folder.iterdir()) == {*left, folder / "mine.csv"}
    assert folder / "label-efficiency.csv" not in left
