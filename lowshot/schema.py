"""Names that outlive a run: files, columns, and the words in their cells.

Other people's scripts and older runs depend on them. Each name stands here and nowhere else. The names of protocols
stand with the protocols, those of methods with their settings.
"""

from pathlib import PurePath

# Files of a dataset.
MANIFEST = "manifest.csv"
FEATURES = "features.safetensors"
TRUTH = "truth.csv"
WORLD = "world.json"
LATENTS = "latents.safetensors"
PACK = "pack.json"
PACK_INDEX = "index.safetensors"
UNREADABLE = "unreadable.csv"
SKIPPED = "skipped.csv"
"""Ends the name of the list of files that an import skipped."""
VIDEO_RECORD = "record.json"
WORLD_FILES = (WORLD, LATENTS, TRUTH)
"""What a synthetic dataset holds besides media and manifest."""

# How a synthetic dataset is named, as in `synth:demo`.
WORLD_PREFIX = "synth:"
WORLD_SIZES = ("tiny", "demo", "bench")

# Files that VoxCeleb comes with.
VOX1_META = "vox1_meta.csv"
VOX2_META = "vox2_meta.csv"
IDENTITY_SPLITS = "identity_splits.txt"

# Files of a run. Paths are relative to its directory.
CONFIG = "config.yaml"
PROVENANCE = "provenance.json"
MODEL = "model.safetensors"
LAST_MODEL = "last.safetensors"
METRICS = "metrics.csv"
CLUSTERS = "clusters.csv"
TRAINED = "trained.csv"
LABELLED = "labelled.csv"
RESULTS = "results.csv"
REPORT = "report.html"
DIFFERENCES = "differences.csv"
EFFICIENCY = "label_efficiency.csv"
CALIBRATION = "calibration.json"
SCORES = "scores"
CURVES = "curves"
PLOTS = "plots"
SUBMISSIONS = "submissions"
GALLERY = PurePath("gallery", "gallery.json")
MAP = PurePath("gallery", "map.csv")
CHECKPOINT = PurePath("state", "checkpoint.pt")
CELLS = PurePath("state", "cells")
LOCK = PurePath("state", ".lock")

# Other files.
RECIPE = "recipe.json"
"""Says how a folder of trial lists or subset lists was built."""
MODEL_REGISTRY = "registry.yaml"
EXPORT = "model.json"
"""Describes exported towers."""

# The manifest.
MODALITIES = ("voice", "face")
SPLITS = ("train", "val", "test", "")
MANIFEST_COLUMNS = ("path", "modality", "video", "identity", "split")
"""Columns that a manifest must have; it may have more."""
GENDER, NATIONALITY, AGE = "gender", "nationality", "age"
ATTRIBUTES = (GENDER, NATIONALITY, AGE)
TRAINED_COLUMNS = ("video", "identity")

# Special values of the column `method`.
CHANCE = "chance"
ORACLE = "oracle"
SCRATCH = "scratch"

# Values of the column `direction`.
VOICE_TO_FACE = "voice_to_face"
FACE_TO_VOICE = "face_to_voice"
DIRECTIONS = (VOICE_TO_FACE, FACE_TO_VOICE)

# Values of the column `seen`: which people the trials are of, and from which recordings.
UNSEEN = "unseen-unheard"
SEEN = "seen-heard"
VALIDATION = "validation"
MIXED = "mixed"

# Values of the column `stratum`, and the attributes that an impostor shares with the target in each.
EVERYONE = "U"
STRATA = {
    EVERYONE: (),
    "G": (GENDER,),
    "N": (NATIONALITY,),
    "A": (AGE,),
    "GN": (GENDER, NATIONALITY),
    "GNA": (GENDER, NATIONALITY, AGE),
}

# Columns of tables.
RESULT_COLUMNS = (
    "run_id",
    "method",
    "init",
    "adaptation",
    "protocol",
    "direction",
    "stratum",
    "seen",
    "gallery_size",
    "fraction",
    "subset_seed",
    "train_seed",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "ci_method",
    "n_trials",
    "n_identities",
    "n_ties",
    "data_sha",
    "config_sha",
    "version",
    "n_skipped",
    "group",
)
LABEL_COLUMNS = (
    "run_id",
    "method",
    "init",
    "adaptation",
    "fraction",
    "subset_seed",
    "train_seed",
    "data_sha",
    "config_sha",
    "version",
)
"""Those of `RESULT_COLUMNS` that say which model was measured. The caller of an evaluation fills them in."""
DIFFERENCE_COLUMNS = (
    "method_a",
    "method_b",
    "adaptation",
    "fraction",
    "metric",
    "protocol",
    "direction",
    "stratum",
    "seen",
    "gallery_size",
    "seeds",
    "value_a",
    "value_b",
    "difference",
    "ci_low",
    "ci_high",
    "p_value",
    "p_holm",
)
EFFICIENCY_COLUMNS = (
    "method",
    "reference",
    "adaptation",
    "fraction",
    "metric",
    "protocol",
    "direction",
    "stratum",
    "seen",
    "gallery_size",
    "runs",
    "value",
    "equal_fraction",
    "ci_low",
    "ci_high",
    "least_fraction",
    "largest_fraction",
)
CLUSTER_COLUMNS = (
    "modality",
    "granularity",
    "clusters",
    "videos",
    "smallest",
    "lower_quartile",
    "median",
    "upper_quartile",
    "largest",
    "single",
    "purity",
    "purity_chance",
    "weights_below_half",
)
STEP_COLUMNS = ("step", "epoch", "learning_rate", "loss", "clustered", "val_auc")
"""Columns of metrics.csv that every method has. Figures of a method stand between `loss` and `clustered`."""
