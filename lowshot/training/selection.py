"""Which weights of a pretraining are its result, and when it may end: a judge looks at every epoch."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lowshot.config import Config
from lowshot.data.pairs import Videos
from lowshot.data.readers.base import Reader
from lowshot.data.video_vectors import joint_vectors
from lowshot.errors import RequestError
from lowshot.held_out import Judgement, hold_out, judge
from lowshot.methods.cca import fit_cca
from lowshot.models.embedding import embed
from lowshot.models.two_tower import TwoTower
from lowshot.settings import CcaConfig
from lowshot.training.closed_form import linear_towers
from lowshot.training.distributed import ALONE, World
from lowshot.training.validation import validation_auc

# Training ends at twice the best epoch and this share of all epochs more.
PATIENCE = 0.2

Judge = Callable[[TwoTower, Reader], Judgement]


class Selection:
    """The best weights so far by a judge, and whether training can still win.

    Args:
        judge: measures a model.
        description: who the judge is, for provenance.json.
        epochs: of the whole run.
        floor: what the judge says of `cca`, fitted to the same videos; None if it was not asked.
    """

    def __init__(self, judge: Judge, description: str, epochs: int, floor: Judgement | None = None) -> None:
        self._measure = judge
        self._description = description
        self._patience = math.ceil(PATIENCE * epochs)
        self._floor = floor
        self.best: dict[str, torch.Tensor] | None = None
        self._judgement: Judgement | None = None
        self._found = {"auc": float("nan"), "error": float("nan"), "epoch": 0, "step": 0, "looked": 0}

    def look(self, model: TwoTower, reader: Reader, epoch: int, step: int) -> dict[str, float]:
        """Judge the model at the end of an epoch.

        Args:
            model: as it is now; left as it is.
            reader: of the dataset.
            epoch: how many epochs are done.
            step: how many steps are done.

        Returns:
            Figures for metrics.csv. Earlier weights are kept unless later ones are better by more than the error of the
            difference: a longer training is no better by chance alone.
        """
        found = self._measure(model, reader)
        self._found["looked"] = epoch
        if self._judgement is None or found.auc - self._judgement.auc > found.error_against(self._judgement):
            self._judgement = found
            self.best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
            self._found |= {"auc": found.auc, "error": found.error, "epoch": epoch, "step": step}
        # Labels are taken as they are: that judge has no error of its own.
        return {"judge_auc": found.auc, **({"judge_error": found.error} if found.error else {})}

    @property
    def decided(self) -> bool:
        """Whether training ends: no look for as long as it took to reach the best was better."""
        return self.best is not None and self._found["looked"] >= 2 * self._found["epoch"] + self._patience

    def __str__(self) -> str:
        found, floor = self._found, self._floor
        text = f"epoch {found['epoch']} is kept: {100 * found['auc']:.1f} %, {self._description}"
        if floor is None:
            return text
        # This model was chosen on these clusters and cca was not: a lead within the error says nothing.
        lead = self._judgement is not None and floor.auc - found["auc"] > floor.error_against(self._judgement)
        better = "cca, the closed form, is better here" if lead else "cca, the closed form, has"
        return f"{text}; {better}: {100 * floor.auc:.1f} % on the same clusters"

    def record(self) -> dict[str, Any]:
        """The choice, for provenance.json."""
        floor = {"cca_auc": self._floor.auc, "cca_error": self._floor.error} if self._floor else {}
        return {"judge": self._description, "chosen": {**self._found, **floor}}

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        influence = None if self._judgement is None else torch.from_numpy(self._judgement.influence)
        return {"best": self.best, "found": dict(self._found), "influence": influence}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.best, self._found, influence = state["best"], dict(state["found"]), state["influence"]
        self._judgement = None if influence is None else Judgement(self._found["auc"], influence.numpy())


def start_selection(
    config: Config,
    reader: Reader,
    videos: Videos,
    validation: Videos | None,
    device: torch.device,
    world: World = ALONE,
) -> tuple[Selection | None, Videos]:
    """Make the judge that `train.select` names.

    Args:
        config: of the run.
        reader: of the dataset.
        videos: the training videos.
        validation: the labelled validation videos, if there are any.
        device: where `cca` is fitted.
        world: the processes of the run; all learn from the videos that the first one chose.

    Returns:
        The selection, None for the weights of the last step; and the videos to learn from.

    Raises:
        RequestError: the data lack what the judge needs.
    """
    select = config.train.select
    if select == "last":
        return None, videos
    if select == "labels":
        if validation is None or not _repeats(validation):
            raise RequestError(
                f"{reader.dataset.manifest_path}: train.select=labels needs a split 'val' with two identities, one of "
                "them with two videos; add them, or take train.select=last"
            )
        people = len(set(validation.identities) - {""})
        description = f"AUC of {people} labelled validation identities"
        return Selection(_by_labels(validation), description, config.train.epochs), videos
    if not reader.dataset.has_features:
        raise RequestError(
            "train.select=held-out-clusters: needs vectors, and these are voice and face files; "
            "take train.select=labels or train.select=last"
        )
    [(held, clusters)] = world.from_first(hold_out(joint_vectors(reader, videos), config.seed))
    learned = np.setdiff1d(np.arange(len(videos)), held)
    repeated = int((np.unique(clusters, return_counts=True)[1] > 1).sum())
    if repeated < 2 or len(learned) < 2:
        raise RequestError(
            f"{reader.dataset.manifest_path}: train.select=held-out-clusters: {len(videos)} training videos are too "
            "few to hold clusters out; take train.select=last"
        )
    description = f"AUC of {len(np.unique(clusters))} held-out clusters of {len(held)} training videos"
    measure = _by_clusters(videos.select(held), clusters)
    floor = measure(_closed_form(config, reader, videos.select(learned), device), reader)
    return Selection(measure, description, config.train.epochs, floor), videos.select(learned)


def _closed_form(config: Config, reader: Reader, learned: Videos, device: torch.device) -> TwoTower:
    """The rival that takes seconds: linear towers by canonical correlation of the same videos."""
    model = TwoTower.from_config(linear_towers(config), reader.statistics).eval()
    fit_cca(model, reader, learned, CcaConfig(), config.seed, device)
    return model


def _repeats(validation: Videos) -> bool:
    """Whether pairs of one identity's different videos and pairs of different identities exist."""
    _, counts = np.unique([name for name in validation.identities if name], return_counts=True)
    return len(counts) >= 2 and bool((counts >= 2).any())


def _by_labels(validation: Videos) -> Judge:
    def measure(model: TwoTower, reader: Reader) -> Judgement:
        return Judgement(validation_auc(model, reader, validation), np.zeros(1))

    return measure


def _by_clusters(held: Videos, clusters: np.ndarray) -> Judge:
    # As at a test: one clip and one picture of each video.
    voices, faces = (np.array([rows[0] for rows in side]) for side in (held.voices, held.faces))

    def measure(model: TwoTower, reader: Reader) -> Judgement:
        vectors = embed(model, reader, voices, faces)
        found = judge(vectors.voice[voices], vectors.face[faces], clusters)
        assert found is not None, "clusters were checked"
        return found

    return measure
