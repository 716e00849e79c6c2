"""Loaders against the packages and files they read, and every way in which data can be wrong."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snnlang.compile import load_program
from snnlang.data.fetch import SYSTEM_FOLDERS
from snnlang.data.idx import read_idx
from snnlang.data.load import load
from snnlang.data.pictures import grey, resize
from snnlang.diagnostics import SnnError, Source
from snnlang.model.elaborate import elaborate
from snnlang.model.network import Experiment
from snnlang.runtime.data import PhaseData, load_phase


def experiment(present: str, shape: str = "[64]", origin: str = "x.snn") -> Experiment:
    text = (
        "neuron Cell:\n    input x = 0\n    state u = 0\n    u[n] = 0.5*u[n-1] + x[n]\n    spike when u > 1\n\n"
        f"network Net:\n    input image{shape}\n    population a{shape}: Cell\n    connect image -> a: one_to_one\n\n"
        f"simulate Net:\n    present {present}\n"
    )
    return elaborate(load_program(Source(origin, text)))


def read(present: str, shape: str = "[64]", origin: str = "x.snn", **given: Any) -> PhaseData:
    chosen = experiment(present, shape, origin)
    return load_phase(chosen.phases[0], chosen, given)


def code(present: str, shape: str = "[64]", origin: str = "x.snn", **given: Any) -> str:
    with pytest.raises(SnnError) as caught:
        read(present, shape, origin, **given)
    return caught.value.diagnostics[0].code


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    everything = read('digits(split = "all") as image, label for 5')
    assert everything.trials == 1797
    np.testing.assert_array_equal(np.asarray(everything.inputs["image"]) * 16, bunch.data)
    np.testing.assert_array_equal(everything.labels["label"], bunch.target)
    train, test = read("digits() as image, label for 5"), read('digits(split = "test") as image, label for 5')
    assert (train.trials, test.trials) == (1438, 359)
    np.testing.assert_array_equal(test.labels["label"], bunch.target[4::5])
    again = read("digits() as image, label for 5")
    np.testing.assert_array_equal(again.inputs["image"], train.inputs["image"])


def test_limit_and_shape() -> None:
    data = read("digits(limit = 7) as image for 5", "[8, 8]")
    assert data.inputs["image"].shape == (7, 8, 8)
    assert data.labels == {}
    assert 0 <= np.min(data.inputs["image"]) < np.max(data.inputs["image"]) <= 1


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SnnError) as caught:
        read("digits() as image for 5")
    assert caught.value.diagnostics[0].code == "E625"
    assert "pip install scikit-learn" in str(caught.value)


def write_idx(path: Path, array: NDArray[Any], packed: bool = False) -> None:
    kinds = {"uint8": 0x08, "int32": 0x0C, "float32": 0x0D}
    header = bytes([0, 0, kinds[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    raw = header + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(raw) if packed else raw)


@pytest.mark.parametrize("kind", ["uint8", "int32", "float32"])
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files(tmp_path: Path, kind: str, packed: bool) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    write_idx(tmp_path / "a", array, packed)
    found = read_idx(tmp_path / "a")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_idx_loader(tmp_path: Path) -> None:
    write_idx(tmp_path / "images.gz", np.full((3, 2, 2), 51, dtype=np.uint8), True)
    write_idx(tmp_path / "labels", np.array([2, 0, 1], dtype=np.uint8))
    data = read('idx(images = "images.gz", labels = "labels") as image, label for 5', "[2, 2]", str(tmp_path / "x.snn"))
    assert np.asarray(data.inputs["image"]).tolist() == [[[0.2, 0.2], [0.2, 0.2]]] * 3
    assert np.asarray(data.labels["label"]).tolist() == [2, 0, 1]
    assert code('idx(images = "nowhere") as image for 5', origin=str(tmp_path / "x.snn")) == "E626"
    (tmp_path / "cut").write_bytes(gzip.decompress((tmp_path / "images.gz").read_bytes())[:-3])
    assert code('idx(images = "cut") as image for 5', origin=str(tmp_path / "x.snn")) == "E630"
    (tmp_path / "text").write_text("no images here", encoding="utf-8")
    assert code('idx(images = "text") as image for 5', origin=str(tmp_path / "x.snn")) == "E630"
    (tmp_path / "broken.gz").write_bytes((tmp_path / "images.gz").read_bytes()[:20])
    assert code('idx(images = "broken.gz") as image for 5', origin=str(tmp_path / "x.snn")) == "E630"


def test_fashion_mnist_in_a_folder(tmp_path: Path) -> None:
    origin = str(tmp_path / "x.snn")
    with pytest.raises(SnnError) as caught:
        read('fashion_mnist(folder = "f") as image, label for 5', "[28, 28]", origin)
    assert caught.value.diagnostics[0].code == "E626"
    assert "train-images-idx3-ubyte.gz" in str(caught.value)
    folder = tmp_path / "data" / "fashion-mnist"
    folder.mkdir(parents=True)
    for part, count in (("train", 3), ("t10k", 2)):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", np.full((count, 28, 28), 255, dtype=np.uint8), True)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8), True)
    data = read('fashion_mnist(split = "all") as image, label for 5', "[28, 28]", origin)  # found beside the file
    assert data.trials == 5
    assert np.asarray(data.inputs["image"]).max() == 1
    assert np.asarray(data.labels["label"]).tolist() == [0, 1, 2, 0, 1]


@pytest.mark.skipif(
    not any((Path(root) / "fashion-mnist").is_dir() for root in SYSTEM_FOLDERS), reason="Fashion-MNIST is not installed"
)
def test_fashion_mnist_as_installed() -> None:
    columns = load("fashion_mnist", {"split": "test"})
    assert columns["image"].shape == (10_000, 28, 28)
    assert np.bincount(columns["label"]).tolist() == [1000] * 10


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", image=np.ones((5, 64)), label=np.arange(5))
    origin = str(tmp_path / "x.snn")
    data = read('npz("d.npz") as label, image for 5', origin=origin)  # by name, whatever the order
    assert data.inputs["image"].shape == (5, 64)
    assert np.asarray(data.labels["label"]).tolist() == [0, 1, 2, 3, 4]
    assert code('npz("d.npz") as image, labels for 5', origin=origin) == "E630"
    assert code('npz("e.npz") as image for 5', origin=origin) == "E630"


def test_csv(tmp_path: Path) -> None:
    (tmp_path / "iris.csv").write_text("a,b,kind\n1,2,rose\n3,4,aster\n5,6,rose\n", encoding="utf-8")
    origin = str(tmp_path / "x.snn")
    data = read('csv("iris.csv", label = "kind") as image, label for 5', "[2]", origin)
    assert np.asarray(data.inputs["image"]).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert np.asarray(data.labels["label"]).tolist() == [1, 0, 1]
    assert code('csv("iris.csv") as image for 5', "[3]", origin) == "E630"
    assert code('csv("iris.csv", label = "king") as image for 5', "[2]", origin) == "E630"
    (tmp_path / "rough.csv").write_text("a,b\n1,2\n3\n", encoding="utf-8")
    assert code('csv("rough.csv") as image for 5', "[2]", origin) == "E630"
    assert code('csv("nowhere.csv") as image for 5', "[2]", origin) == "E626"


def test_photographs() -> None:
    from sklearn.datasets import load_sample_image

    data = read('photograph(name = "china", rows = 61, columns = 80) as image for 5', "[61, 80]")
    assert data.trials == 1
    picture = load_sample_image("china.jpg")
    # 427 x 640 to 61 x 80: cells of 7 x 8 pixels, so that plain block means are an independent answer
    luma = picture @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(data.inputs["image"][0], luma.reshape(61, 7, 80, 8).mean(axis=(1, 3)), atol=1e-12)


def test_pictures(tmp_path: Path) -> None:
    from matplotlib.image import imsave

    imsave(tmp_path / "p.png", np.array([[0.0, 1.0], [1.0, 0.0]]), cmap="gray")
    origin = str(tmp_path / "x.snn")
    assert read('picture("p.png") as image for 5', "[2, 2]", origin).inputs["image"] == pytest.approx(
        np.array([[[0, 1], [1, 0]]])
    )
    assert code('picture("q.png") as image for 5', "[2, 2]", origin) == "E626"
    (tmp_path / "r.png").write_bytes(b"no picture")
    assert code('picture("r.png") as image for 5', "[2, 2]", origin) == "E630"


@pytest.mark.parametrize("rows, columns", [(3, 5), (7, 4), (10, None), (None, 3), (20, 30)])
def test_resizing_keeps_the_mean(rows: int | None, columns: int | None) -> None:
    image = np.random.default_rng(1).random((10, 8))
    small = resize(image, rows, columns)
    assert small.shape == (rows or round(10 * (columns or 8) / 8), columns or round(8 * (rows or 10) / 10))
    assert small.mean() == pytest.approx(image.mean())
    assert resize(np.ones((10, 8)), rows, columns) == pytest.approx(1)


def test_grey_of_bytes_and_fractions() -> None:
    assert grey(np.full((2, 2, 3), 255, dtype=np.uint8)) == pytest.approx(1)
    assert grey(np.full((2, 2, 4), 0.5)) == pytest.approx(0.5)


def test_data_from_python() -> None:
    images, labels = np.zeros((3, 8, 8)), [1, 2, 3]
    for given in ((images, labels), {"label": labels, "image": images}, [images, labels]):
        data = read("mine as image, label for 5", mine=given)
        assert data.inputs["image"].shape == (3, 64)
        assert np.asarray(data.labels["label"]).tolist() == labels
    assert read("mine as image for 5", mine=images).trials == 3


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, "E629"),
        ({"mine": np.zeros((3, 64))}, "E629"),
        ({"mine": {"image": np.zeros((3, 64))}}, "E629"),
        ({"mine": (np.zeros((3, 63)), [1, 2, 3])}, "E627"),
        ({"mine": (np.zeros((3, 64)), [1, 2])}, "E627"),
        ({"mine": (np.zeros((0, 64)), [])}, "E627"),
        ({"mine": (np.full((3, 64), np.nan), [1, 2, 3])}, "E628"),
        ({"mine": (np.full((3, 64), "x"), [1, 2, 3])}, "E628"),
        ({"mine": (np.zeros(64), np.zeros(64))}, "E627"),
    ],
)
def test_wrong_data_from_python(given: dict[str, Any], expected: str) -> None:
    assert code("mine as image, label for 5", **given) == expected


def test_loaders_for_python() -> None:
    assert list(load("digits", {"limit": 3})) == ["image", "label"]
    for name, options in (("digit", {}), ("digits", {"splt": "test"})):
        with pytest.raises(SnnError) as caught:
            load(name, options)
        assert caught.value.diagnostics[0].code == "E620"
        assert "did you mean" in str(caught.value)
