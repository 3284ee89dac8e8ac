"""The protocols by name. This is the only list of them; everything else asks here."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lowshot.errors import RequestError

if TYPE_CHECKING:
    from lowshot.evaluation.protocols.base import Protocol, TableProtocol
    from lowshot.evaluation.trial_lists.listed import TrialList


def _verification() -> "Protocol[Any]":
    from lowshot.evaluation.protocols.verification import Verification

    return Verification()


def _matching() -> "Protocol[Any]":
    from lowshot.evaluation.protocols.matching import Matching

    return Matching()


def _retrieval() -> "Protocol[Any]":
    from lowshot.evaluation.protocols.retrieval import Retrieval

    return Retrieval()


def _enrolment() -> "Protocol[Any]":
    from lowshot.evaluation.protocols.enrolment import Enrolment

    return Enrolment()


# A protocol is imported when it is asked for: the help of the command line needs names only.
_BUILT_IN: "dict[str, Callable[[], Protocol[Any]]]" = {
    "verification": _verification,
    "matching": _matching,
    "retrieval": _retrieval,
    "enrolment": _enrolment,
}
_ADDED: "dict[str, Protocol[Any]]" = {}
ALL = "all"


def names() -> tuple[str, ...]:
    """Names of all protocols: those that come with lowshot, then those that were added."""
    return (*_BUILT_IN, *_ADDED)


def find(name: str) -> "Protocol[Any]":
    """A protocol by its name.

    Raises:
        RequestError: there is no such protocol.
    """
    if name in _ADDED:
        return _ADDED[name]
    if name not in _BUILT_IN:
        raise RequestError(f"no protocol '{name}'; there are {', '.join(names())}")
    return _BUILT_IN[name]()


def find_table(name: str) -> "TableProtocol[Any]":
    """A protocol with score tables by its name.

    Raises:
        RequestError: there is no such protocol, or it has no score tables.
    """
    from lowshot.evaluation.protocols.base import TableProtocol

    protocol = find(name)
    if not isinstance(protocol, TableProtocol):
        raise RequestError(f"protocol '{name}' has no score tables")
    return protocol


def chosen(name: str) -> tuple[str, ...]:
    """The names that one word of a person means: `all` or the name of a protocol.

    Raises:
        RequestError: there is no such protocol.
    """
    return in_all() if name == ALL else (find(name).name,)


def in_all() -> tuple[str, ...]:
    """Names of the protocols that `all` means."""
    return tuple(name for name in names() if find(name).in_all)


def add(protocol: "Protocol[Any]") -> None:
    """Add a protocol.

    Raises:
        RequestError: there is a protocol of that name.
    """
    if protocol.name in (*names(), ALL):
        raise RequestError(f"protocol '{protocol.name}': there is one of that name already; choose another")
    _ADDED[protocol.name] = protocol


def table_protocols() -> "Iterator[TableProtocol[Any]]":
    """Protocols that have score tables."""
    from lowshot.evaluation.protocols.base import TableProtocol

    for name in names():
        protocol = find(name)
        if isinstance(protocol, TableProtocol):
            yield protocol


def protocol_of(listed: "TrialList") -> "TableProtocol[Any]":
    """The protocol that a trial list belongs to."""
    return next(protocol for protocol in table_protocols() if protocol.list_kind is type(listed))


def score_key(place: Mapping[str, object]) -> str:
    """Name of the score table of a place in results: its `protocol`, `direction`, `stratum` and `seen`."""
    return find(str(place["protocol"])).score_key(place)


def compared_figures() -> tuple[dict[str, object], ...]:
    """Figures by which methods are compared, each with the columns of results.csv that name it."""
    return tuple(
        {"protocol": protocol.name, **figure}
        for protocol in table_protocols()
        if protocol.in_all
        for figure in protocol.compared
    )
