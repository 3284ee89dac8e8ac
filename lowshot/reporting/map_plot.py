"""The map of voices and faces: embeddings in two dimensions."""

from pathlib import Path
from typing import Any

from lowshot.reporting import style, tables
from lowshot.reporting.drawing import Missing, Picture, figure_and_axes, finish

NAME, TITLE = "map", "Voices and faces in two dimensions"
_JOINED = 5


def embedding_map(path: Path | None) -> Picture | Missing:
    """Draw voices and faces on the plane of largest variance.

    Args:
        path: gallery/map.csv of an evaluation; None if there is none.

    Raises:
        RequestError: the file is malformed.
    """
    from matplotlib.lines import Line2D

    if path is None:
        return Missing(NAME, TITLE, "there is no gallery/map.csv beside results.csv; evaluate the model again for one")
    text, numbers = ("model", "modality", "identity", "gender"), ("x", "y", "variance")
    points = tables.typed(tables.read_csv(path), text, numbers, path, "lowshot evaluate")
    figure, axes = figure_and_axes(4.6)
    genders = sorted(set(points["gender"]))
    hues = [look.light for look in style.LOOKS.values()]
    handles = []
    for modality, marker in (("voice", "o"), ("face", "^")):
        for place, gender in enumerate(genders):
            chosen = points[(points["modality"] == modality) & (points["gender"] == gender)]
            if chosen.empty:
                continue
            hue = hues[place % len(hues)] if len(genders) > 1 else style.MUTED[0]
            look: dict[str, Any] = {
                "color": hue,
                "marker": marker,
                "linestyle": "none",
                "markersize": 4,
                "markeredgewidth": 0.9,
                "markerfacecolor": style.SURFACE[0] if place % 2 else hue,
            }
            axes.plot(chosen["x"], chosen["y"], alpha=0.75, **look)
            label = style.short(f"{modality}, {gender}" if gender else modality, 24)
            handles.append(Line2D([], [], label=label, **look))
    centres = points.groupby(["identity", "modality"], sort=False)[["x", "y"]].mean()
    people = list(dict.fromkeys(points["identity"]))[:_JOINED]
    for number, name in enumerate(people, start=1):
        pair = centres.loc[[name]].reset_index()
        if len(pair) == 2:
            axes.plot(pair["x"], pair["y"], color=style.INK[0], linewidth=0.9)
            axes.annotate(
                str(number), (float(pair["x"].iloc[0]), float(pair["y"].iloc[0])), fontsize=8, color=style.INK[0]
            )
    variance = tables.percentage(float(points["variance"].iloc[0]))
    axes.set(xticks=[], yticks=[], xlabel="first principal component", ylabel="second principal component")
    voices, faces = ((points["modality"] == modality).sum() for modality in ("voice", "face"))
    alt = (
        f"Embeddings of {voices} voices and {faces} faces of {points['identity'].nunique()} people by "
        f"{points['model'].iloc[0]}, projected onto two principal components, which hold {variance} % of the variance; "
        "lines join the mean voice and the mean face of five of them."
    )
    title = style.short(f"{TITLE}: {points['model'].iloc[0]}", 60)
    return finish(figure, handles, NAME, title, alt)
