"""Data that an experiment can name: which loaders there are, what each may be told, and the columns it gives.

Only the table stands here, so that checking a file needs neither the data nor the packages that read it; the reading is done by
``snnlang.data``, whose functions carry the same names.
"""

from __future__ import annotations

from typing import Any, Literal

from snnlang.frozen import dataclass


@dataclass(frozen=True, slots=True)
class LoaderOption:
    """``kind``: a text, a whole number, a number, a time (in ms once read) or another loader (its name and options).

    ``choices`` limits a text; a required option must be given.
    """

    name: str
    kind: Literal["text", "whole", "number", "time", "loader"]
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loader:
    """``columns`` in order (the first ones are what the network sees); empty: the file's own names."""

    doc: str
    options: tuple[LoaderOption, ...]
    columns: tuple[str, ...]


_SPLIT = LoaderOption("split", "text", "train", choices=("train", "test", "all"))
_LIMIT = LoaderOption("limit", "whole")
_FOLDER = LoaderOption("folder", "text")
#: How events become frames.
_BINNING = (
    LoaderOption("steps", "whole", 10),
    LoaderOption("by", "text", "time", choices=("time", "count", "voxel")),
    LoaderOption("duration", "time"),
    LoaderOption("values", "text", "count", choices=("count", "binary")),
)

LOADERS: dict[str, Loader] = {
    "digits": Loader(
        "Optical digits, 8 x 8, values 0 to 1 (scikit-learn; 1797 images, every fifth is a test image).",
        (_SPLIT, _LIMIT),
        ("image", "label"),
    ),
    "mnist": Loader(
        "Handwritten digits, 28 x 28, values 0 to 1, from IDX files.", (_SPLIT, _LIMIT, _FOLDER), ("image", "label")
    ),
    "fashion_mnist": Loader(
        "Clothing, 28 x 28, values 0 to 1, from IDX files.", (_SPLIT, _LIMIT, _FOLDER), ("image", "label")
    ),
    "idx": Loader(
        "Images and labels from two IDX files, bytes scaled to 0 to 1.",
        (LoaderOption("images", "text", required=True), LoaderOption("labels", "text"), _LIMIT),
        ("image", "label"),
    ),
    "npz": Loader(
        "Arrays of an .npz file, taken by the names after `as`.",
        (LoaderOption("file", "text", required=True), _LIMIT),
        (),
    ),
    "csv": Loader(
        "A table of numbers with a header; `label` names the column that is not a feature.",
        (LoaderOption("file", "text", required=True), LoaderOption("label", "text"), _LIMIT),
        ("values", "label"),
    ),
    "image_folder": Loader(
        "Pictures in folders, one folder for each class, values 0 to 1.",
        (
            LoaderOption("folder", "text", required=True),
            _SPLIT,
            LoaderOption("rows", "whole"),
            LoaderOption("columns", "whole"),
            LoaderOption("colour", "text", "grey", choices=("grey", "rgb")),
            _LIMIT,
        ),
        ("image", "label"),
    ),
    "event_folder": Loader(
        "Event files (.bin, AEDAT 2, 3.1 and 4, .npz) in folders, one folder for each class, as frames.",
        (
            LoaderOption("folder", "text", required=True),
            _SPLIT,
            *_BINNING,
            LoaderOption("height", "whole"),
            LoaderOption("width", "whole"),
            LoaderOption("layout", "text", "raw", choices=("raw", "swapped", "jaer", "cifar10_dvs")),
            _LIMIT,
        ),
        ("events", "label"),
    ),
    "nmnist": Loader(
        "N-MNIST: digits seen by an event camera, 34 x 34.", (_SPLIT, _FOLDER, *_BINNING, _LIMIT), ("events", "label")
    ),
    "dvs_gesture": Loader(
        "DVS128 Gesture: eleven gestures, 128 x 128.", (_SPLIT, _FOLDER, *_BINNING, _LIMIT), ("events", "label")
    ),
    "shd": Loader(
        "Spiking Heidelberg Digits: spoken digits, 700 channels.",
        (_SPLIT, _FOLDER, *_BINNING, _LIMIT),
        ("events", "label"),
    ),
    "ssc": Loader(
        "Spiking Speech Commands: spoken words, 700 channels.",
        (LoaderOption("split", "text", "train", choices=("train", "valid", "test", "all")), _FOLDER, *_BINNING, _LIMIT),
        ("events", "label"),
    ),
    "hdf5": Loader(
        "One file in the form of SHD and SSC.",
        (LoaderOption("file", "text", required=True), *_BINNING, _LIMIT),
        ("events", "label"),
    ),
    "saccades": Loader(
        "Grey images moved in three saccades before an event camera, as N-MNIST was made, as frames.",
        (
            LoaderOption("source", "loader", required=True),
            *(option for option in _BINNING if option.name != "duration"),
            LoaderOption("contrast", "number", 0.2),
            LoaderOption("background", "number", 0.1),
            LoaderOption("size", "whole"),
            LoaderOption("seed", "whole", 0),
            LoaderOption("mismatch", "number", 0.0),
            LoaderOption("noise", "number", 0.0),
            _LIMIT,
        ),
        ("events", "label"),
    ),
    "photograph": Loader(
        "One grey photograph that ships with scikit-learn, values 0 to 1, averaged down to rows x columns.",
        (
            LoaderOption("name", "text", "china", choices=("china", "flower")),
            LoaderOption("rows", "whole"),
            LoaderOption("columns", "whole"),
        ),
        ("image",),
    ),
    "picture": Loader(
        "One picture file as grey values 0 to 1, averaged down to rows x columns.",
        (LoaderOption("file", "text", required=True), LoaderOption("rows", "whole"), LoaderOption("columns", "whole")),
        ("image",),
    ),
}
