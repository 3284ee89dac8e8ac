"""The look of every picture: names, colours and marks of methods."""

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lowshot.schema import CHANCE, ORACLE, SCRATCH


@dataclass(frozen=True)
class Look:
    """Hue and mark of one method; each alone identifies it."""

    light: str
    dark: str
    marker: str


# Hues after Okabe and Ito (2008), darker on paper and lighter on a dark page. Each has a contrast of at least 3 : 1
# with its ground, as WCAG 2 requires of graphics.
LOOKS = {
    "cmpc": Look("#0067b1", "#58b4f0", "o"),
    "cid": Look("#d55e00", "#ff8a3c", "s"),
    SCRATCH: Look("#00845f", "#2fc79a", "^"),
    "cmpc-released": Look("#2f94c9", "#9bd3f5", "D"),
    "avid": Look("#b8568f", "#e79ac6", "v"),
    "robust-xid": Look("#a87800", "#e8b923", "P"),
    "pins": Look("#6a51a3", "#b3a2e6", "X"),
    "barlow": Look("#8c564b", "#cf9c90", "<"),
    "siglip": Look("#647a00", "#b5cc3a", ">"),
    "self-lifting": Look("#a5103f", "#ff7f9f", "h"),
}
# For variants and other people's methods, after the ten above.
SPARE = (
    Look("#3d4653", "#c3cad4", "p"),
    Look("#7f3b08", "#e0a06e", "d"),
    Look("#00687a", "#4fc3d9", "H"),
)
_OTHERS = ("pins", "avid", "siglip", "robust-xid", "barlow", "self-lifting")

# Neutral inks as light and dark. Picture files hold the light one; a page replaces it by a CSS variable.
INK = ("#1f2328", "#e6e9ee")
MUTED = ("#5b6470", "#a0a9b5")
RULE = ("#d9dee4", "#353b45")
SURFACE = ("#fefefe", "#1b1f26")
CHANCE_INK = ("#7a828c", "#8d96a1")
ORACLE_INK = ("#000001", "#fffffe")

_NAMES = {"cmpc": "CMPC", "cid": "CID", "avid": "AVID", "cmpc-released": "CMPC (released)"}
_LONG_NAMES = {"cmpc": "cross-modal prototype contrast (CMPC)", "cid": "instance-wise contrast (CID)"}
# Changes of a variant with a short name; the second is the setting's old value.
_CHANGES = {
    "recalibration=cluster-neighbours": "cluster neighbours",
    "recalibration=mates": "cluster neighbours",
}
_ADAPTATIONS = {"finetune": "fine-tuned", "probe": "probe"}


def look(method: str) -> Look:
    """Return the look of `method`; an unknown name has a fixed one."""
    if method == CHANCE:
        return Look(*CHANCE_INK, "")
    if method == ORACLE:
        return Look(*ORACLE_INK, "")
    return LOOKS.get(method) or LOOKS[_OTHERS[zlib.crc32(method.encode()) % len(_OTHERS)]]


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """Return different looks for the methods on one page, if possible.

    Args:
        methods: their names, in any order; they may include chance and the oracle.
    """
    names = sorted(set(methods) - {CHANCE, ORACLE})
    found = {method: LOOKS[method] for method in names if method in LOOKS}
    for method in names:
        if method not in LOOKS:
            wish = look(method)
            free = [item for item in (wish, *SPARE, *LOOKS.values()) if item not in found.values()]
            found[method] = free[0] if free else wish
    return {**found, CHANCE: look(CHANCE), ORACLE: look(ORACLE)}


def name(method: str) -> str:
    """Return the name of `method` in tables and legends.

    A variant, `cmpc+key=value`, is its method and what differs.
    """
    base, plus, change = method.partition("+")
    if plus and base in LOOKS:
        return ", ".join([name(base), *(_CHANGES.get(part, part) for part in change.split("+"))])
    return _NAMES.get(method, method)


def long_name(method: str) -> str:
    """Return the name of `method` in a sentence."""
    return _LONG_NAMES.get(method, name(method))


def short(text: str, length: int = 30) -> str:
    """Cut `text` to at most `length` characters, for a legend's line."""
    return text if len(text) <= length else text[: length - 1] + "…"


def percent(fraction: float) -> str:
    """Write a fraction in per cent: 0.01 is '1 %'."""
    return f"{100 * fraction:.4g} %"


def labels(adaptation: str, fraction: float) -> str:
    """Name a model's labels and their use, such as '1 % probe'.

    Args:
        adaptation: none, probe, finetune, or finetune-X for another strategy; '' if it does not apply.
        fraction: labelled fraction of the training identities, in [0, 1]; NaN if unknown.
    """
    kind, _, way = adaptation.partition("-")
    how = _ADAPTATIONS.get(kind, "" if adaptation == "none" else adaptation)
    if way and kind in _ADAPTATIONS:
        how += f" ({way})"
    if math.isnan(fraction):
        return how
    if fraction == 0 and not how:
        return "no labels"
    return f"{percent(fraction)} {how}".strip()


def sort_key(method: str) -> tuple[int, int, str]:
    """Return the sort key of a method in tables and legends.

    Chance comes first, then those of `LOOKS` in order, others by name, and the oracle.
    """
    known = list(LOOKS)
    rank = {CHANCE: 0, ORACLE: 2}.get(method, 1)
    return rank, known.index(method) if method in known else len(known), method


def theme_variables() -> dict[str, tuple[str, str, str]]:
    """Return all colours as name -> (CSS variable, light value, dark value)."""
    pairs = {
        "ink": INK,
        "muted": MUTED,
        "rule": RULE,
        "surface": SURFACE,
        CHANCE: CHANCE_INK,
        ORACLE: ORACLE_INK,
        **{method: (item.light, item.dark) for method, item in LOOKS.items()},
        **{f"spare-{place}": (item.light, item.dark) for place, item in enumerate(SPARE, start=1)},
    }
    return {key: (f"--c-{key}", *pair) for key, pair in pairs.items()}


def rc() -> dict[Any, Any]:
    """Return matplotlib's settings for every picture.

    Sizes fit a figure 4.8 inches wide, which a phone shows at about its natural size.
    """
    return {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "figure.titlesize": 10,
        "figure.titleweight": "bold",
        "axes.labelsize": 9,
        "axes.labelcolor": INK[0],
        "axes.edgecolor": MUTED[0],
        "axes.facecolor": SURFACE[0],
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": RULE[0],
        "grid.linewidth": 0.6,
        "text.color": INK[0],
        # Names come from users, so a dollar sign must not start a formula.
        "text.parse_math": False,
        "xtick.color": MUTED[0],
        "ytick.color": MUTED[0],
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "lines.linewidth": 1.7,
        "lines.markersize": 5,
        "figure.facecolor": SURFACE[0],
        "savefig.facecolor": SURFACE[0],
        "figure.dpi": 160,
        "savefig.dpi": 160,
        # Outlined text looks the same on every machine; a fixed salt makes equal pictures equal files.
        "svg.fonttype": "path",
        "svg.hashsalt": "lowshot",
        "pdf.fonttype": 42,
    }
