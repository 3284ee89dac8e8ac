"""Metadata of a list's media: identity, video, gender, nationality, age."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from lowshot.data.dataset import Dataset
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.trial_lists.listed import Names, names_of
from lowshot.evaluation.trial_lists.vox_names import Medium, VoxMeta, parse_medium
from lowshot.evaluation.trials import BoolArray
from lowshot.schema import ATTRIBUTES, GENDER, NATIONALITY


@dataclass(frozen=True, eq=False)
class MediaMetadata:
    """Metadata of [T] media; unknown text is empty.

    Args:
        identity, video: [T] names, to be compared with each other only.
        attributes: [T] values of gender, nationality and age.
        trained: [T] whether the identity is trained on; None if nothing is known of training.
    """

    identity: Names
    video: Names
    attributes: dict[str, Names]
    trained: BoolArray | None


class MetadataFinder:
    """Finds metadata in a manifest or, without a dataset, in names.

    Args:
        dataset: with the manifest; None: names are read as paths of VoxCeleb.
        meta: gender and nationality if the manifest has no such column, and who is trained on if it has no training
            rows.
    """

    def __init__(self, dataset: Dataset | None, meta: VoxMeta | None) -> None:
        self.dataset = dataset
        self.meta = meta
        self._trained = self._trained_identities()
        self._column = cache(self._read_column)

    def of_rows(self, modality: str, rows: IntArray) -> MediaMetadata:
        """Metadata of rows of the dataset; unknown for negative row numbers."""
        if self.dataset is None:
            raise ValueError("without a dataset there are no rows")
        # Every negative number is sent to the last entry of a column, which is empty.
        places = np.maximum(rows, -1)
        known = [name for name in ATTRIBUTES if name in self.dataset.manifest.columns]
        attributes = {name: self._column(modality, name)[places] for name in known}
        identity, video = (self._column(modality, name)[places] for name in ("identity", "video"))
        return self._metadata(identity, video, attributes)

    def _read_column(self, modality: str, name: str) -> Names:
        """A column of the manifest and an empty entry."""
        assert self.dataset is not None
        return names_of([*self.dataset.rows(modality)[name].tolist(), ""])

    def of_names(self, modality: str, names: Names, identity: Names | None = None) -> MediaMetadata:
        """Metadata that names themselves tell.

        Args:
            modality: of the media.
            names: [T] paths, empty if there is no medium.
            identity: [T] identities that the list itself states, if it does.
        """
        found = {name: parse_medium(modality, name, self.meta) for name in dict.fromkeys(names.tolist())}
        media = [found[name] for name in names]
        own = [medium.identity if medium else "" for medium in media] if identity is None else identity.tolist()
        whose = names_of([self.canonical(name) for name in own])
        # A video's name is kept with its person's: some archives number videos per person.
        video = [f"{who}/{medium.video}" if medium else "" for who, medium in zip(whose, media, strict=True)]
        return self._metadata(whose, names_of(video), {})

    def canonical(self, identity: str) -> str:
        """One name for a person who has two."""
        return self.meta.canonical(identity) if self.meta else identity

    def medium(self, modality: str, name: str) -> Medium | str:
        """Return one name for a medium that may have two names."""
        return parse_medium(modality, name, self.meta) or name

    def _metadata(self, identity: Names, video: Names, attributes: dict[str, Names]) -> MediaMetadata:
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
        return MediaMetadata(identity, video, {a: attributes.get(a, empty) for a in ATTRIBUTES}, trained)

    def _trained_identities(self) -> frozenset[str] | None:
        if self.dataset is not None:
            table = self.dataset.manifest
            found = set(table.loc[table["split"] == "train", "identity"]) - {""}
            if found:
                return frozenset(found)
        return self.meta.trained if self.meta else None
