"""The interface of a protocol: trials, scores, figures, chance, score tables, trial lists.

`Protocol` is the least that an evaluation needs. `TableProtocol` adds score tables that are written, read back and
compared in pairs; the protocols that come with lowshot are of this kind.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import pandas as pd
import yaml

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.definition import (
    Definition,
    checked_definition,
    definition_text,
    read_definition,
)
from lowshot.evaluation.resampled import Resampled
from lowshot.evaluation.results import Figure
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.score_files import Place, ScoreFile
from lowshot.evaluation.scorers import Scorer
from lowshot.evaluation.trial_lists.listed import TrialList
from lowshot.evaluation.trials import Population
from lowshot.files import bundled_folder

if TYPE_CHECKING:
    from lowshot.evaluation.trial_lists.counts import Audit
    from lowshot.evaluation.trial_lists.media_metadata import MediaMetadata
    from lowshot.evaluation.trial_lists.vox_names import VoxMeta


class Trials:
    """One list of trials: what stands as one place in results.csv.

    Attributes:
        direction: `voice_to_face`, `face_to_voice`, or empty.
        stratum: what impostors share with the probe: U, G, N, A, GN, GNA, or a list's own word.
        seen: `unseen-unheard`, `seen-heard`, `validation` or `mixed`.
        skipped: number of trials of a list that name media which the dataset lacks.
    """

    direction: str
    stratum: str
    seen: str
    skipped: int

    def rows(self, modality: str) -> IntArray:
        """Row numbers of the voices or faces that must be embedded; repeats are allowed."""
        raise NotImplementedError


T = TypeVar("T", bound=Trials)
TTable = TypeVar("TTable", bound=Trials)


@dataclass(frozen=True, eq=False)
class Request:
    """What trials are built from.

    Args:
        dataset: voices and faces with identities.
        population: rows of the split.
        held_out: held-out rows of training identities; None if there are none, or for another split than `test`.
        strata: strata that were asked for; empty: those that the protocol names.
        seed: seed of all draws.
        exclude_same_video: skip probes whose identity has no other video, instead of pairing them within one.
        warnings: what a reader of the figures should know is appended here.
    """

    dataset: Dataset
    population: Population
    held_out: Population | None
    strata: tuple[str, ...]
    seed: int
    exclude_same_video: bool
    warnings: list[str]


@dataclass(frozen=True, eq=False)
class Measured:
    """Figures of one list, with its score table and its error curve if it has them."""

    figures: list[Figure]
    table: pd.DataFrame | None = None
    curve: pd.DataFrame | None = None


class Protocol(ABC, Generic[T]):
    """A way to measure a model.

    Attributes:
        name: what the command line and results.csv call it.
        summary: one line for `lowshot protocols list`.
        in_all: whether `all` includes it.
    """

    name: str
    summary: str
    in_all: ClassVar[bool] = True

    @abstractmethod
    def build(self, request: Request) -> list[T]:
        """Build lists of trials from a manifest; no list if the manifest gives no trials."""

    @abstractmethod
    def measure(
        self, lists: Sequence[T], scorer: Scorer, dataset: Dataset, replicates: int | None, seed: int
    ) -> list[Measured]:
        """Measure one model.

        Args:
            lists: as `build` returns them.
            scorer: scores of the model.
            dataset: whose rows the lists name.
            replicates: number of resamples for intervals; None: what the protocol names.
            seed: seed of the resamples.

        Returns:
            One item per list.
        """

    @abstractmethod
    def chance(self, trials: T, dataset: Dataset) -> list[Figure]:
        """Figures of a model that knows nothing; equal scores must give the same."""

    def record(self) -> dict[str, Any]:
        """What figures depend on besides the trials, for JSON."""
        return {"name": self.name}

    def text(self) -> str:
        """Definition for a person to read."""
        return self.summary + "\n"

    def place(self, trials: T) -> dict[str, object]:
        """Columns of results.csv that name a list."""
        return {
            "protocol": self.name,
            "direction": trials.direction,
            "stratum": trials.stratum,
            "seen": trials.seen,
            "n_skipped": trials.skipped,
        }

    def score_key(self, place: Mapping[str, object]) -> str:
        """Name of a score table, from `protocol`, `direction`, `stratum` and `seen` of its place."""
        direction = f"-{place['direction']}" if place["direction"] else ""
        suffix = "" if place["stratum"] == "U" else f"-{place['stratum']}"
        return f"{self.name}-{place['seen']}{direction}{suffix}"


@dataclass(frozen=True, eq=False)
class Located:
    """A list whose media were found: its rows, one array per column of media, and the number of skipped trials."""

    listed: TrialList
    rows: Sequence[IntArray]
    skipped: int


@dataclass(frozen=True, eq=False)
class Joining:
    """What lists are joined to: the dataset, VoxCeleb's table of people, and the warnings so far."""

    dataset: Dataset
    meta: "VoxMeta | None"
    warnings: list[str]


class TableProtocol(Protocol[TTable]):
    """A protocol whose scores are tables, one row per trial.

    Attributes:
        definition_kind: model of `protocols/<name>.yaml`.
        compared: figures by which methods are compared: metric, direction, stratum, seen and gallery_size of each.
        list_kind: what its trial lists are read as; None: it has no trial lists.
        score_columns: columns that its score tables must have.
    """

    definition_kind: ClassVar[type[Definition]]
    compared: ClassVar[tuple[Mapping[str, object], ...]] = ()
    list_kind: ClassVar[type[TrialList] | None] = None

    def __init__(self, definition: Definition | None = None) -> None:
        self._definition = definition

    @property
    def definition(self) -> Any:
        """The definition, read when it is first needed."""
        if self._definition is None:
            self._definition = read_definition(self.name, self.definition_kind)
        return self._definition

    @property
    def summary(self) -> str:  # type: ignore[override]
        """One line for a person."""
        return str(self.definition.summary)

    def using(self, **changes: object) -> Self:
        """The same protocol with some keys of its definition changed.

        Raises:
            RequestError: a value that the definition does not allow.
        """
        content = {**self.definition.model_dump(), **changes}
        return type(self)(checked_definition(self.definition_kind, content, self.name))

    def record(self) -> dict[str, Any]:
        """The definition."""
        return dict(self.definition.model_dump(mode="json"))

    def text(self) -> str:
        """The definition as it is written, or as YAML if no file of lowshot has it."""
        if (bundled_folder("protocols") / f"{self.name}.yaml").is_file():
            return definition_text(self.name)
        return str(yaml.safe_dump(self.record(), sort_keys=False))

    # Scores and figures.

    @abstractmethod
    def table(self, trials: TTable, dataset: Dataset) -> pd.DataFrame:
        """Score table before trials are scored, one row per trial: names of media, identities, attributes."""

    @abstractmethod
    def score(self, lists: Sequence[TTable], scorer: Scorer, dataset: Dataset) -> list[pd.DataFrame]:
        """Score table of each list."""

    @abstractmethod
    def figures(self, table: pd.DataFrame, replicates: int, seed: int) -> list[Figure]:
        """Figures of a score table, of all trials first, then of each group.

        Args:
            table: as `score` returns it, or read from a file; without columns of identities there are no intervals.
            replicates: number of resamples.
            seed: seed of the resamples.
        """

    @abstractmethod
    def chance_figures(self, table: pd.DataFrame) -> list[Figure]:
        """Closed-form figures of a model that knows nothing, from `table` or from a score table."""

    def curve(self, table: pd.DataFrame) -> pd.DataFrame | None:
        """Points of the error curve; None if the protocol has none."""
        return None

    def measure(
        self, lists: Sequence[TTable], scorer: Scorer, dataset: Dataset, replicates: int | None, seed: int
    ) -> list[Measured]:
        """Score the lists and measure each score table."""
        return [self.measured(table, replicates, seed) for table in self.score(lists, scorer, dataset)]

    def measured(self, table: pd.DataFrame, replicates: int | None, seed: int) -> Measured:
        """Measure one score table; arguments as in `measure`."""
        resamples = replicates or self.definition.interval.replicates
        return Measured(self.figures(table, resamples, seed), table, self.curve(table))

    def chance(self, trials: TTable, dataset: Dataset) -> list[Figure]:
        """Closed-form figures of a list."""
        return self.chance_figures(self.table(trials, dataset))

    # Paired comparison.

    def compared_columns(self, figure: Mapping[str, object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Columns that name a trial, and columns that a compared figure is computed from."""
        raise NotImplementedError(f"{self.name} names figures in `compared`, but no columns for them")

    def usable(self, table: pd.DataFrame, figure: Mapping[str, object]) -> pd.DataFrame:
        """The trials of a score table that a compared figure is computed from."""
        return table

    def resample(
        self, tables: Sequence[pd.DataFrame], figure: Mapping[str, object], replicates: int, seed: int
    ) -> Resampled:
        """A compared figure of several runs on the same trials, with its resamples."""
        raise NotImplementedError(f"{self.name} names figures in `compared`, but no resamples of them")

    # Score tables as files.

    @property
    @abstractmethod
    def score_columns(self) -> tuple[str, ...]:
        """Columns that a score table must have."""

    @abstractmethod
    def read_scores(self, file: ScoreFile, place: Place, warnings: list[str]) -> list[tuple[Place, pd.DataFrame]]:
        """Check a score table.

        Args:
            file: the table, as text.
            place: `protocol`, `direction`, `stratum` and `seen`, as the name of the file says.
            warnings: what a reader should know is appended here.

        Returns:
            Its parts, each with its place.

        Raises:
            RequestError: a fault; names file and row.
        """

    # Trial lists.

    def join_list(self, located: Located, dataset: Dataset) -> TTable:
        """Make trials of one list; names file and row of what contradicts the manifest."""
        raise NotImplementedError

    def join(self, found: Sequence[Located], joining: Joining) -> list[TTable]:
        """Make trials of all lists of this protocol.

        Raises:
            RequestError: a list contradicts the manifest, or two lists have one place in the results.
        """
        joined: list[TTable] = []
        taken: dict[tuple[str, ...], TrialList] = {}
        for located in found:
            trials = self.join_list(located, joining.dataset)
            place = tuple(word for word in (trials.stratum, trials.seen, trials.direction) if word)
            if place in taken:
                raise RequestError(
                    f"{located.listed.path}: a second list of {self.name} {' '.join(place)}, besides "
                    f"{taken[place].path}; evaluate one at a time, or name their strata"
                )
            taken[place] = located.listed
            joined.append(trials)
        return joined

    def audited_together(self, lists: Sequence[TrialList]) -> list[list[TrialList]]:
        """Lists of this protocol in groups that get one audit each."""
        return [[listed] for listed in lists]

    def audit(self, found: "Audit", lists: Sequence[TrialList], facts: Sequence[Sequence["MediaMetadata"]]) -> None:
        """Count what a group of lists contains.

        Args:
            found: takes counts and findings.
            lists: one group of `audited_together`.
            facts: metadata of each column of media of each list.
        """

    def list_files(self, lists: Sequence[TTable], dataset: Dataset) -> dict[str, tuple[pd.DataFrame, dict[str, int]]]:
        """Lists of lowshot's own form by file name, each with counts for the recipe."""
        return {}
