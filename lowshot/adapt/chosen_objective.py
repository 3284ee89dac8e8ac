"""The objective that an adaptation's settings name."""

from collections.abc import Callable

import numpy as np
import torch

from lowshot.adapt.objectives import Classifier, Contrast, Objective, mean_directions
from lowshot.adapt.semi_supervised import (
    SemiSupervised,
    batches_of_all,
    first_embeddings,
    known_identities,
    ongoing_cmpc,
)
from lowshot.config import Config
from lowshot.data.pairs import PairBatches, Videos, videos_of
from lowshot.data.readers.base import Reader
from lowshot.models.two_tower import TwoTower


def objective_maker(
    model: TwoTower,
    labelled: Videos,
    batches: PairBatches,
    reader: Reader,
    config: Config,
    seed: int,
    *,
    scratch: bool,
) -> Callable[[], Objective]:
    """A function that makes a new objective of `config` for each attempt.

    Args:
        model: the towers before the first step.
        labelled: videos of the labelled training identities.
        batches: batches of these videos.
        reader: of the dataset.
        config: `config.adapt` names the objective.
        seed: seed of its random draws.
        scratch: whether the weights are fresh. CMPC clusters a pretrained model's embeddings of the training videos
            before the first step. With fresh towers it waits until they have seen some videos.
    """
    identity = torch.from_numpy(np.unique(labelled.identities, return_inverse=True)[1])
    match config.adapt.objective:
        case "contrast":
            return lambda: Contrast(batches, identity, config)
        case "classifier" | "margin-classifier":
            directions = mean_directions(model, labelled, identity, reader)
            return lambda: Classifier(batches, identity, config, directions)
        case "semi-supervised":
            training = videos_of(reader.dataset, "train")
            everything = batches_of_all(training, reader, config, seed)
            known = known_identities(training, labelled)
            vectors = None if scratch else first_embeddings(model, training, reader)

            def make() -> Objective:
                cmpc = ongoing_cmpc(model, known, everything, config, seed)
                if vectors is not None:
                    cmpc.remember(*vectors)
                return SemiSupervised(Contrast(batches, identity, config), cmpc, everything, config)

            return make
