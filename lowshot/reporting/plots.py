"""Every picture of a report, in the order of the page, and their files."""

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
from lowshot.reporting.sources import Material
from lowshot.reporting.training_plots import training


def draw(material: Material) -> list[Picture | Missing]:
    """Draw every picture that the material allows.

    Returns:
        Pictures and reasons for missing ones, in the order of the page. Nothing is written.

    Raises:
        RequestError: a score file or a metrics.csv is malformed.
    """
    import matplotlib as mpl

    results = material.results
    looks = style.looks(results["method"])
    with mpl.rc_context(style.rc()):
        return [
            forest(material.claimed),
            *error_curves(results, looks, material.directories),
            label_fraction(results, looks),
            efficiency(material.efficiency, looks),
            *(matching(results, looks, direction) for direction in tables.DIRECTIONS),
            strata(results, looks),
            by_gender(results, material.groups, looks),
            *training(material.curves, looks),
            sizes(material.clusters, looks, bool(material.curves)),
            embedding_map(material.map),
        ]


def write_picture(folder: Path, picture: Picture | Missing, formats: Sequence[str]) -> None:
    """Write a picture as FOLDER/NAME.FORMAT; files of it in other formats go.

    A picture of earlier results beside a page that lacks it would be a lie.
    """
    wanted = () if isinstance(picture, Missing) else formats
    for kind in FORMATS:
        path = folder / f"{picture.name}.{kind}"
        if isinstance(picture, Missing) or kind not in wanted:
            path.unlink(missing_ok=True)
            continue
        with atomic_path(path) as temporary:
            temporary.write_bytes(picture.file(kind))
