"""Documents say what is there: their commands run or are parsed, their links lead somewhere.

Commands run on a small world. Of those that take minutes or need data of their owners, the words are checked.
"""

import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path

import click
import pytest

from lowshot.cli import VERBS, app
from lowshot.config import METHODS
from lowshot.data.dataset import Dataset
from lowshot.synthetic import render
from lowshot.workflows import evaluate

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(
        {*ROOT.glob("*.md"), *ROOT.glob("[bdp]*/*.md"), *ROOT.glob("docs/*/*.md"), *ROOT.glob(".github/*.md")}
    )
}
# Every fence, whatever its language: the end of one must not be read as the start of the next.
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A path below docs/ as source files, workflows and documents name it.
NAMED_PATH = re.compile(r"(?<![\w/.-])docs/[\w./-]+\.(?:md|csv|png)\b")
README_LINES = 120
# Run by tests of their own: the page's modules, vectors as the page makes them, and all of the tutorial.
ELSEWHERE = {
    "docs/extending.md": "test_extending.py",
    "docs/features.md": "test_features.py",
    "docs/tutorial.md": "test_tutorial.py",
}
# Minutes long, or of data that only their owners have; run on small ones, in other words, by the tests of their verbs.
ONLY_CHECKED = (
    "lowshot demo",
    "lowshot compare",
    "lowshot data import",
    "lowshot data describe their-manifest.csv",
    "lowshot data check talk",
    "lowshot pretrain --data talk",
    "lowshot evaluate --model pretrained:",
    "lowshot report",
    "torchrun",
)


def blocks(text):
    """The command lines of the code blocks of a page, each as it is typed but for its comment."""
    for language, block in BLOCK.findall(text):
        if language not in {"", "sh", "bash", "console"}:
            continue
        for line in block.replace("\\\n", "").splitlines():
            typed = re.sub(r'^eval "\$\((.*)\)"', r"\1", line)
            if typed.startswith(("lowshot ", "torchrun ")):
                yield re.split(r"  #| [|>] ", typed)[0].strip()


def inline(text):
    """The commands that a page's sentences name."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(found.split()) for found in re.findall(r"`((?:torchrun [^`]*-m )?lowshot [a-z-][^`]*)`", prose)]


TYPED = [(page, line) for page, text in DOCUMENTS.items() for line in blocks(text)]
NAMED = sorted({(page, line) for page, text in DOCUMENTS.items() for line in inline(text)})
RUN = {
    page: lines
    for page in DOCUMENTS
    if page not in ELSEWHERE
    and (lines := [line for at, line in TYPED if at == page and not line.startswith(ONLY_CHECKED)])
}


def words_of(line):
    """What comes after `lowshot`, but for a module to import."""
    words = shlex.split(line)
    words = words[words.index("lowshot") + 1 :]
    return words[2:] if words[:1] == ["--import"] else words


def parse(words):
    """Let the command line's own parser read a command, as if all files were there; nothing is run or imported."""
    context, command = click.Context(app), app
    while isinstance(command, click.Group):
        _, command, words = command.resolve_command(context, list(words))
        context = click.Context(command, parent=context)
    command.parse_args(context, list(words))
    return context


def check_named(words):
    """Check what a sentence names: verbs, options, and the choices of options, be they written as a|b."""
    context, command = click.Context(app), app
    while isinstance(command, click.Group) and words and words[0] != "...":
        _, command, words = command.resolve_command(context, list(words))
        context = click.Context(command, parent=context)
    if isinstance(command, click.Group):
        return
    options = {name: option for option in command.params for name in option.opts if name.startswith("-")}
    for word, value in pairwise([*words, ""]):
        if word.startswith("-"):
            if word not in options:
                raise click.NoSuchOption(word)
            if isinstance(options[word].type, click.Choice) and value and not value.isupper():
                for choice in value.split("|"):
                    options[word].type.convert(choice, options[word], context)


def settings_known(context):
    """Whether every KEY of --set KEY=VALUE is one."""
    from lowshot.workflows.settings import resolve_config

    given = context.params
    name = given.get("method")
    if name is None or name in METHODS:
        resolve_config(preset=given.get("preset"), settings=given.get("settings"), named={"method": name})


@pytest.fixture(autouse=True)
def _files_are_there(monkeypatch, request):
    if "run" not in request.node.name:
        monkeypatch.setattr(click.Path, "convert", lambda self, value, param, ctx: Path(value))


def test_commands_were_found():
    assert {"README.md", "docs/data.md", "docs/models.md", "docs/importing.md"} <= {page for page, _ in TYPED}
    assert len(TYPED) > 30
    assert len(NAMED) > 30
    assert any(line.startswith("torchrun") for _, line in NAMED)


def test_the_page_of_commands_has_every_verb():
    rows = re.findall(r"^\| (`[^|]*) \|", DOCUMENTS["docs/commands.md"], re.MULTILINE)
    assert set(VERBS) <= set(re.findall(r"`(\w+)`", "".join(rows)))


def test_the_readme_stays_short():
    assert len(DOCUMENTS["README.md"].splitlines()) <= README_LINES


def anchors(text):
    """The anchors of a page's headings, as GitHub and the site make them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", DOCUMENTS)
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(DOCUMENTS[page]):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), f"{page}: {link}"


def test_every_document_that_the_repository_names_is_there():
    named = 0
    for folder in ("lowshot", "tests", "benchmarks", "protocols", "pretrained", "docs", ".github", ".ci", "."):
        files = ROOT.glob("*") if folder == "." else (ROOT / folder).rglob("*")
        for path in files:
            if path.suffix not in {".py", ".md", ".yaml", ".yml", ".toml", ".cff", ".html", ""} or not path.is_file():
                continue
            for found in NAMED_PATH.findall(path.read_text(encoding="utf-8", errors="replace")):
                assert (ROOT / found).is_file(), f"{path.relative_to(ROOT)} names {found}"
                named += 1
    assert named > 50


def test_every_test_and_source_file_that_a_document_names_is_there():
    """A row of docs/fidelity.md is worth what its test is; the name of a test goes with the file before it."""
    named = 0
    for page, text in DOCUMENTS.items():
        path = None
        for found in re.finditer(r"`((?:tests|lowshot|benchmarks)/[\w/]+\.py)?(?:::(\w+))?`", text):
            if page == "CHANGELOG.md" or "NAME" in found[0] or found[0] == "``":
                continue
            path = ROOT / found[1] if found[1] else path
            assert path is not None and path.is_file(), f"{page}: {found[0]}"
            if found[2]:
                assert f"def {found[2]}(" in path.read_text(encoding="utf-8"), f"{page}: {found[0]}"
                named += 1
    assert named > 20


def test_the_reference_has_every_loss_and_metric():
    for room in ("losses", "metrics"):
        modules = {path.stem for path in (ROOT / "lowshot" / room).glob("[!_]*.py")}
        assert (
            set(re.findall(rf"^::: lowshot\.{room}\.(\w+)$", DOCUMENTS[f"docs/reference/{room}.md"], re.MULTILINE))
            == modules
        )


def test_every_target_of_make_that_a_document_names_is_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page, text in DOCUMENTS.items():
        code = [*re.findall(r"`make ([\w-]+)`", text), *re.findall(r"^make ([\w-]+)", text, re.MULTILINE)]
        assert set(code) <= targets, page


@pytest.mark.parametrize(("page", "line"), TYPED, ids=[f"{page}: {line[:60]}" for page, line in TYPED])
def test_the_parser_takes_what_a_page_types(page, line):
    if "--import" in line:
        # Choices and verbs of the page's own modules are known to the test that runs them.
        assert page in ELSEWHERE or "my" in line
        return
    settings_known(parse(words_of(line)))


@pytest.mark.parametrize(("page", "line"), NAMED, ids=[f"{page}: {line}" for page, line in NAMED])
def test_what_a_sentence_names_is_there(page, line):
    words = words_of(line.replace("...", " ... ")) if line.endswith("...") else words_of(line)
    check_named(words)


@pytest.mark.parametrize(
    "wrong",
    [
        "lowshot pretrian",
        "lowshot pretrain --dta x",
        "lowshot finetune --strategy ful",
        "lowshot evaluate --protocol retreival",
        "lowshot data import foldr x --out y.csv",
        "lowshot data describe",
        "lowshot pretrain --set train.epoch=3",
    ],
)
def test_a_slip_would_be_found(wrong):
    with pytest.raises(Exception, match=r"pretrian|dta|'ful'|retreival|foldr|Missing parameter: source|train\.epoch"):
        settings_known(parse(words_of(wrong)))


@pytest.mark.parametrize("wrong", ["lowshot embed --outt DIR", "lowshot probe --within voice|fase", "lowshot modls"])
def test_a_slip_in_a_sentence_would_be_found(wrong):
    with pytest.raises(click.UsageError):
        check_named(words_of(wrong))


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run(page, lowshot, sets, world, vectors, vector_config, monkeypatch):
    """In their order, in one folder, with settings under which they take a second."""
    monkeypatch.setattr(render, "ensure_world", lambda *args, **kwargs: world)
    # Pages take seconds, and have tests of their own.
    monkeypatch.setattr(evaluate, "write_report", lambda *args, **kwargs: None)
    shutil.copytree(world, "DIRECTORY")
    dataset = Dataset.open(world)
    for modality, one, many in (("voice", "voice.wav", "voices"), ("face", "face.jpg", "faces")):
        shutil.copy(dataset.path(modality, 0), one)
        Path(many).mkdir()
        for row in range(3):
            shutil.copy(dataset.path(modality, row), Path(many) / f"{row}{Path(one).suffix}")
    if page in {"docs/adapting.md", "docs/models.md", "docs/protocols.md"}:
        assert lowshot("pretrain", *sets)[0] == 0
    if page in {"README.md", "docs/selection.md"}:
        shutil.copytree(vectors, "vectors")
        Path("vectors.yaml").write_text(vector_config.to_yaml())
    if page == "README.md":
        [code] = re.findall(r"^```python\n(.*?)^```", DOCUMENTS[page], re.DOTALL | re.MULTILINE)
        exec(compile(code, page, "exec"), {})
    for line in RUN[page]:
        # Of ten people a tenth would be one. What a shell does with *, the test does.
        words = words_of(line.replace("--labels 0.1", "--labels 0.5"))
        words = [str(path) for word in words for path in (sorted(Path().glob(word)) if "*" in word else [word])]
        takes = {option for parameter in parse(words).command.params for option in parameter.opts}
        small = ("--config", "vectors.yaml") if "vectors" in words else sets
        more = small if "--config" in takes and {"pretrain", "pack"} & set(words) else ()
        code, _, err = lowshot(*words, *more, *(("--jobs", 1) if "--jobs" in takes else ()))
        assert code == 0, f"{line}: {err}"
