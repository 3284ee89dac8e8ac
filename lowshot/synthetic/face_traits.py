"""Traits of a face, and the scene of a video that shows it.

The latents of `lowshot.synthetic.world` set what shared causes can explain; a person's private traits (nose, eyes,
mouth, hair style, beard style, moles) tell faces apart beyond them. Gender, nationality and age reach a face through
its latents only: that keeps the oracle of `lowshot.synthetic.oracle` exact.
"""

from dataclasses import dataclass

import numpy as np

from lowshot.synthetic.world import FACE, bounded

_SKIN = np.array([[70, 44, 33], [112, 74, 52], [160, 112, 80], [205, 158, 124], [232, 192, 164], [246, 218, 200]])
_HAIR = np.array([[22, 18, 17], [44, 30, 24], [88, 58, 36], [142, 100, 60], [206, 168, 104], [232, 206, 150]])
_IRIS = np.array([[60, 40, 25], [95, 70, 35], [80, 105, 70], [80, 110, 150]])
_BEARDS = ("stubble", "moustache", "goatee", "full")


@dataclass(frozen=True)
class FaceTraits:
    """Traits of one face: lengths in half heights of a head, colours RGB 0..255, amounts in [0, 1] unless noted."""

    half_width: float
    half_height: float
    jaw: float  # exponent of the lower outline: 2 is an oval, 4 a square
    taper: float  # how much narrower the chin is than the cheeks
    neck: float
    skin: np.ndarray
    redness: float
    wrinkles: float
    sag: float
    hair: np.ndarray
    hair_length: float  # -1 cropped .. 0 ears .. 1 shoulders
    hair_volume: float
    fringe: float
    parting: float
    recession: float
    brow_thickness: float
    brow_height: float
    brow_arch: float
    brow_colour: np.ndarray
    eye_width: float
    eye_open: float
    eye_spacing: float
    eye_tilt: float
    iris: np.ndarray
    nose_length: float
    nose_width: float
    mouth_width: float
    lips: float
    lip_colour: np.ndarray
    smile: float  # habitual, about -1 .. 1
    ears: float
    beard: str  # "" or one of _BEARDS
    beard_strength: float
    moles: np.ndarray  # [k, 2]
    blemish_seed: int
    glasses: float  # probability in a video


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def _ramp(stops: np.ndarray, place: float) -> np.ndarray:
    """Return the colour at `place` (0 .. len(stops) - 1) of a ramp, [3]."""
    return np.array([np.interp(place, np.arange(len(stops)), stops[:, k]) for k in range(3)])


def face_traits(latent: np.ndarray, rng: np.random.Generator) -> FaceTraits:
    """Turn a person's latents into traits of the face; traits that they leave open are private.

    Args:
        latent: Face latents of one identity, [9], in the order of `world.FACE`.
        rng: The identity's own stream.

    Returns:
        The traits, the same for all of the identity's videos.
    """
    z = {name: bounded(value) for name, value in zip(FACE, latent, strict=True)}
    masculine, ageing, full = z["masculinity"], z["ageing"], z["fullness"]
    skin = _ramp(_SKIN, 3.5 + 0.7 * z["skin"])
    skin = np.clip(skin + rng.normal(0, 1, 3) * [3, 4, 5], 20, 252)
    hair = _ramp(_HAIR, 1.6 + 0.95 * z["hair_light"] + rng.normal(0, 0.2))
    grey = _sigmoid(2.0 * (z["grey"] - 0.9))
    hair = (1 - grey) * hair + grey * np.array([196, 196, 194])
    beard_strength = _sigmoid(3.0 * (masculine - 1.2 + rng.normal(0, 0.6)))
    beard = str(rng.choice(["", *_BEARDS], p=[0.5, 0.2, 0.08, 0.1, 0.12]))
    make_up = _sigmoid(-1.2 * masculine + rng.normal(0, 0.8) - 0.5)
    return FaceTraits(
        half_width=0.76 + 0.050 * full - 0.030 * z["length"] + rng.normal(0, 0.012),
        half_height=1.0 + 0.085 * z["length"],
        jaw=float(np.clip(2.55 + 0.42 * masculine + 0.25 * full, 1.8, 4.6)),
        taper=float(np.clip(0.24 - 0.070 * full - 0.045 * masculine + rng.normal(0, 0.02), 0.0, 0.5)),
        neck=0.42 + 0.045 * masculine + 0.05 * full,
        skin=skin,
        redness=float(np.clip(rng.normal(0.3, 0.2), 0, 1)),
        wrinkles=_sigmoid(1.5 * (ageing - 0.5)),
        sag=_sigmoid(1.2 * (ageing - 1.0)),
        hair=hair,
        hair_length=float(np.clip(0.42 * z["hair_length"], -1.0, 1.5)),
        hair_volume=float(np.clip(rng.normal(0.12, 0.04), 0.04, 0.25)),
        fringe=float(rng.uniform(0, 1)),
        parting=float(rng.uniform(-0.5, 0.5)),
        recession=_sigmoid(1.1 * masculine + 1.0 * ageing + rng.normal(0, 1.0) - 3.6),
        brow_thickness=float(np.clip(0.062 + 0.018 * masculine + rng.normal(0, 0.008), 0.015, 0.15)),
        brow_height=0.30 - 0.020 * masculine + 0.035 * z["affect"],
        brow_arch=float(np.clip(0.045 - 0.012 * masculine + 0.020 * z["affect"] + rng.normal(0, 0.015), 0.0, 0.14)),
        brow_colour=0.75 * hair,
        eye_width=0.165 + rng.normal(0, 0.012),
        eye_open=float(np.clip(0.078 - 0.006 * masculine + 0.014 * z["affect"] + rng.normal(0, 0.006), 0.035, 0.13)),
        eye_spacing=0.335 + rng.normal(0, 0.018),
        eye_tilt=float(rng.normal(0.015, 0.02)),
        iris=_ramp(_IRIS, float(np.clip(0.8 + 0.75 * z["hair_light"] + rng.normal(0, 0.9), 0, 3))),
        nose_length=0.42 + rng.normal(0, 0.03),
        nose_width=0.155 + 0.014 * masculine + rng.normal(0, 0.018),
        mouth_width=0.27 + rng.normal(0, 0.022),
        lips=float(np.clip(0.055 - 0.007 * masculine + rng.normal(0, 0.010), 0.02, 0.11)),
        lip_colour=(1 - make_up) * skin * [0.86, 0.66, 0.64] + make_up * np.array([178, 52, 62]),
        smile=0.80 * z["affect"],
        ears=0.16 + rng.normal(0, 0.02),
        beard=beard if beard_strength > 0.3 else "",
        beard_strength=beard_strength,
        moles=rng.uniform([-0.5, -0.1], [0.5, 0.75], (int(rng.poisson(0.7)), 2)),
        blemish_seed=int(rng.integers(2**31)),
        glasses=float(rng.choice([0.02, 0.85], p=[0.78, 0.22])),
    )


@dataclass(frozen=True)
class Scene:
    """What a video adds to a face: pose in radians, light, background, clothes, camera."""

    yaw: float
    pitch: float
    roll: float
    light: np.ndarray  # direction to the light, unit length
    contrast: float
    exposure: float
    cast: np.ndarray  # colour cast, RGB factors
    backdrop: np.ndarray  # [2, 3] colours, top and bottom
    clutter: np.ndarray  # [k, 7]: x0, y0, x1, y1 in image sides, RGB
    clothes: np.ndarray
    expression: float
    glasses: bool
    glasses_colour: np.ndarray
    scale: float
    centre: np.ndarray
    blur: float
    quality: int


def film_scene(traits: FaceTraits, rng: np.random.Generator, *, jpeg_quality: tuple[int, int] = (40, 90)) -> Scene:
    """Sample the circumstances of one video of a person.

    Args:
        traits: The person, who may wear glasses often.
        rng: The video's own stream.
        jpeg_quality: Least and greatest JPEG quality.

    Returns:
        The scene shared by the frames of the video.
    """
    azimuth, height = rng.normal(0, 0.8), rng.uniform(-0.9, 0.2)
    light = np.array([np.sin(azimuth), height, np.cos(azimuth)])
    backdrop = rng.uniform(20, 235) + rng.normal(0, 32, 3) + rng.normal(0, 15, (2, 3))
    things = rng.uniform(10, 245, (4, 1)) + rng.normal(0, 30, (4, 3))
    clutter = np.concatenate([rng.uniform(-0.2, 1.2, (4, 4)), things], axis=1)
    return Scene(
        yaw=float(np.clip(rng.normal(0, 0.22), -0.6, 0.6)),
        pitch=float(np.clip(rng.normal(0, 0.10), -0.3, 0.3)),
        roll=float(np.clip(rng.normal(0, 0.09), -0.3, 0.3)),
        light=light / np.linalg.norm(light),
        contrast=float(rng.uniform(0.10, 0.40)),
        exposure=float(np.exp(rng.normal(0, 0.14))),
        cast=np.exp(rng.normal(0, 1, 3) * [0.05, 0.02, 0.06]),
        backdrop=np.clip(backdrop, 0, 255),
        clutter=clutter[: int(rng.integers(0, 5))],
        clothes=np.clip(rng.uniform(15, 235) + rng.normal(0, 40, 3), 5, 250),
        expression=float(rng.normal(0, 0.25)),
        glasses=bool(rng.random() < traits.glasses),
        glasses_colour=rng.choice([[20, 20, 22], [90, 60, 40], [150, 150, 155]]).astype(float),
        scale=float(np.clip(rng.normal(0.345, 0.010), 0.29, 0.40)),
        centre=rng.normal(0, 0.018, 2),
        blur=float(rng.choice([0.0, rng.uniform(0.3, 1.0)], p=[0.55, 0.45])),
        quality=int(rng.integers(jpeg_quality[0], jpeg_quality[1] + 1)),
    )
