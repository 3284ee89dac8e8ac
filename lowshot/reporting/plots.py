"""All pictures of a report, in order, and their files."""

from collections.abc import Sequence
from pathlib import Path

from lowshot.files import atomic_path
from lowshot.reporting import style, tables
from lowshot.reporting.cluster_tables import sizes
from lowshot.reporting.difference_plots import efficiency, forest
from lowshot.reporting.drawing import FORMATS, Missing, Picture
from lowshot.reporting.error_plots import error_curves
from lowshot.reporting.group_plots import by_gender
from lowshot.reporting.map_plot import embedding_map
from lowshot.reporting.score_plots import label_fraction, matching, strata
from lowshot.reporting.sources import Sources
from lowshot.reporting.training_plots import training


def draw(sources: Sources) -> list[Picture | Missing]:
    """Draw every picture that the sources allow.

    Returns:
        Pictures and reasons for missing ones, in the order of the page. Nothing is written.

    Raises:
        RequestError: a score file or a metrics.csv is malformed.
    """
    import matplotlib as mpl

    results = sources.results
    looks = style.looks(results["method"])
    with mpl.rc_context(style.rc()):
        return [
            forest(sources.judged),
            *error_curves(results, looks, sources.directories),
            label_fraction(results, looks),
            efficiency(sources.efficiency, looks),
            *(matching(results, looks, direction) for direction in tables.DIRECTIONS),
            strata(results, looks),
            by_gender(results, sources.groups, looks),
            *training(sources.curves, looks),
            sizes(sources.clusters, looks, bool(sources.curves)),
            embedding_map(sources.map),
        ]


def write_picture(folder: Path, picture: Picture | Missing, formats: Sequence[str]) -> None:
    """Write a picture as FOLDER/NAME.FORMAT and remove other formats.

    An old file would show earlier results beside the new page.
    """
    wanted = () if isinstance(picture, Missing) else formats
    for kind in FORMATS:
        path = folder / f"{picture.name}.{kind}"
        if isinstance(picture, Missing) or kind not in wanted:
            path.unlink(missing_ok=True)
            continue
        with atomic_path(path) as temporary:
            temporary.write_bytes(picture.file(kind))
