"""The house stays as docs/architecture.md draws it: imports go one way, and each thing stands where it belongs."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePath

import pytest

from lowshot import schema

ROOT = Path(__file__).parents[1]
# A room imports from those before it, and from the package itself, which holds the version.
ROOMS = (
    "errors", "files", "progress", "schema", "workers", "metrics", "settings", "config", "runs", "data", "importers",
    "checking", "synthetic", "encoders", "models", "clustering", "canonical", "held_out", "memory", "losses", "methods",
    "training", "adapt",
    "evaluation", "experiments", "reporting", "workflows", "extend", "api", "cli",
)  # fmt: skip
TORCH = {"torch", "torchaudio", "torchvision"}


@cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    found = {}
    for path in sorted((ROOT / "lowshot").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imports(module: str, at_import: bool = False) -> Iterator[str]:
    """What a module imports, in functions and for types too; `at_import`: only what importing it imports."""
    for node in statements(tree(module), at_import):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            for item in node.names:
                inner = f"{node.module}.{item.name}"
                yield inner if inner in modules() else str(node.module)


def statements(node: ast.AST, at_import: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if at_import and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if at_import and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from statements(child, at_import)


def arrows() -> Iterator[tuple[str, str]]:
    """Imports of one module of the house by another."""
    for module in modules():
        for name in dict.fromkeys(imports(module)):
            if name.startswith("lowshot.") and name != module:
                yield module, name


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_has_its_place() -> None:
    rooms = {room(module) for module in modules() if "." in module} - {"__main__"}
    assert rooms <= set(ROOMS), "add it to the rooms here and to docs/architecture.md"


def test_no_import_goes_up() -> None:
    faults = [
        f"{source} imports {target}"
        for source, target in arrows()
        if source not in ("lowshot", "lowshot.__main__") and ROOMS.index(room(source)) < ROOMS.index(room(target))
    ]
    assert not faults


def test_no_import_goes_round() -> None:
    graph: dict[str, set[str]] = {}
    for source, target in arrows():
        if source != "lowshot":
            graph.setdefault(source, set()).add(target)
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " imports ".join([*path[path.index(module) :], module])
        if module not in done:
            for target in sorted(graph.get(module, ())):
                walk(target, (*path, module))
            done.add(module)

    for module in graph:
        walk(module, ())


def test_every_module_is_imported() -> None:
    from lowshot.cli import VERBS

    used = {target for _, target in arrows()}
    # Python and the command line load these by name.
    used |= {"lowshot", "lowshot.__main__"} | {f"lowshot.cli.{verb}" for verb in VERBS}
    rooms = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert not ([f"nobody imports {module}" for module in modules() if module not in used | rooms])


def test_click_stays_in_the_command_line() -> None:
    outside = [module for module in modules() if not module.startswith("lowshot.cli")]
    faults = [f"{module} imports click" for module in outside if "click" in set(imports(module))]
    assert not faults


def test_flags_stay_in_the_command_line() -> None:
    # Two hyphens before a CSS variable are none.
    flag = re.compile(r"(?<![\w<!-])--(?!c-)[a-z][\w-]*")
    faults = [
        f"{module} names flags"
        for module, path in modules().items()
        if not module.startswith("lowshot.cli") and flag.search(path.read_text(encoding="utf-8"))
    ]
    assert not faults, "name arguments in backticks; cli/wording.py puts them as flags"


@pytest.mark.parametrize("start", ["lowshot", "lowshot.api", "lowshot.cli", "lowshot.metrics", "lowshot.reporting"])
def test_torch_is_not_paid_for_by_who_does_not_need_it(start: str) -> None:
    faults = []
    for module in modules():
        if module != start and (start == "lowshot" or not module.startswith(f"{start}.")):
            continue
        path = to_torch(module, ())
        if path:
            faults.append(f"{module} imports torch at once")
    assert not faults, to_torch(faults[0].split()[0], ())


def to_torch(module: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """The chain of imports from a module to torch; empty if there is none."""
    for name in imports(module, at_import=True):
        if name.split(".")[0] in TORCH or name == "safetensors.torch":
            return (*path, module, name)
        if name in modules() and name not in (module, *path) and (found := chain(name)):
            return (*path, module, *found)
    return ()


@cache
def chain(module: str) -> tuple[str, ...]:
    return to_torch(module, ())


WORDS = [value for value in vars(schema).values() if isinstance(value, str | PurePath)]
FILE_NAMES = {
    PurePath(word).name for word in WORDS if re.search(r"\w\.(csv|json|yaml|html|safetensors|txt|pt)$", str(word))
}


def test_names_of_files_stand_in_the_schema_alone() -> None:
    assert "results.csv" in FILE_NAMES and "checkpoint.pt" in FILE_NAMES
    faults = []
    for module in modules():
        if module == "lowshot.schema":
            continue
        for node in ast.walk(tree(module)):
            # A sentence may name a file; a string that is nothing else is a second definition.
            if isinstance(node, ast.Constant) and node.value in FILE_NAMES:
                faults.append(f"{module} spells {node.value}")
    assert not faults


def test_columns_stand_in_the_schema_alone() -> None:
    tables = {
        tuple(value)
        for name, value in vars(schema).items()
        if (name.endswith("_COLUMNS") and len(value) > 2) or name in ("DIRECTIONS", "STRATA", "ATTRIBUTES")
    }
    faults = []
    for module in modules():
        if module == "lowshot.schema":
            continue
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Tuple | ast.List):
                words = tuple(getattr(item, "value", None) for item in node.elts)
                if words in tables:
                    faults.append(f"{module} lists {', '.join(map(str, words))}")
    assert not faults


def test_models_alone_open_weights() -> None:
    for source, target in arrows():
        if target == "lowshot.models.weights" and room(source) != "models":
            names = {
                item.name
                for node in ast.walk(tree(source))
                if isinstance(node, ast.ImportFrom) and node.module == target
                for item in node.names
            }
            assert "read_model" not in names, f"{source}: take a LoadedModel, of models/loaded.py"
