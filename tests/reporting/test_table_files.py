"""Tables as files: what is bold and why, and names that CSV, Markdown and LaTeX would take for something else."""

import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowshot.reporting import table_files, tables
from lowshot.reporting.material import gather

from .invented import NASTY, differences, efficiency, results

STRANGE = r'a & b_c % ${x}$ \input{/etc/passwd} ~^ #1 <b>|"q"'


def fill(folder: Path, methods: tuple[str, ...] = ("cmpc", "cid"), **changed: float) -> Path:
    results(methods).to_csv(folder / "results.csv", index=False)
    table = differences().assign(method_b=methods[-1])
    for key, value in changed.items():
        table.loc[0, key] = value
    table.to_csv(folder / "differences.csv", index=False)
    efficiency().to_csv(folder / "label_efficiency.csv", index=False)
    return folder


def sheets(folder: Path) -> dict[str, table_files.Sheet]:
    return {sheet.name: sheet for sheet in table_files.sheets(gather([folder]))}


def bold(sheet: table_files.Sheet) -> set[tuple[str, str]]:
    """Method and heading of what is set in bold in LaTeX."""
    head, *rows = [line for line in table_files.to_latex(sheet).splitlines() if line.endswith(r"\\")]
    headings = head.removesuffix(r" \\").split(" & ")
    return {
        (row.split(" & ")[1], headings[place])
        for row in rows
        for place, cell in enumerate(row.removesuffix(r" \\").split(" & "))
        if r"\textbf" in cell
    }


def test_best_is_bold_only_where_the_interval_supports_it(tmp_path: Path) -> None:
    found = sheets(fill(tmp_path))
    # By the differences: AUC without labels and AUC G with 10 % leave out zero, the two others do not.
    assert bold(found["headline"]) == {("CMPC", r"AUC \%"), ("CMPC", r"AUC G \%")}
    text = table_files.to_latex(found["headline"])
    assert text.count(r"\textbf{70.6}") == 1 and text.count(r"\textbf{72.5}") == 1
    assert r"\textbf{70.6} {\scriptsize [67.6, 73.6]}" in text
    assert table_files.to_markdown(found["headline"]).count("**") == 4


def test_an_interval_over_zero_takes_the_bold_away(tmp_path: Path) -> None:
    found = sheets(fill(tmp_path, ci_low=-0.001))
    assert bold(found["headline"]) == {("CMPC", r"AUC G \%")}
    assert r"\textbf{70.6}" not in table_files.to_latex(found["headline"])


def test_ahead_of_one_of_two_rivals_is_not_best(tmp_path: Path) -> None:
    table = results(("cmpc", "cid", "avid"))
    table.to_csv(tmp_path / "results.csv", index=False)
    differences().to_csv(tmp_path / "differences.csv", index=False)
    sheet = sheets(tmp_path)["headline"]
    assert not sheet.best
    assert "nothing in bold: no model is better than every other" in table_files.to_latex(sheet)
    whole = pd.concat([differences(), differences().assign(method_b="avid")])
    whole.to_csv(tmp_path / "differences.csv", index=False)
    assert bold(sheets(tmp_path)["headline"]) == {("CMPC", r"AUC \%"), ("CMPC", r"AUC G \%")}


def test_a_table_in_latex_is_one_of_booktabs(tmp_path: Path) -> None:
    text = table_files.to_latex(sheets(fill(tmp_path))["headline"])
    lines = text.splitlines()
    assert lines[0].startswith("% Headline figures") and r"\usepackage{booktabs}" in lines[0]
    rows = [line for line in lines if line.endswith(r"\\")]
    columns = lines[1].removeprefix(r"\begin{tabular}{").removesuffix("}")
    assert columns == "ll" + "r" * 9
    # An escaped ampersand is no end of a cell.
    assert {line.replace(r"\&", "").count("&") + 1 for line in rows} == {len(columns)}
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in lines


@pytest.mark.parametrize("kind", ["csv", "md", "latex"])
def test_strange_names_stay_themselves(tmp_path: Path, kind: str) -> None:
    for place, name in enumerate((STRANGE, NASTY, "../../out,of;here", "=1+1")):
        folder = tmp_path / str(place)
        folder.mkdir()
        sheet = sheets(fill(folder, ("cmpc", name)))["headline"]
        if kind == "csv":
            read = pd.read_csv(io.StringIO(table_files.to_csv(sheet)))
            assert name in set(read["method"])
            continue
        text = table_files.to_markdown(sheet) if kind == "md" else table_files.to_latex(sheet)
        escape = tables.escape_markdown if kind == "md" else table_files.escape_latex
        assert escape(name) in text
        files = table_files.write_tables(folder / "tables", [sheet], (kind,))
        assert [path.parent for path in files] == [folder / "tables"]


def test_characters_of_latex_are_shown_as_they_are() -> None:
    assert table_files.escape_latex(r"a_b & 5 % \x {y} $z$ ~ ^ #") == (
        r"a\_b \& 5 \% \textbackslash{}x \{y\} \$z\$ \textasciitilde{} \textasciicircum{} \#"
    )
    assert table_files.escape_latex("two\nlines") == "two lines"
    # After the end of a line, LaTeX takes a bracket for an argument.
    sheet = table_files.Sheet("s", "c", pd.DataFrame(), [["A", "B"], ["[x]", "1"], ["*", "2"]])
    assert "{}[x] & 1" in table_files.to_latex(sheet) and "{}* & 2" in table_files.to_latex(sheet)


def test_tables_hold_the_figures_of_the_results(tmp_path: Path) -> None:
    found = sheets(fill(tmp_path))
    assert set(found) >= {"headline", "strata", "groups", "voice_to_face", "face_to_voice", "differences"}
    cells = pd.read_csv(io.StringIO(table_files.to_csv(found["headline"])))
    ours = cells[(cells["method"] == "cmpc") & (cells["fraction"] == 0)]
    assert ours["auc"].item() == pytest.approx(0.7063) and ours["auc_low"].item() == pytest.approx(0.6763)
    assert "+1.0 | [−2.0, +4.0]" in table_files.to_markdown(found["differences"])
    assert "over 10 %" in table_files.to_markdown(found["label-efficiency"])


def test_without_intervals_nothing_is_bold_and_nothing_is_nan(tmp_path: Path) -> None:
    table = results().assign(ci_low=math.nan, ci_high=math.nan)
    table.to_csv(tmp_path / "results.csv", index=False)
    differences().assign(ci_low=np.nan, ci_high=np.nan, p_value=np.nan).to_csv(
        tmp_path / "differences.csv", index=False
    )
    for sheet in sheets(tmp_path).values():
        assert not sheet.best
        assert "nan" not in table_files.to_latex(sheet).lower()


def test_tables_of_earlier_results_go(tmp_path: Path) -> None:
    found = list(sheets(fill(tmp_path)).values())
    folder = tmp_path / "tables"
    table_files.write_tables(folder, found, ("csv", "latex"))
    (folder / "mine.csv").write_text("kept", encoding="utf-8")
    assert (folder / "label-efficiency.tex").is_file()
    left = table_files.write_tables(folder, [sheet for sheet in found if sheet.name != "label-efficiency"], ("csv",))
    assert set(folder.iterdir()) == {*left, folder / "mine.csv"}
    assert not (folder / "label-efficiency.csv").exists()
