"""Data that an experiment can name: which loaders there are, what each may be told, and the columns it gives.

Only the table stands here, so that checking a file needs neither the data nor the packages that read it; the reading is done by
``snnlang.runtime.data``, whose functions carry the same names.
"""

from __future__ import annotations

from typing import Any, Literal

from snnlang.frozen import dataclass


@dataclass(frozen=True, slots=True)
class LoaderOption:
    """``kind`` text, whole or number; ``choices`` limits a text; an option without default must be given."""

    name: str
    kind: Literal["text", "whole", "number"]
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

LOADERS: dict[str, Loader] = {
    "digits": Loader(
        "Optical digits, 8 x 8, values 0 to 1 (scikit-learn; 1797 images, every fifth is a test image).",
        (_SPLIT, _LIMIT),
        ("image", "label"),
    ),
    "mnist": Loader("Handwritten digits, 28 x 28, values 0 to 1, from IDX files.", (_SPLIT, _LIMIT, _FOLDER), ("image", "label")),
    "fashion_mnist": Loader("Clothing, 28 x 28, values 0 to 1, from IDX files.", (_SPLIT, _LIMIT, _FOLDER), ("image", "label")),
    "idx": Loader(
        "Images and labels from two IDX files, bytes scaled to 0 to 1.",
        (LoaderOption("images", "text", required=True), LoaderOption("labels", "text"), _LIMIT),
        ("image", "label"),
    ),
    "npz": Loader("Arrays of an .npz file, taken by the names after `as`.", (LoaderOption("file", "text", required=True), _LIMIT), ()),
    "csv": Loader(
        "A table of numbers with a header; `label` names the column that is not a feature.",
        (LoaderOption("file", "text", required=True), LoaderOption("label", "text"), _LIMIT),
        ("values", "label"),
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
