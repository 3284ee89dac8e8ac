"""Learning from a few labels while CMPC goes on."""

import pytest
import torch
from torch.nn import functional

from lowshot.adapt import finetune as finetuning
from lowshot.adapt.batches import embed_step
from lowshot.adapt.chosen_objective import objective_maker
from lowshot.adapt.run import adapt, labelled_videos
from lowshot.adapt.semi_supervised import OngoingCmpc, batches_of_all, known_identities, ongoing_cmpc
from lowshot.config import build_config, known_keys
from lowshot.data.pairs import PairBatches, videos_of
from lowshot.errors import RequestError
from lowshot.losses.instance import instance_contrast
from lowshot.losses.supervised import cross_modal_supervised_contrast
from lowshot.methods.base import RunShape
from lowshot.methods.cmpc import Cmpc
from lowshot.models.loaded import model_from_scratch
from lowshot.models.two_tower import TwoTower
from lowshot.settings import CmpcConfig

VIDEOS, DIM = 24, 8
SHAPE = RunShape(VIDEOS, DIM, 12, 2, 3, 0, torch.device("cpu"))
TERMS = CmpcConfig(videos_per_cluster=(6.0, 4.0))
# Three labelled videos of one person, two of another.
IDENTITY = torch.full((VIDEOS,), -1)
IDENTITY[torch.tensor([0, 3, 5])] = 0
IDENTITY[torch.tensor([1, 4])] = 1


def unit(seed, n=VIDEOS):
    return functional.normalize(torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed)), dim=1)


def ongoing(identity=IDENTITY, every=4):
    cmpc = OngoingCmpc(TERMS, SHAPE, identity, every)
    cmpc.remember(unit(1), unit(2))
    return cmpc


def test_labelled_videos_of_one_identity_are_no_negatives_in_the_instance_term():
    index = torch.arange(12)
    voice, face = unit(3, 12), unit(4, 12)
    cmpc = ongoing()
    _, logs = cmpc.loss(index, voice, face)
    own = IDENTITY[index]
    # Unlabelled videos share no identity that is known.
    excluded_negatives = torch.tensor([[own[i] == own[j] and own[i] >= 0 for j in range(12)] for i in range(12)])
    assert excluded_negatives.sum() == 3 * 3 + 2 * 2
    v2f, f2v = instance_contrast(voice, face, TERMS.temperature, excluded_negatives)
    assert logs["loss_instance"] == pytest.approx((v2f.mean() + f2v.mean()).item())
    assert logs["loss_instance"] < Cmpc(TERMS, SHAPE).loss(index, voice, face)[1]["loss_instance"]


def test_without_a_label_it_is_cmpc_with_clusters_from_the_first_step_on():
    index, voice, face = torch.arange(12), unit(3, 12), unit(4, 12)
    ours, theirs = ongoing(torch.full((VIDEOS,), -1)), Cmpc(TERMS, SHAPE)
    ours.before_step(0)
    for bank, seed in ((theirs.voice_bank, 1), (theirs.face_bank, 2)):
        bank.update(torch.arange(VIDEOS), unit(seed))
    # A step of the same number as ours, from which the clusterings' seeds are drawn.
    theirs.voice_clusters, theirs.face_clusters = (
        theirs._cluster(bank, 0, modality) for modality, bank in enumerate((theirs.voice_bank, theirs.face_bank))
    )
    loss, logs = ours.loss(index, voice, face)
    assert torch.equal(loss, theirs.loss(index, voice, face)[0])
    assert logs["loss_prototype"] > 0


def test_clusters_are_made_at_once_and_renewed_now_and_then():
    cmpc = ongoing(every=4)
    assert [step for step in range(10) if cmpc.clusters_at(step)] == [0, 4, 8]
    cmpc.before_step(0)
    first = cmpc.voice_clusters
    for step in range(1, 4):
        cmpc.before_step(step)
        cmpc.after_step(torch.arange(12), unit(10 + step, 12), unit(20 + step, 12))
    assert cmpc.voice_clusters is first
    cmpc.before_step(4)
    assert not torch.equal(cmpc.voice_clusters.prototypes[0], first.prototypes[0])


def test_an_empty_memory_is_clustered_when_something_is_in_it():
    cmpc = OngoingCmpc(TERMS, SHAPE, IDENTITY, 2)
    assert not cmpc.clusters_at(0)
    assert set(cmpc.loss(torch.arange(12), unit(3, 12), unit(4, 12))[1]) == {"loss_instance"}
    cmpc.after_step(torch.arange(12), unit(3, 12), unit(4, 12))
    assert [step for step in range(6) if cmpc.clusters_at(step)] == [0, 2, 4]


@pytest.fixture
def labelled(reader):
    people = sorted(set(videos_of(reader.dataset, "train").identities))[:3]
    return labelled_videos(reader.dataset, people)


def settings(config, **adapt):
    return build_config(
        [
            config.model_dump(mode="json"),
            {"train": {"precision": "float32"}, "adapt": {"objective": "semi-supervised", **adapt}},
        ]
    )


def test_labels_are_known_of_the_labelled_videos_alone(reader, labelled):
    training = videos_of(reader.dataset, "train")
    # Of a labelled person, a video whose label was not given counts as any other.
    known = known_identities(training, labelled.select(torch.arange(1, len(labelled)).numpy()))
    people = sorted(set(labelled.identities))
    for name, identity, code in zip(training.names, training.identities, known.tolist(), strict=True):
        given = name in labelled.names[1:]
        assert code == (people.index(identity) if given else -1)


@pytest.mark.parametrize("scratch", [False, True])
def test_the_loss_is_that_of_the_labels_and_a_share_of_cmpc(config, reader, labelled, scratch):
    chosen = settings(config, unlabelled_weight=0.3, cmpc={"videos_per_cluster": [8, 4]})
    model = TwoTower.from_config(chosen).eval()
    batches = PairBatches(labelled, reader, 6, 0, chosen.voice, chosen.face, chosen.augment)
    objective = objective_maker(model, labelled, batches, reader, chosen, 5, scratch=scratch)()
    training = videos_of(reader.dataset, "train")
    everything = batches_of_all(training, reader, chosen, 5)
    cmpc = ongoing_cmpc(model, known_identities(training, labelled), everything, chosen, 5)
    if not scratch:
        vectors = embed_all(model, training, reader)
        cmpc.remember(*vectors)
    for step in range(2):
        cmpc.before_step(step)
        index, voice, face = embed_step(model, everything, step, "float32")
        ongoing_loss, logs = cmpc.loss(index, voice, face)
        cmpc.after_step(index, voice.detach(), face.detach())
        assert ("loss_prototype" in logs) == (not scratch)
        index, voice, face = embed_step(model, batches, step, "float32")
        identity = torch.tensor([sorted(set(labelled.identities)).index(labelled.identities[i]) for i in index])
        v2f, f2v = cross_modal_supervised_contrast(voice, face, identity, chosen.adapt.temperature)
        torch.testing.assert_close(objective.loss(model, step), v2f.mean() + f2v.mean() + 0.3 * ongoing_loss)


def embed_all(model, training, reader):
    """The first voice and the first face of each video, one video at a time."""
    from lowshot.models.embedding import embed

    media = list(zip(training.voices, training.faces, strict=True))
    parts = [embed(model, reader, voices[:1], faces[:1]) for voices, faces in media]
    voice = [torch.from_numpy(part.voice[rows[0]]) for part, rows in zip(parts, training.voices, strict=True)]
    face = [torch.from_numpy(part.face[rows[0]]) for part, rows in zip(parts, training.faces, strict=True)]
    return torch.stack(voice), torch.stack(face)


def test_without_weight_it_is_the_contrast_of_the_labels(config, reader, labelled, monkeypatch):
    ends = []
    for adapt_settings in ({"unlabelled_weight": 0}, {"objective": "contrast"}):
        rising = iter(range(1, 100))
        monkeypatch.setattr(finetuning, "validation_auc", lambda *args, rising=rising: next(rising) / 100)
        chosen = settings(config, steps=3, finetune_learning_rates=[1e-2], **adapt_settings)
        model = TwoTower.from_config(chosen).eval()
        tuned, _ = finetuning.finetune(model, labelled, labelled, reader, chosen, 0, scratch=False)
        ends.append(tuned.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_without_unlabelled_videos_it_is_refused_before_anything_is_written(config, reader, tmp_path):
    with pytest.raises(
        RequestError, match=r"semi-supervised: needs training videos without labels, but all \d+ are labelled"
    ):
        adapt(model_from_scratch(config), "finetune", 1.0, 0, reader, settings(config), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # A probe has no use for them.
    adapt(model_from_scratch(config), "probe", 1.0, 0, reader, settings(config), tmp_path / "run")


def test_its_cmpc_has_settings_of_its_own():
    config = build_config(
        [{"method": {"recalibration": "cluster-neighbours"}}, {"adapt": {"cmpc": {"temperature": 0.05}}}]
    )
    assert (config.adapt.cmpc.temperature, config.adapt.cmpc.recalibration) == (0.05, "paper")
    assert "adapt.cmpc.recalibration" in known_keys({})
    with pytest.raises(RequestError, match=r"unknown key 'adapt\.cmpc\.kapa'; did you mean 'adapt\.cmpc\.kappa'"):
        build_config([{"adapt": {"cmpc": {"kapa": 1}}}])
    for change in ({"unlabelled_weight": -1}, {"cluster_every": 0}, {"cmpc": {"temperature": 0}}):
        with pytest.raises(RequestError, match=r"adapt\."):
            build_config([{"adapt": change}])
