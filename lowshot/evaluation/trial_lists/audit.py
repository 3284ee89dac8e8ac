"""Audits of trial lists: counts, and findings for readers of figures."""

from collections.abc import Sequence

import numpy as np

from lowshot.evaluation.protocols.registry import protocol_of, table_protocols
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.trial_lists.counts import Audit, Share, count_distinct, first_names
from lowshot.evaluation.trial_lists.listed import HiddenList, TrialList, duplicated
from lowshot.evaluation.trial_lists.media import UNKNOWN, MediaIndex
from lowshot.evaluation.trial_lists.media_metadata import MediaMetadata, MetadataFinder
from lowshot.schema import SEEN, UNSEEN


class Auditor:
    """Audits lists against a dataset, or by the names in them.

    Args:
        finder: gives metadata of media.
        index: rows of the dataset, if there is one.
    """

    def __init__(self, finder: MetadataFinder, index: MediaIndex | None = None) -> None:
        self._finder = finder
        self._index = index

    def audit(self, lists: Sequence[TrialList]) -> list[Audit]:
        """Audit each list; both files of a retrieval share one audit, at the end."""
        together: dict[int, list[TrialList]] = {}
        for protocol in table_protocols():
            own = [listed for listed in lists if type(listed) is protocol.list_kind]
            for group in protocol.audited_together(own):
                together |= {id(listed): group for listed in group}
        groups = [together.get(id(listed), [listed]) for listed in lists]
        single = [group for group in groups if len(group) == 1]
        # A group stands once.
        several = {id(group): group for group in groups if len(group) > 1}
        return [self._audit(group) for group in (*single, *several.values())]

    def total(self, lists: Sequence[TrialList]) -> Audit:
        """Count distinct media, and their mentions, over all lists."""
        distinct: dict[str, set[str]] = {"voice": set(), "face": set()}
        named = 0
        for listed in lists:
            for modality, column in listed.media():
                distinct[modality].update(column.tolist())
                named += int((column != "").sum())
        found = Audit("all lists together", {"media_named": named})
        for modality, names in distinct.items():
            # A medium may stand in two lists under two names.
            found.counts[f"distinct_{modality}s"] = len({self._finder.medium(modality, name) for name in names - {""}})
        return found

    def _audit(self, group: Sequence[TrialList]) -> Audit:
        rows = [None if self._index is None else self._index.locate(listed) for listed in group]
        metadata = [self._metadata(listed, located) for listed, located in zip(group, rows, strict=True)]
        paths = dict.fromkeys(str(listed.path) for listed in group)
        found = Audit(" and ".join(paths), {"form": group[0].form})
        if group[0].hides_labels:
            _count_hidden(found, group[0])
        else:
            protocol_of(group[0]).audit(found, group, metadata)
        self._people(found, group, metadata, rows)
        return found

    def _metadata(self, listed: TrialList, rows: Sequence[IntArray] | None) -> list[MediaMetadata]:
        """Metadata of each column of media."""
        media = listed.media()
        if rows is not None:
            return [self._finder.of_rows(modality, column) for (modality, _), column in zip(media, rows, strict=True)]
        stated = listed.stated_identity()
        return [self._finder.of_names(modality, names, stated) for modality, names in media]

    def _people(
        self,
        found: Audit,
        lists: Sequence[TrialList],
        metadata: Sequence[Sequence[MediaMetadata]],
        rows: Sequence[Sequence[IntArray] | None],
    ) -> None:
        """Count identities, those that are trained on, and unknown media."""
        columns = [column for listed in metadata for column in listed]
        people = {name: bool(trained) for column in columns for name, trained in _trained(column)}
        people.pop("", None)
        found.counts["identities"] = len(people)
        meta, seen = self._finder.meta, lists[0].seen
        if any(column.trained is not None for column in columns):
            trained = Share(sum(people.values()), len(people))
            found.counts["identities_trained_on"] = trained
            if seen == UNSEEN and trained.count:
                found.findings.append(f"{seen}, but {trained} identities are trained on")
            if seen == SEEN and trained.count < trained.of:
                found.findings.append(f"{seen}, but only {trained} identities are trained on")
            if not seen and 0 < trained.count < trained.of:
                found.findings.append(f"{trained} identities are trained on, the others are not")
        if self._index is None and meta is not None:
            strangers = [name for name in people if name not in meta.gender]
            found.counts["unknown_identities"] = len(strangers)
            if strangers:
                found.findings.append(f"{meta.path} does not know {first_names(strangers)}")
        if self._index is None:
            return
        nameless: dict[str, None] = {}
        unknown: dict[str, None] = {}
        for listed, columns_of, located in zip(lists, metadata, rows, strict=True):
            for (_, names), known, column in zip(listed.media(), columns_of, located or (), strict=True):
                nameless |= dict.fromkeys(names[(column >= 0) & (known.identity == "")])
                unknown |= dict.fromkeys(names[column == UNKNOWN])
        found.counts |= {"media_without_identity": len(nameless), "unknown_files": len(unknown)}
        if nameless and not lists[0].hides_labels:
            found.findings.append(f"{self._index.dataset.name} gives no identity to {first_names(list(nameless))}")
        if unknown:
            found.findings.append(f"{self._index.dataset.name} lacks {first_names(list(unknown))}")


def _count_hidden(found: Audit, listed: TrialList) -> None:
    assert isinstance(listed, HiddenList)
    found.counts |= {"protocol": "verification, labels hidden", "trials": len(listed)}
    count_distinct(found, "voices", listed.voice)
    count_distinct(found, "faces", listed.face)
    found.counts["duplicate_trials"] = int(duplicated(listed.voice, listed.face).sum())


def _trained(column: MediaMetadata) -> list[tuple[str, bool]]:
    trained = np.zeros(len(column.identity), dtype=bool) if column.trained is None else column.trained
    return list(dict(zip(column.identity.tolist(), trained.tolist(), strict=True)).items())
