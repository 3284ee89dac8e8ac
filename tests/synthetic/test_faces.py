"""Faces: sizes, repeatability, and that pictures follow the person's latents."""

import numpy as np

from lowshot.synthetic.face_traits import FaceTraits, face_traits, film_scene
from lowshot.synthetic.faces import render_face
from lowshot.synthetic.world import FACE, random_stream


def person(key: int = 0, **latents: float) -> FaceTraits:
    latent = np.array([latents.get(name, 0.0) for name in FACE])
    return face_traits(latent, random_stream(0, 2, key))


def frames(traits: FaceTraits, video: int = 0, count: int = 1, size: int = 112) -> list[np.ndarray]:
    rng = random_stream(0, 4, video)
    scene = film_scene(traits, rng)
    return [np.asarray(render_face(traits, scene, rng, size=size), dtype=float) for _ in range(count)]


def mean_patch(traits: FaceTraits, rows: slice, columns: slice) -> np.ndarray:
    """Mean colour of a patch over several videos, RGB."""
    return np.mean([frames(traits, video)[0][rows, columns].mean(axis=(0, 1)) for video in range(12)], axis=0)


def test_a_frame_is_a_colour_picture_of_the_asked_size():
    for size in (64, 112):
        picture = frames(person(), size=size)[0]
        assert picture.shape == (size, size, 3)
        assert picture.std() > 15


def test_the_same_stream_gives_the_same_pixels():
    traits = person(3)
    assert np.array_equal(frames(traits, 5)[0], frames(traits, 5)[0])


def test_frames_of_one_video_are_nearer_to_each_other_than_videos_of_one_person():
    traits = person(1)
    pairs = [frames(traits, video, count=2) for video in range(8)]
    within = np.mean([np.abs(a - b).mean() for a, b in pairs])
    between = np.mean([np.abs(pairs[k][0] - pairs[k + 1][0]).mean() for k in range(7)])
    assert 0 < within < 0.7 * between


def test_skin_and_hair_take_the_colour_of_their_latents():
    cheeks, crown = (slice(60, 72), slice(42, 70)), (slice(12, 20), slice(48, 64))
    assert mean_patch(person(skin=2.0), *cheeks).mean() > mean_patch(person(skin=-2.5), *cheeks).mean() + 40
    assert mean_patch(person(hair_light=2.5), *crown).mean() > mean_patch(person(hair_light=-2.0), *crown).mean() + 40


def test_long_hair_is_seen_beside_the_neck():
    beside = (slice(60, 80), slice(22, 27))
    dark = {"hair_light": -2.0}
    long, short = person(hair_length=2.2, **dark), person(hair_length=-2.0, **dark)
    assert mean_patch(long, *beside).mean() < mean_patch(short, *beside).mean() - 20


def test_traits_move_the_way_their_latents_say():
    assert person(masculinity=2.0).jaw > person(masculinity=-2.0).jaw
    assert person(ageing=2.0).wrinkles > person(ageing=-1.0).wrinkles
    assert person(length=2.0).half_height > person(length=-2.0).half_height
    assert person(fullness=2.0).half_width > person(fullness=-2.0).half_width
    assert person(affect=2.0).smile > person(affect=-2.0).smile


def test_beards_grow_on_masculine_faces_only():
    assert not any(person(key, masculinity=-2.0).beard for key in range(60))
    assert any(person(key, masculinity=2.5).beard for key in range(60))


def test_people_with_equal_latents_still_differ_privately():
    first, second = person(1), person(2)
    assert first.nose_width != second.nose_width and first.eye_spacing != second.eye_spacing
