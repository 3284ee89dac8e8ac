"""The embedded talking-face world: its people and their videos.

An identity has a gender and a nationality, continuous causes shared by voice and face, and voice and face latents.
Given gender and nationality everything is Gaussian, so the likelihood ratio of "same identity" against "different
identities" has a closed form (see `lowshot.synthetic.oracle`). Media are rendered elsewhere.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field

import numpy as np

GENDERS = ("m", "f")
# Identities of VoxCeleb1 by nationality and gender (m, f), counted in its vox1_meta.csv: the six most frequent nations.
VOXCELEB1_COUNTS: dict[str, tuple[int, int]] = {
    "USA": (431, 368),
    "UK": (127, 88),
    "Canada": (29, 25),
    "Australia": (25, 12),
    "India": (15, 11),
    "Norway": (13, 7),
}
NATIONALITIES = tuple(VOXCELEB1_COUNTS)
VOXCELEB1_MALE_SHARE = 690 / 1251
"""Men among the 1251 identities of VoxCeleb1."""

SHARED = ("age", "size", "build", "androgen", "wear", "liveliness")
VOICE = ("pitch", "formants", "breath", "roughness", "rate", "range", "accent_a", "accent_b")
FACE = ("masculinity", "length", "fullness", "ageing", "grey", "hair_length", "skin", "hair_light", "affect")

# Loadings of the voice and face latents on the shared causes; others are zero. Every latent has unit
# variance within (gender, nationality): what the shared causes leave is private to the modality.
VOICE_LOADINGS: dict[str, dict[str, float]] = {
    "pitch": {"age": -0.25, "size": -0.20, "androgen": -0.60, "wear": -0.20},
    "formants": {"age": -0.10, "size": -0.65, "build": -0.30, "androgen": -0.15},
    "breath": {"age": 0.30, "build": 0.30, "wear": 0.30},
    "roughness": {"age": 0.50, "wear": 0.50},
    "rate": {"age": -0.45, "liveliness": 0.45},
    "range": {"androgen": -0.15, "liveliness": 0.65},
}
FACE_LOADINGS: dict[str, dict[str, float]] = {
    "masculinity": {"size": 0.15, "androgen": 0.70},
    "length": {"size": 0.65, "build": -0.20},
    "fullness": {"age": 0.15, "build": 0.75},
    "ageing": {"age": 0.75, "wear": 0.45},
    "grey": {"age": 0.80},
    "hair_length": {"age": -0.20},
    "affect": {"liveliness": 0.65},
}
# Means by gender (m, f) and by nationality, in within-class standard deviations.
VOICE_GENDER_MEANS: dict[str, tuple[float, float]] = {
    "pitch": (-1.85, 1.85),
    "formants": (-1.6, 1.6),
    "breath": (-0.4, 0.4),
    "range": (-0.3, 0.3),
}
FACE_GENDER_MEANS: dict[str, tuple[float, float]] = {
    "masculinity": (1.9, -1.9),
    "length": (0.3, -0.3),
    "hair_length": (-1.6, 1.6),
}
VOICE_NATIONALITY_MEANS: dict[str, tuple[float, ...]] = {
    "accent_a": (0.0, 2.2, -0.4, 2.4, 0.8, -1.2),
    "accent_b": (0.0, 0.4, 0.3, -1.4, 2.8, -2.6),
}
FACE_NATIONALITY_MEANS: dict[str, tuple[float, ...]] = {
    "skin": (0.0, 0.5, 0.2, 0.3, -2.5, 0.9),
    "hair_light": (0.0, 0.3, 0.1, 0.4, -1.6, 1.4),
}
AGE_MEAN, AGE_SD = 45.0, 12.5
"""Years at a shared age latent of zero, and years per unit of it."""

# Names of independent random streams: one for each purpose, so that the order of sampling does not matter.
(
    STREAM_IDENTITY,
    STREAM_VOICE_TRAITS,
    STREAM_FACE_TRAITS,
    STREAM_VOICE_CLIP,
    STREAM_FACE_SCENE,
    STREAM_NAMES,
    STREAM_COUNTS,
    STREAM_DEVIATIONS,
    STREAM_GENDERS,
) = range(9)


@dataclass(frozen=True)
class WorldConfig:
    """Settings that decide the bytes of a world.

    Args:
        name: Label of the size: part of the cache folder's name. It also decides who the people are.
        seed: Seed of all randomness, >= 0.
        train_identities, val_identities, test_identities: Identities per split; the splits share none.
        train_videos: (least, most frequent, most) videos of a training identity; triangular in between.
        val_videos, test_videos: Videos of each validation and test identity.
        seen_heard_videos: Further videos of each training identity, not for training (empty split).
        deviating_share: Share of the training videos whose voice belongs to another training identity, in [0, 1].
        frames: Face images per video.
        seconds: Shortest and longest voice clip.
        snr_db: Least and greatest signal-to-noise ratio of a clip.
        jpeg_quality: Least and greatest JPEG quality of a video.
        image_size: Side of a face image in pixels.
        sample_rate: Samples a second of a voice clip.
    """

    name: str = "custom"
    seed: int = 0
    train_identities: int = 24
    val_identities: int = 8
    test_identities: int = 12
    train_videos: tuple[int, int, int] = (6, 8, 10)
    val_videos: int = 4
    test_videos: int = 5
    seen_heard_videos: int = 1
    deviating_share: float = 0.10
    frames: int = 2
    seconds: tuple[float, float] = (2.0, 3.5)
    snr_db: tuple[float, float] = (8.0, 35.0)
    jpeg_quality: tuple[int, int] = (40, 90)
    image_size: int = 112
    sample_rate: int = 16000

    @property
    def stream_seed(self) -> int:
        """Seed of all random streams of the world: worlds of other names share no people."""
        return int.from_bytes(hashlib.sha256(f"{self.name}/{self.seed}".encode()).digest()[:8], "big")


SIZES: dict[str, WorldConfig] = {
    "tiny": WorldConfig(name="tiny"),
    "demo": WorldConfig(
        name="demo",
        train_identities=150,
        val_identities=40,
        test_identities=200,
        train_videos=(8, 10, 30),
        val_videos=6,
        test_videos=6,
    ),
    "bench": WorldConfig(
        name="bench",
        train_identities=480,
        val_identities=60,
        test_identities=150,
        train_videos=(9, 12, 30),
        val_videos=8,
        test_videos=8,
    ),
}


def random_stream(seed: int, *key: int) -> np.random.Generator:
    """Make the counter-based generator of a key: the same key gives the same numbers in any order of calls.

    Args:
        seed: `WorldConfig.stream_seed`, or any number >= 0.
        key: Stream, then what it is for (identity, video), all >= 0.

    Returns:
        The generator.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *key])))


def bounded(latent: float, limit: float = 4.5) -> float:
    """Bound rare extremes: nearly the identity within two standard deviations, and strictly increasing.

    Args:
        latent: Any real number.
        limit: Bound of the absolute value.

    Returns:
        The bounded latent. The map is one-to-one, so no information is lost.
    """
    return float(limit * np.tanh(latent / limit))


def _matrix(rows: tuple[str, ...], loadings: dict[str, dict[str, float]]) -> np.ndarray:
    return np.array([[loadings.get(row, {}).get(cause, 0.0) for cause in SHARED] for row in rows])


def _class_means(
    rows: tuple[str, ...],
    genders: dict[str, tuple[float, float]],
    nationalities: dict[str, tuple[float, ...]],
) -> np.ndarray:
    by_gender = np.array([genders.get(row, (0.0,) * len(GENDERS)) for row in rows]).T
    by_nationality = np.array([nationalities.get(row, (0.0,) * len(NATIONALITIES)) for row in rows]).T
    return (by_gender[:, None, :] + by_nationality[None, :, :]).reshape(-1, len(rows))


@dataclass(frozen=True)
class LatentModel:
    """The joint distribution of voice and face latents: a mixture of Gaussians over (gender, nationality).

    Args:
        class_prior: Probability of each class, [C], sums to 1; class = gender * number of nationalities + nationality.
        voice_means, face_means: Class means, [C, d_voice] and [C, d_face].
        voice_loadings, face_loadings: On the shared causes, [d_voice, S] and [d_face, S].
        voice_noise, face_noise: Variances private to the modality, [d_voice] and [d_face], > 0.
    """

    class_prior: np.ndarray
    voice_means: np.ndarray
    face_means: np.ndarray
    voice_loadings: np.ndarray
    face_loadings: np.ndarray
    voice_noise: np.ndarray
    face_noise: np.ndarray


def latent_model() -> LatentModel:
    """Assemble the world's latent model from the tables of this module.

    Returns:
        The model; every latent has unit variance within a class.
    """
    counts = np.array([VOXCELEB1_COUNTS[nation] for nation in NATIONALITIES], dtype=float).T
    within_gender = counts / counts.sum(axis=1, keepdims=True)
    gender = np.array([VOXCELEB1_MALE_SHARE, 1 - VOXCELEB1_MALE_SHARE])
    voice, face = _matrix(VOICE, VOICE_LOADINGS), _matrix(FACE, FACE_LOADINGS)
    return LatentModel(
        class_prior=(gender[:, None] * within_gender).ravel(),
        voice_means=_class_means(VOICE, VOICE_GENDER_MEANS, VOICE_NATIONALITY_MEANS),
        face_means=_class_means(FACE, FACE_GENDER_MEANS, FACE_NATIONALITY_MEANS),
        voice_loadings=voice,
        face_loadings=face,
        voice_noise=1 - (voice**2).sum(axis=1),
        face_noise=1 - (face**2).sum(axis=1),
    )


@dataclass(frozen=True)
class Video:
    """One talking-face video: the identity in the manifest, and the identity of the voice."""

    identity: int
    number: int
    name: str
    split: str
    voice_identity: int


@dataclass(frozen=True)
class World:
    """All identities and videos of a world; row i of every array and list is identity i.

    Args:
        config: Settings of the world.
        ids: VoxCeleb-style identifiers, e.g. "id10001".
        names: ASCII names "Given_Family", unique: the face folders.
        splits: "train", "val" or "test".
        genders: "m" or "f".
        nationalities: One of NATIONALITIES.
        ages: Whole years.
        shared, voice, face: Latents, [n, S], [n, d_voice], [n, d_face].
        videos: In identity order.
    """

    config: WorldConfig
    ids: list[str]
    names: list[str]
    splits: list[str]
    genders: list[str]
    nationalities: list[str]
    ages: list[int]
    shared: np.ndarray
    voice: np.ndarray
    face: np.ndarray
    videos: list[Video] = field(default_factory=list)


_SYLLABLES = ("ba", "do", "fe", "gi", "ka", "lu", "mi", "no", "pa", "ri", "so", "ta", "ve", "wi", "yo", "ze")
_ENDINGS = ("", "l", "n", "r", "s", "th", "rk", "nd")
_VIDEO_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


def _invented_name(rng: np.random.Generator) -> str:
    def word(syllables: int) -> str:
        return ("".join(rng.choice(_SYLLABLES, syllables)) + str(rng.choice(_ENDINGS))).capitalize()

    return f"{word(2)}_{word(int(rng.integers(2, 4)))}"


def _unique_names(count: int, rng: np.random.Generator) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        names[_invented_name(rng)] = None
    return sorted(names)


def _unique_video_names(count: int, rng: np.random.Generator) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(_VIDEO_ALPHABET[i] for i in rng.integers(0, len(_VIDEO_ALPHABET), 11))] = None
    return list(names)


def _genders(config: WorldConfig, sizes: list[tuple[str, int]]) -> list[int]:
    """Assign genders by quota within each split, so that the smallest split has pairs of one gender."""
    codes: list[int] = []
    for k, (_, size) in enumerate(sizes):
        men = round(VOXCELEB1_MALE_SHARE * size)
        drawn = np.repeat([0, 1], [men, size - men])
        codes += random_stream(config.stream_seed, STREAM_GENDERS, k).permutation(drawn).tolist()
    return codes


def _deviations(config: WorldConfig, train_rows: list[int], identities: list[int]) -> dict[int, int]:
    """Choose the deviating share of training videos; return the identity of the voice by row."""
    if config.train_identities < 2:
        return {}
    rng = random_stream(config.stream_seed, STREAM_DEVIATIONS)
    rows = sorted(rng.permutation(train_rows)[: round(config.deviating_share * len(train_rows))].tolist())
    # A step of 1 .. n-1 around the circle of training identities leads to another one.
    steps = rng.integers(1, config.train_identities, len(rows)).tolist()
    return {row: (identities[row] + step) % config.train_identities for row, step in zip(rows, steps, strict=True)}


def build_world(config: WorldConfig) -> World:
    """Sample the identities and plan the videos of a world, without media.

    Args:
        config: Sizes, seed and nuisance ranges.

    Returns:
        The world: training identities first, then validation, then test.
    """
    sizes = [
        ("train", config.train_identities),
        ("val", config.val_identities),
        ("test", config.test_identities),
    ]
    splits = [split for split, size in sizes for _ in range(size)]
    model = latent_model()
    genders = _genders(config, sizes)
    nation_prior = model.class_prior.reshape(len(GENDERS), len(NATIONALITIES))
    nation_prior = nation_prior / nation_prior.sum(axis=1, keepdims=True)
    shared, voice, face, nations = [], [], [], []
    for i, gender in enumerate(genders):
        rng = random_stream(config.stream_seed, STREAM_IDENTITY, i)
        nation = int(rng.choice(len(NATIONALITIES), p=nation_prior[gender]))
        c = gender * len(NATIONALITIES) + nation
        s = rng.standard_normal(len(SHARED))
        shared.append(s)
        voice.append(
            model.voice_means[c]
            + model.voice_loadings @ s
            + np.sqrt(model.voice_noise) * rng.standard_normal(len(VOICE))
        )
        face.append(
            model.face_means[c] + model.face_loadings @ s + np.sqrt(model.face_noise) * rng.standard_normal(len(FACE))
        )
        nations.append(nation)
    plan: list[tuple[int, int, str]] = []
    for i, split in enumerate(splits):
        counts = {"val": config.val_videos, "test": config.test_videos}
        if split == "train":
            low, mode, high = config.train_videos
            # +-0.5 and rounding make both ends reachable whole numbers.
            draw = random_stream(config.stream_seed, STREAM_COUNTS, i).triangular(low - 0.5, mode, high + 0.5)
            counts["train"] = int(np.clip(round(draw), low, high))
        plan += [(i, k, split) for k in range(counts[split])]
        if split == "train":
            plan += [(i, counts[split] + k, "") for k in range(config.seen_heard_videos)]
    train_rows = [row for row, (_, _, split) in enumerate(plan) if split == "train"]
    deviations = _deviations(config, train_rows, [identity for identity, _, _ in plan])
    rng = random_stream(config.stream_seed, STREAM_NAMES)
    names = _unique_names(len(splits), rng)
    video_names = _unique_video_names(len(plan), rng)
    return World(
        config=config,
        ids=[f"id{10001 + i}" for i in range(len(splits))],
        names=names,
        splits=splits,
        genders=[GENDERS[g] for g in genders],
        nationalities=[NATIONALITIES[n] for n in nations],
        ages=[int(np.clip(round(AGE_MEAN + AGE_SD * s[0]), 16, 95)) for s in shared],
        shared=np.array(shared),
        voice=np.array(voice),
        face=np.array(face),
        videos=[
            Video(identity, number, name, split, deviations.get(row, identity))
            for row, ((identity, number, split), name) in enumerate(zip(plan, video_names, strict=True))
        ],
    )


def config_hash(config: WorldConfig, render_version: int) -> str:
    """Hash everything that decides a world's bytes.

    Args:
        config: Sizes, seed and nuisance ranges.
        render_version: Version of the drawing and synthesis code.

    Returns:
        12 hexadecimal digits.
    """
    model = {name: np.asarray(value).tolist() for name, value in vars(latent_model()).items()}
    text = json.dumps({"config": asdict(config), "model": model, "render": render_version}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
