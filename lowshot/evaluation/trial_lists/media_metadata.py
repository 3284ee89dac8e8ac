"""What is known of the media that a list names: whose they are, of which video, and what their people share."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from lowshot.data.dataset import Dataset
from lowshot.evaluation.protocols import verification_protocol
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.strata import age_group
from lowshot.evaluation.trial_lists.listed import Names, names_of
from lowshot.evaluation.trial_lists.vox_names import Medium, VoxMeta, parse_medium
from lowshot.evaluation.trials import BoolArray
from lowshot.schema import AGE, ATTRIBUTES, GENDER, NATIONALITY


@dataclass(frozen=True, eq=False)
class MediaFacts:
    """Facts of [T] media; text is empty where a fact is not known.

    Args:
        identity, video: [T] names, to be compared with each other only.
        attributes: [T] values of gender, nationality and age group.
        trained: [T] whether the identity is trained on; None where nothing is known of training.
    """

    identity: Names
    video: Names
    attributes: dict[str, Names]
    trained: BoolArray | None


class FactFinder:
    """Facts from a dataset's manifest, or, without a dataset, from the names themselves.

    Args:
        dataset: whose manifest says everything of its rows; None: names are read as paths of VoxCeleb.
        meta: gender and nationality where the manifest has no such column, and who is trained on where it has no
            training rows.
    """

    def __init__(self, dataset: Dataset | None, meta: VoxMeta | None) -> None:
        self.dataset = dataset
        self.meta = meta
        self._trained = self._trained_identities()
        self._age_bounds = verification_protocol().age_bounds
        self._column = cache(self._read_column)

    def of_rows(self, modality: str, rows: IntArray) -> MediaFacts:
        """Facts of rows of the dataset; nothing is known of negative row numbers."""
        if self.dataset is None:
            raise ValueError("without a dataset there are no rows")
        # Every negative number is sent to the last entry of a column, which is empty.
        places = np.maximum(rows, -1)
        known = [name for name in ATTRIBUTES if name in self.dataset.manifest.columns]
        attributes = {name: self._column(modality, name)[places] for name in known}
        identity, video = (self._column(modality, name)[places] for name in ("identity", "video"))
        return self._facts(identity, video, attributes)

    def _read_column(self, modality: str, name: str) -> Names:
        """A column of the manifest and an empty entry; ages as groups."""
        assert self.dataset is not None
        values = self.dataset.rows(modality)[name].tolist()
        if name == AGE:
            groups = {age: age_group(age, self._age_bounds) for age in dict.fromkeys(values)}
            values = [groups[age] for age in values]
        return names_of([*values, ""])

    def of_names(self, modality: str, names: Names, identity: Names | None = None) -> MediaFacts:
        """Facts that names themselves tell.

        Args:
            modality: of the media.
            names: [T] paths, empty where there is no medium.
            identity: [T] what the list itself calls their identities, where it does.
        """
        found = {name: parse_medium(modality, name, self.meta) for name in dict.fromkeys(names.tolist())}
        media = [found[name] for name in names]
        own = [medium.identity if medium else "" for medium in media] if identity is None else identity.tolist()
        whose = names_of([self.canonical(name) for name in own])
        # A video's name is kept with its person's: some archives number videos per person.
        video = [f"{who}/{medium.video}" if medium else "" for who, medium in zip(whose, media, strict=True)]
        return self._facts(whose, names_of(video), {})

    def canonical(self, identity: str) -> str:
        """One name for a person who has two."""
        return self.meta.canonical(identity) if self.meta else identity

    def medium(self, modality: str, name: str) -> Medium | str:
        """One name for a medium that may have two; the name itself where it is no path of VoxCeleb."""
        return parse_medium(modality, name, self.meta) or name

    def _facts(self, identity: Names, video: Names, attributes: dict[str, Names]) -> MediaFacts:
        distinct = dict.fromkeys(identity.tolist())
        if self.meta is not None:
            for attribute, values in ((GENDER, self.meta.gender), (NATIONALITY, self.meta.nationality)):
                known = {name: values.get(self.canonical(name), "") for name in distinct}
                attributes.setdefault(attribute, names_of([known[name] for name in identity]))
        empty = names_of([""] * len(identity))
        trained = None
        if self._trained is not None:
            among = {name: name in self._trained or self.canonical(name) in self._trained for name in distinct}
            trained = np.array([among[name] for name in identity], dtype=bool)
        return MediaFacts(identity, video, {a: attributes.get(a, empty) for a in ATTRIBUTES}, trained)

    def _trained_identities(self) -> frozenset[str] | None:
        if self.dataset is not None:
            table = self.dataset.manifest
            found = set(table.loc[table["split"] == "train", "identity"]) - {""}
            if found:
                return frozenset(found)
        return self.meta.trained if self.meta else None
