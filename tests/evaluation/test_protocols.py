"""Protocol definitions: read from where they lie, refused when they say what no code does."""

from pathlib import Path

import pytest
import yaml

import lowshot
from lowshot.errors import RequestError
from lowshot.evaluation import protocols
from lowshot.evaluation.protocols import (
    PROTOCOLS,
    matching_protocol,
    protocol_text,
    retrieval_protocol,
    verification_protocol,
)
from lowshot.files import bundled_folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with its own copy of the definitions."""
    package = tmp_path / "site-packages" / "lowshot"
    folder = package / "_protocols"
    folder.mkdir(parents=True)
    for name in PROTOCOLS:
        (folder / f"{name}.yaml").write_text(protocol_text(name))
    monkeypatch.setattr(lowshot, "__file__", str(package / "__init__.py"))
    return folder


def change(folder: Path, name: str, **settings: object) -> None:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))


def test_the_definitions_are_those_of_the_field() -> None:
    verification, matching, retrieval = verification_protocol(), matching_protocol(), retrieval_protocol()
    assert verification.strata == {
        "U": (),
        "G": ("gender",),
        "N": ("nationality",),
        "A": ("age",),
        "GN": ("gender", "nationality"),
        "GNA": ("gender", "nationality", "age"),
    }
    assert matching.strata == verification.strata
    assert matching.gallery_sizes == tuple(range(2, 11))
    assert retrieval.recall_at == (1, 5, 10)
    for protocol in (verification, matching, retrieval):
        assert (protocol.interval.replicates, protocol.interval.level) == (1000, 0.95)


def test_an_installed_package_reads_its_own_copy(installed: Path) -> None:
    change(installed, "retrieval", recall_at=[3])
    assert bundled_folder("protocols") == installed
    assert retrieval_protocol().recall_at == (3,)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("verification", {"mood": "good"}, "protocols/verification.yaml, mood"),
        ("verification", {"default_strata": ["X"]}, "default stratum 'X'"),
        ("verification", {"strata": {"U": [], "H": ["height"]}}, "strata.H"),
        ("verification", {"age_bounds": [45, 30]}, "age_bounds must rise"),
        ("matching", {"gallery_sizes": [1]}, "gallery_sizes.0"),
        ("matching", {"ties": "first"}, "matching.yaml, ties"),
        ("retrieval", {"same_video": "kept"}, "retrieval.yaml, same_video"),
    ],
)
def test_a_definition_that_no_code_obeys_is_refused(
    installed: Path, name: str, settings: dict[str, object], message: str
) -> None:
    change(installed, name, **settings)
    with pytest.raises(RequestError, match=message):
        getattr(protocols, f"{name}_protocol")()


def test_unknown_missing_and_broken_definitions_are_refused(installed: Path) -> None:
    with pytest.raises(RequestError, match="no protocol 'ranking'"):
        protocol_text("ranking")
    (installed / "matching.yaml").write_text("strata: [U\n")
    with pytest.raises(RequestError, match=r"matching.yaml: not YAML"):
        matching_protocol()
    (installed / "matching.yaml").unlink()
    with pytest.raises(RequestError, match=r"matching.yaml: the protocol's definition is missing"):
        matching_protocol()


def test_an_unknown_stratum_names_the_known_ones() -> None:
    with pytest.raises(RequestError, match="no stratum 'Q'; the protocol has U, G, N, A, GN, GNA"):
        verification_protocol().attributes("Q")
