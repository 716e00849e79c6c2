"""Pictures: one photograph or file as grey values, and folders of pictures, one folder for each class (Pillow, extra ``data``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnlang.data.columns import Columns, Scaled, every_fifth, missing, not_found, unreadable
from snnlang.data.recordings import class_files
from snnlang.diagnostics import Span
from snnlang.model.values import locate

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".webp")


def grey(picture: NDArray[np.generic]) -> NDArray[np.float64]:
    """Grey values 0 to 1 of an image [rows, columns(, channels)] (ITU-R BT.601 luma)."""
    values = picture.astype(np.float64) / (255.0 if picture.dtype == np.uint8 else 1.0)
    return np.asarray(values[..., :3] @ np.array([0.299, 0.587, 0.114])) if values.ndim == 3 else values


def resize(image: NDArray[np.float64], rows: int | None, columns: int | None) -> NDArray[np.float64]:
    """Averages over equal areas, so that nothing is lost between pixels; a missing side keeps the proportions."""
    height, width = image.shape
    if rows is None and columns is None:
        return image
    rows = rows or max(1, round(height * (columns or width) / width))
    columns = columns or max(1, round(width * rows / height))
    return _area(height, rows) @ image @ _area(width, columns).T


def _area(length: int, wanted: int) -> NDArray[np.float64]:
    """[wanted, length]: each row averages the stretch of the old axis that its new cell covers."""
    edges = np.arange(wanted + 1) * (length / wanted)
    cells = np.arange(length)
    overlap = np.minimum(edges[1:, None], cells[None] + 1.0) - np.maximum(edges[:-1, None], cells[None])
    return np.asarray(np.maximum(overlap, 0.0) / (length / wanted))


def photograph(span: Span | None, name: str, rows: int | None, columns: int | None) -> Columns:
    """One of the photographs inside scikit-learn (china.jpg, flower.jpg): ``image`` [1, rows, columns]."""
    try:
        from sklearn.datasets import load_sample_image

        picture = np.asarray(load_sample_image(f"{name}.jpg"))
    except ImportError as problem:
        package = "pillow" if "illow" in str(problem) or "PIL" in str(problem) else "scikit-learn"
        raise missing(package, "photograph()", span, None) from None
    return {"image": resize(grey(picture), rows, columns)[None]}


def picture(span: Span | None, file: str, rows: int | None, columns: int | None) -> Columns:
    """A picture file: ``image`` [1, rows, columns]."""
    path = locate(file, span)
    if not path.is_file():
        raise not_found(path, span)
    try:
        from matplotlib.image import imread
    except ImportError:
        raise missing("matplotlib", "picture()", span, None) from None
    try:
        found = np.asarray(imread(path))
    except ImportError:
        raise missing("pillow", "picture()", span) from None
    except Exception as problem:  # every image library has its own
        raise unreadable(path, f"cannot be read as a picture: {problem}", span, "give a PNG or JPEG file") from None
    return {"image": resize(grey(found), rows, columns)[None]}


def images(span: Span | None, folder: str, split: str, rows: int | None, columns: int | None, colour: str) -> Columns:
    """``image`` [pictures, rows, columns], with ``colour = "rgb"`` [pictures, 3, rows, columns], and ``label``.

    One folder for each class; with folders ``train`` and ``test`` around them the split is theirs, else every fifth picture is for
    testing. Values are kept as bytes.
    """
    place = locate(folder, span)
    parts = [place / name for name in (("train", "test") if split == "all" else (split,))]
    apart = all(one.is_dir() for one in parts)
    found = [class_files(one, ENDINGS, span) for one in (parts if apart else [place])]
    if any(one[2] != found[0][2] for one in found):
        raise unreadable(place, "has other classes to train than to test", span, "give every class a folder in both")
    made: NDArray[np.uint8] | None = None
    paths = [path for one in found for path in one[0]]
    for number, path in enumerate(paths):
        pixels = _pixels(path, rows, columns, colour, span)
        if made is None:
            made = np.empty((len(paths), *pixels.shape), dtype=np.uint8)
        if pixels.shape != made.shape[1:]:
            raise unreadable(
                path,
                f"has {pixels.shape[-2]} x {pixels.shape[-1]} pixels, and {paths[0].name} has {made.shape[-2]} x {made.shape[-1]}",
                span,
                "bring all to one size: `rows = …, columns = …`",
            )
        made[number] = pixels
    assert made is not None  # class_files gives at least one
    columns_made: Columns = {"image": Scaled(made), "label": np.concatenate([one[1] for one in found])}
    return columns_made if apart else every_fifth(columns_made, split)


def _pixels(path: Path, rows: int | None, columns: int | None, colour: str, span: Span | None) -> NDArray[np.uint8]:
    """Bytes of one picture, [rows, columns] or [3, rows, columns]."""
    try:
        from PIL import Image
    except ImportError:
        raise missing("pillow", "image_folder()", span) from None
    try:
        with Image.open(path) as opened:
            found = np.asarray(opened.convert("RGB"), dtype=np.uint8)
    except Exception as problem:  # Pillow raises whatever its plugins do
        raise unreadable(
            path, f"cannot be read as a picture ({type(problem).__name__})", span, "remove it, or save it again"
        ) from None
    planes = [found[..., channel] / 255.0 for channel in range(3)] if colour == "rgb" else [grey(found)]
    scaled = np.stack([resize(plane, rows, columns) for plane in planes])
    bytes_ = np.rint(np.clip(scaled, 0.0, 1.0) * 255.0).astype(np.uint8)
    return bytes_ if colour == "rgb" else bytes_[0]
