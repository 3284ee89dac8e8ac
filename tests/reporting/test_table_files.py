"""Tables as files: the numbers, Markdown, and LaTeX whose bold type an interval supports."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowshot.errors import RequestError
from lowshot.reporting.material import gather
from lowshot.reporting.page import write_report
from lowshot.reporting.table_files import FORMATS, escape_latex, sheets, to_latex, to_markdown, write_tables

from .test_page import NASTY, curve, differences, fill, results


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


def test_directories_measured_on_other_data_or_trials_are_refused(tmp_path: Path) -> None:
    for name, sha, trials in (("a", "1234", 100), ("b", "5678", 100), ("c", "1234", 99)):
        (tmp_path / name).mkdir()
        table = results().assign(data_sha=sha, n_trials=trials)
        table.to_csv(tmp_path / name / "results.csv", index=False)
    for other, words in (("b", "measured on other data"), ("c", "was measured on 99 trials, in .* on 100")):
        out = tmp_path / "out"
        with pytest.raises(RequestError, match=words):
            write_report(out, title="t", curves={}, commands=[], sources=[tmp_path / "a", tmp_path / other])
        assert not out.exists()


def test_methods_of_one_name_and_other_figures_are_told_apart(tmp_path: Path) -> None:
    for name, step in (("first", 0.0), ("second", 0.02)):
        (tmp_path / name).mkdir()
        table = results()
        models = ~table["method"].isin(["chance", "oracle"])
        table["value"] = np.where(models, table["value"] + step, table["value"])
        table.assign(data_sha="1234").to_csv(tmp_path / name / "results.csv", index=False)
    found = gather([tmp_path / "first", tmp_path / "second"])
    methods = {"chance", "oracle", *(f"{name} ({run})" for name in ("cmpc", "cid") for run in ("first", "second"))}
    assert set(found.results["method"]) == methods
