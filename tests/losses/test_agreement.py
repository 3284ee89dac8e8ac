"""Agreement with one's mates: against a loop, and on pairs that are known to deviate."""

import math

import pytest
import torch
from torch.nn import functional

from lowshot.losses.agreement import neighbour_agreement


def unit(n, d, seed, dtype=torch.float64):
    return functional.normalize(torch.randn(n, d, dtype=dtype, generator=torch.Generator().manual_seed(seed)), dim=1)


def brute_force(voice, face, of_voice, of_face):
    """From the definition: mean directions of the others, one video at a time."""
    n = len(voice)

    def fit(x, clusters, i):
        mates = [j for j in range(n) if j != i and clusters[j] == clusters[i] and clusters[i] != -1]
        if not mates:
            return math.nan
        total = [sum(float(x[j][c]) for j in mates) for c in range(x.shape[1])]
        norm = math.sqrt(sum(value**2 for value in total))
        return sum(float(x[i][c]) * total[c] / norm for c in range(x.shape[1]))

    return [
        fit(face, of_voice, i) - fit(face, of_face, i) + fit(voice, of_face, i) - fit(voice, of_voice, i)
        for i in range(n)
    ]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_equals_the_loop_with_singletons_and_videos_without_a_cluster(dtype, tolerance):
    voice, face = unit(12, 5, 0, dtype), unit(12, 5, 1, dtype)
    of_voice = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 3, -1, 0, 1])
    of_face = torch.tensor([1, 1, 0, 0, 2, 2, 2, 0, 1, 1, -1, 0])
    expected = torch.tensor(brute_force(voice, face, of_voice.tolist(), of_face.tolist()), dtype=dtype)
    found = neighbour_agreement(voice, face, of_voice, of_face)
    assert expected.isnan().tolist() == [i in {5, 9, 10} for i in range(12)]
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance, equal_nan=True)


def test_a_pair_whose_voice_is_another_persons_agrees_least():
    people = unit(4, 16, 2)
    identity = torch.arange(4).repeat_interleave(6)
    speaker = identity.clone()
    speaker[3], speaker[13] = 2, 0
    voice = functional.normalize(people[speaker] + 0.1 * unit(24, 16, 3), dim=1)
    face = functional.normalize(people[identity] + 0.1 * unit(24, 16, 4), dim=1)
    found = neighbour_agreement(voice, face, speaker, identity)
    assert set(found.argsort()[:2].tolist()) == {3, 13}
    assert found[3] < found[identity == speaker].min() - 0.5


def test_what_was_memorised_of_a_pair_does_not_speak_for_it():
    """A deviating pair that training has drawn together, closer than an honest pair, is still found by its mates."""
    people = unit(3, 16, 5)
    identity = torch.arange(3).repeat_interleave(5)
    voice = functional.normalize(people[identity] + 0.5 * unit(15, 16, 6), dim=1)
    face = functional.normalize(people[identity] + 0.5 * unit(15, 16, 7), dim=1)
    of_voice = identity.clone()
    of_voice[0] = 1
    voice[0] = functional.normalize(people[1] + 0.7 * people[0], dim=0)
    face[0] = functional.normalize(people[0] + 0.7 * people[1], dim=0)
    cosine = (voice * face).sum(dim=1)
    assert cosine[0] > cosine[1:].max()
    found = neighbour_agreement(voice, face, of_voice, identity)
    assert found[0] < found[1:].min()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="n, d"):
        neighbour_agreement(unit(4, 3, 0), unit(5, 3, 0), torch.zeros(4).long(), torch.zeros(4).long())
    with pytest.raises(ValueError, match="one cluster per video"):
        neighbour_agreement(unit(4, 3, 0), unit(4, 3, 0), torch.zeros(4).long(), torch.zeros(3).long())
