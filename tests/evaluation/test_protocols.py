"""Protocol definitions: read from where they lie, refused when they say what no code does."""

from pathlib import Path

import pytest
import yaml

import lowshot
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.matching import Matching
from lowshot.evaluation.protocols.registry import add, chosen, find, find_table, in_all, names, table_protocols
from lowshot.evaluation.protocols.retrieval import Retrieval
from lowshot.evaluation.protocols.verification import Verification
from lowshot.files import bundled_folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with its own copy of the definitions."""
    package = tmp_path / "site-packages" / "lowshot"
    folder = package / "_protocols"
    folder.mkdir(parents=True)
    for name in names():
        (folder / f"{name}.yaml").write_text(find(name).text())
    monkeypatch.setattr(lowshot, "__file__", str(package / "__init__.py"))
    return folder


def change(folder: Path, name: str, **settings: object) -> None:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))


def test_the_definitions_are_those_of_the_field() -> None:
    verification, matching, retrieval = (kind().definition for kind in (Verification, Matching, Retrieval))
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
    assert Retrieval().definition.recall_at == (3,)


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
        _ = find_table(name).definition


def test_unknown_missing_and_broken_definitions_are_refused(installed: Path) -> None:
    with pytest.raises(RequestError, match="no protocol 'ranking'"):
        find("ranking")
    (installed / "matching.yaml").write_text("strata: [U\n")
    with pytest.raises(RequestError, match=r"matching.yaml: not YAML"):
        _ = Matching().definition
    (installed / "matching.yaml").unlink()
    with pytest.raises(RequestError, match=r"matching.yaml: the definition of this protocol is missing"):
        _ = Matching().definition


def test_an_unknown_stratum_names_the_known_ones() -> None:
    with pytest.raises(RequestError, match="no stratum 'Q'; the protocol has U, G, N, A, GN, GNA"):
        Verification().definition.attributes("Q")


def test_changed_keys_are_checked_as_those_of_a_file() -> None:
    protocol = Matching().using(gallery_sizes=[2, 5])
    assert protocol.definition.gallery_sizes == (2, 5)
    assert Matching().definition.gallery_sizes == tuple(range(2, 11))
    with pytest.raises(RequestError, match=r"matching, gallery_sizes.0: .* greater than or equal to 2"):
        protocol.using(gallery_sizes=[1])


def test_the_registry_knows_every_protocol_and_all_means_the_published_ones() -> None:
    assert chosen("all") == in_all() == ("verification", "matching", "retrieval")
    assert chosen("matching") == ("matching",)
    for protocol in table_protocols():
        assert protocol.definition.name == protocol.name
        assert protocol.text().startswith("#")
    with pytest.raises(RequestError, match="there is one of that name already"):
        add(Matching())
