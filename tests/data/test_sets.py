"""Data sets in folders and HDF5, data from Python, fetching with checksums: on files made here in the published form."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from snnlang.compile import load_program
from snnlang.data import fetch
from snnlang.data.columns import Column, Columns, Scaled, Shaped, choose, join
from snnlang.data.fetch import REMOTE, Remote
from snnlang.data.given import event_frames, pairs
from snnlang.data.load import load
from snnlang.diagnostics import SnnError, Source
from snnlang.model.elaborate import elaborate
from snnlang.model.loaders import LOADERS
from snnlang.runtime.data import load_phase


def code(name: str, **options: Any) -> str:
    with pytest.raises(SnnError) as caught:
        load(name, options)
    return caught.value.diagnostics[0].code


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_in_folders(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(4, 3) * 20
    for number, name in enumerate(("ant", "bee")):
        (tmp_path / name).mkdir()
        for sample in range(5):
            Image.fromarray(pixels + number + sample).save(tmp_path / name / f"{sample}.png")
    columns = load("image_folder", {"folder": str(tmp_path), "split": "all"})
    assert list(columns["label"]) == [0] * 5 + [1] * 5
    np.testing.assert_allclose(np.asarray(columns["image"])[7] * 255, pixels + 3)
    assert load("image_folder", {"folder": str(tmp_path), "split": "test"})["image"].shape == (2, 4, 3)
    halved = load("image_folder", {"folder": str(tmp_path), "rows": 2, "columns": 1, "split": "all"})
    assert halved["image"][0][0, 0] * 255 == pytest.approx(pixels[:2].mean(), abs=0.5)
    colour = load("image_folder", {"folder": str(tmp_path), "colour": "rgb"})["image"]
    assert colour.shape == (8, 3, 4, 3)
    np.testing.assert_array_equal(colour[0][0], colour[0][2])
    Image.fromarray(pixels[:2]).save(tmp_path / "bee" / "9.png")
    assert code("image_folder", folder=str(tmp_path)) == "E630"
    (tmp_path / "bee" / "9.png").write_bytes(b"\x89PNG no more")
    assert code("image_folder", folder=str(tmp_path), rows=4, columns=3) == "E630"
    assert code("image_folder", folder=str(tmp_path / "nowhere")) == "E626"
    (tmp_path / "cat").mkdir()
    assert code("image_folder", folder=str(tmp_path)) == "E630"


def test_pictures_with_a_split_of_their_own(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 1)):
        (tmp_path / part / "a").mkdir(parents=True)
        for sample in range(count):
            Image.fromarray(np.zeros((2, 2), dtype=np.uint8)).save(tmp_path / part / "a" / f"{sample}.png")
    sizes = [
        len(load("image_folder", {"folder": str(tmp_path), "split": split})["label"]) for split in ("train", "test", "all")
    ]
    assert sizes == [3, 1, 4]
    (tmp_path / "test" / "a").rename(tmp_path / "test" / "b")
    assert code("image_folder", folder=str(tmp_path), split="all") == "E630"


def test_pictures_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert code("image_folder", folder=str(tmp_path)) == "E625"


# --- DVS128 Gesture ---------------------------------------------------------------------------------------------------


def gesture_file(times: list[int]) -> bytes:
    head = struct.pack("<HHIIIIII", 1, 0, 8, 4, 0, len(times), len(times), len(times))
    body = b"".join(struct.pack("<Ii", 0x00C8006F, t) for t in times)
    return b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + head + body


def test_gestures_are_cut_by_the_table(tmp_path: Path) -> None:
    for user in (1, 24):
        (tmp_path / f"user{user:02}_led.aedat").write_bytes(gesture_file([90, 100, 150, 199, 200, 260]))
        table = "class,startTime_usec,endTime_usec\n1,100,200\n11,200,300\n"
        (tmp_path / f"user{user:02}_led_labels.csv").write_text(table, encoding="utf-8")
    columns = load("dvs_gesture", {"folder": str(tmp_path), "steps": 2, "duration": 0.1})
    assert list(columns["label"]) == [0, 10]
    events = columns["events"]
    assert events.shape == (2, 2, 2, 128, 128)
    assert [events[0][k, 1, 27, 100] for k in (0, 1)] == [1, 2]
    assert [events[1][k, 1, 27, 100] for k in (0, 1)] == [1, 1]
    assert len(load("dvs_gesture", {"folder": str(tmp_path), "split": "all"})["label"]) == 4
    table_path = tmp_path / "user01_led_labels.csv"
    for text in ("class,a,b\n", "class,a,b\n12,1,2\n", "class,a,b\n1,2\n", "class,a,b\n1,5,5\n", "class,a,b\nx,1,2\n"):
        table_path.write_text(text, encoding="utf-8")
        assert code("dvs_gesture", folder=str(tmp_path)) == "E630"
    table_path.unlink()
    assert code("dvs_gesture", folder=str(tmp_path)) == "E626"
    assert code("dvs_gesture", folder=str(tmp_path / "nowhere")) == "E626"
    (tmp_path / "empty").mkdir()
    assert code("dvs_gesture", folder=str(tmp_path / "empty")) == "E630"


def test_gestures_are_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SnnError) as caught:
        load("dvs_gesture")
    assert caught.value.diagnostics[0].code == "E626"
    assert "DvsGesture" in str(caught.value)


# --- SHD --------------------------------------------------------------------------------------------------------------


def spoken(path: Path, times: list[list[float]], units: list[list[int]], labels: list[int]) -> None:
    with h5py.File(path, "w") as content:
        for name, rows, kind in (("times", times, np.float16), ("units", units, np.uint16)):
            data = content.create_dataset(f"spikes/{name}", (len(rows),), dtype=h5py.vlen_dtype(kind))
            for number, row in enumerate(rows):
                data[number] = np.array(row, dtype=kind)
        content["labels"] = np.array(labels, dtype=np.uint16)


def test_spoken_digits(tmp_path: Path) -> None:
    spoken(tmp_path / "shd_train.h5", [[0.25, 0.5, 0.5], [0.125]], [[0, 699, 5], [7]], [3, 19])
    spoken(tmp_path / "shd_test.h5", [[1.0]], [[1]], [0])
    columns = load("shd", {"folder": str(tmp_path), "steps": 4, "duration": 1000.0})
    assert columns["events"].shape == (2, 4, 700)
    assert list(columns["label"]) == [3, 19]
    first = columns["events"][0]
    assert first.sum() == 3
    assert first[1, 0] == first[2, 699] == first[2, 5] == 1
    everything = load("shd", {"folder": str(tmp_path), "split": "all", "steps": 4})
    assert list(everything["label"]) == [3, 19, 0]
    assert everything["events"][2].sum() == 1
    one = load("hdf5", {"file": str(tmp_path / "shd_test.h5"), "steps": 1})
    assert one["events"][0][0, 1] == 1


def test_broken_spoken_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"no HDF5")
    assert code("hdf5", file=str(path)) == "E630"
    spoken(path, [[0.5]], [[700]], [0])
    with pytest.raises(SnnError, match="x = 700"):
        load("hdf5", {"file": str(path)})["events"][0]
    spoken(path, [[0.5]], [[1, 2]], [0])
    with pytest.raises(SnnError, match="do not fit"):
        load("hdf5", {"file": str(path)})["events"][0]
    spoken(path, [[0.5]], [[1]], [0, 1])
    assert code("hdf5", file=str(path)) == "E630"
    with h5py.File(path, "w") as content:
        content["labels"] = np.zeros(3)
    assert code("hdf5", file=str(path)) == "E630"
    spoken(path, [[0.5]], [[1]], [0])
    path.write_bytes(path.read_bytes()[:-900])
    assert code("hdf5", file=str(path)) == "E630"
    assert code("hdf5", file=str(tmp_path / "b.h5")) == "E626"
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert code("hdf5", file=str(path)) == "E625"


# --- from Python ------------------------------------------------------------------------------------------------------


class Tonic:
    """A data set as the package tonic gives it."""

    sensor_size = (5, 4, 2)

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> tuple[NDArray[Any], int]:
        if number >= 3:
            raise IndexError
        kind = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
        return np.array([(4, 3, 0, 1), (number, 0, 90, 0)], dtype=kind), number * 2


@pytest.mark.parametrize("dataset", [Tonic(), iter([Tonic()[k] for k in range(3)]), [Tonic()[k] for k in range(3)]])
def test_data_sets_of_events(dataset: Any) -> None:
    columns = event_frames(dataset, steps=2, sensor=(5, 4, 2))
    assert columns["events"].shape == (3, 2, 2, 4, 5)
    assert list(columns["label"]) == [0, 2, 4]
    assert columns["events"][2][1, 0, 0, 2] == columns["events"][2][0, 1, 3, 4] == 1


def test_wrong_data_sets_of_events() -> None:
    cases: list[tuple[Any, Any, str]] = [
        ([Tonic()[0]], {}, "E629"),
        ([Tonic()[0]], {"sensor": (3, 3, 2)}, "E630"),
        ([], {"sensor": (3, 3, 2)}, "E627"),
        ([(np.zeros(3), 1)], {"sensor": (3, 3, 2)}, "E629"),
        (5, {"sensor": (3, 3, 2)}, "E629"),
    ]
    for given, options, expected in cases:
        with pytest.raises(SnnError) as caught:
            event_frames(given, **options)["events"][0]
        assert caught.value.diagnostics[0].code == expected


def phase(present: str, shape: str, **given: Any) -> Any:
    text = (
        "neuron Cell:\n    input x = 0\n    state u = 0\n    u[n] = 0.5*u[n-1] + x[n]\n    spike when u > 1\n\n"
        f"network Net:\n    input image{shape}\n    population a{shape}: Cell\n    connect image -> a: one_to_one\n\n"
        f"simulate Net:\n    present {present}\n"
    )
    chosen = elaborate(load_program(Source("x.snn", text)))
    return load_phase(chosen.phases[0], chosen, given)


def test_trials_from_pairs_and_with_time() -> None:
    pairs = [(np.full((2, 2), float(k)), k) for k in range(4)]
    for given in (pairs, iter(pairs)):
        data = phase("mine as image, label for 5", "[2, 2]", mine=given)
        assert data.trials == 4
        assert np.asarray(data.inputs["image"])[3].tolist() == [[3, 3], [3, 3]]
        assert list(data.labels["label"]) == [0, 1, 2, 3]
    timed = phase("mine as image, label for 6", "[2, 2]", mine=(np.ones((4, 3, 2, 2)), np.arange(4)))
    assert timed.inputs["image"].shape == (4, 3, 2, 2)
    framed = phase(
        "mine as image, label for 4",
        "[40]",
        mine=event_frames(Tonic(), 2) | {"image": event_frames(Tonic(), 2)["events"]},
    )
    assert framed.inputs["image"].shape == (3, 2, 40)
    assert framed.inputs["image"][0].sum() == 2
    for wrong, expected in (([(np.zeros(3), 1)], "E627"), (Tonic(), "E629"), ([(1,)], "E629")):
        with pytest.raises(SnnError) as caught:
            phase("mine as image, label for 5", "[2, 2]", mine=wrong)
        assert caught.value.diagnostics[0].code == expected


def test_a_source_inside_a_source() -> None:
    data = phase("saccades(digits(limit = 3), steps = 4) as image, label for 4", "[2, 14, 14]")
    assert data.inputs["image"].shape == (3, 4, 2, 14, 14)
    assert list(data.labels["label"]) == [0, 1, 2]
    for present in (
        "saccades(mine)",
        "saccades()",
        'digits(split = "tset")',
        "saccades(digit())",
        "nmnist(duration = 5)",
    ):
        with pytest.raises(SnnError) as caught:
            phase(f"{present} as image, label for 4", "[2, 14, 14]")
        assert caught.value.diagnostics[0].code in ("E620", "E210")


# --- columns ----------------------------------------------------------------------------------------------------------


def test_bytes_stand_for_the_same_numbers() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(64, 2, 2)
    column = Scaled(values)
    np.testing.assert_array_equal(np.asarray(column), values / 255.0)
    rows = np.array([5, 3])
    np.testing.assert_array_equal(column.gather(rows), (values[rows] / 255.0).astype(np.float32))
    joined: Columns = join([{"x": column, "y": np.arange(64)}] * 2)
    part = choose(choose(joined, np.arange(60, 70)), np.array([7, 0]))["x"]
    assert isinstance(part, Column)
    np.testing.assert_array_equal(part.gather(np.array([1, 0])), column.gather(np.array([60, 3])))
    np.testing.assert_array_equal(part[0], column[3])
    assert [one.shape for one in column] == [(2, 2)] * 64  # iteration ends
    with pytest.raises(IndexError):
        column[64]


def test_rows_are_chosen_as_of_an_array(tmp_path: Path) -> None:
    """Numbers from the end, slices, lists of numbers and masks, of every kind of column."""
    values = np.random.default_rng(0).integers(0, 256, (12, 2, 2), dtype=np.uint8)
    plain = values / 255.0
    joined = join([{"x": Scaled(values[:7])}, {"x": Scaled(values[7:])}])["x"]
    pairs_ = pairs([(one, 0) for one in plain], ["x", "y"], None)["x"]
    shifted = choose({"x": Scaled(np.roll(values, 1, axis=0))}, np.r_[1:12, 0])["x"]
    for column in (Scaled(values), joined, pairs_, shifted, Shaped(Scaled(values.reshape(12, 4)), (2, 2))):
        assert isinstance(column, Column)
        for rows in (slice(0, 5), slice(None, None, -2), slice(20, 30), [3, -1, 3], plain[:, 0, 0] > 0.5, -12, np.int64(4)):
            found, wanted = column[rows], plain[rows]
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found, wanted, rtol=1e-6)
        for wrong in (12, -13, [0, 12]):
            with pytest.raises(IndexError):
                column[wrong]
        with pytest.raises(TypeError, match="by its rows alone"):
            column[0, 1]


def test_every_loader_has_its_function_and_checks_its_options() -> None:
    from importlib import import_module

    from snnlang.data import load as module

    assert list(module._PLACES) == list(dict.fromkeys(module._PLACES))
    assert sorted(module._PLACES) == sorted(LOADERS)
    for place in module._PLACES.values():
        room, _, function = place.partition(".")
        assert callable(getattr(import_module(f"snnlang.data.{room}"), function))
    assert code("digit") == code("digits", splt="test") == code("digits", split="tset") == code("image_folder") == "E620"


# --- fetching ---------------------------------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """An address and the folder it serves; nothing else is reached, and the user's cache is another folder."""
    served = tmp_path / "served"
    served.mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("SNN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SNNLANG_DATA", raising=False)
    monkeypatch.delenv("SNNLANG_OFFLINE", raising=False)
    monkeypatch.setattr(fetch, "SYSTEM_FOLDERS", ())
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served))) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_address[1]}/", served
        web.shutdown()


def idx(array: NDArray[np.uint8]) -> bytes:
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def offered(address: str, served: Path, files: dict[str, bytes], wrong: bool = False) -> dict[str, Remote]:
    for name, raw in files.items():
        (served / name).write_bytes(raw)
    return {
        name: Remote(address + name, f"md5:{hashlib.md5(b'other' if wrong else raw).hexdigest()}")
        for name, raw in files.items()
    }


def test_fetched_once_with_its_checksum(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, served = server
    files = {
        "t10k-images-idx3-ubyte.gz": idx(np.full((2, 28, 28), 255, dtype=np.uint8)),
        "t10k-labels-idx1-ubyte.gz": idx(np.array([4, 9], dtype=np.uint8)),
    }
    monkeypatch.setitem(REMOTE, "mnist", offered(address, served, files, wrong=True))
    with pytest.raises(SnnError) as caught:
        load("mnist", {"split": "test"})
    assert caught.value.diagnostics[0].code == "E634"
    monkeypatch.setitem(REMOTE, "mnist", offered(address, served, files))
    assert list(load("mnist", {"split": "test"})["label"]) == [4, 9]
    for name in files:
        (served / name).unlink()
    assert load("mnist", {"split": "test"})["image"].shape == (2, 28, 28)  # from the cache
    assert (tmp_path / "cache" / "data" / "mnist" / "t10k-images-idx3-ubyte.gz").is_file()


def test_an_archive_is_unpacked(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    address, served = server
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as content:
        for number in range(10):
            content.writestr(f"Test/{number}/1.bin", bytes([number, 0, 0, 0, 1]))
    monkeypatch.setitem(REMOTE, "nmnist", offered(address, served, {"Test.zip": packed.getvalue()}))
    assert list(load("nmnist", {"split": "test"})["label"]) == list(range(10))
    assert list(load("nmnist", {"split": "test"})["label"]) == list(range(10))


def test_without_a_network(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = {name: Remote("http://127.0.0.1:9/" + name, remote.checksum) for name, remote in REMOTE["mnist"].items()}
    monkeypatch.setitem(REMOTE, "mnist", nowhere)
    with pytest.raises(SnnError) as caught:
        load("mnist", {"split": "test"})
    assert caught.value.diagnostics[0].code == "E633"
    assert "t10k-images-idx3-ubyte.gz" in str(caught.value)
    assert "mnist" in str(caught.value)
    monkeypatch.setenv("SNNLANG_OFFLINE", "1")
    assert code("mnist") == code("nmnist") == code("shd") == code("ssc") == code("fashion_mnist") == "E626"
    monkeypatch.delenv("SNNLANG_OFFLINE")
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert code("mnist") == "E626"


def test_every_address_has_a_checksum() -> None:
    for files in REMOTE.values():
        for remote in files.values():
            kind, _, value = remote.checksum.partition(":")
            assert kind == "md5"
            assert len(value) == 32
            int(value, 16)


# --- a whole run ------------------------------------------------------------------------------------------------------

FRAMES = """
from stdlib.neurons import DIF
network Net:
    input image[2, 14, 14]
    population pixel[2, 14, 14]: DIF(v_th = 3)
    connect image -> pixel.x: one_to_one
simulate Net:
    present saccades(digits(limit = 2), steps = 5) as image, label for 10
    record pixel.spikes
"""


@pytest.mark.parametrize("target", ["interpreter", "numpy"])
def test_frames_are_shown_one_after_the_other(target: str) -> None:
    """Five frames in ten steps: each neuron counts the events of its pixel, each frame twice."""
    import snnlang

    recording = snnlang.load(FRAMES).run(target=target, progress=False)
    frames_ = np.asarray(load("saccades", {"source": ("digits", {"limit": 2}), "steps": 5})["events"])
    spikes = np.zeros((2, 392), dtype=int)
    v = np.zeros((2, 392))
    for step in range(10):
        v += frames_[:, step // 2].reshape(2, -1)
        spikes += v >= 3
        v -= 3 * (v >= 3)
    assert recording.counts("pixel").tolist() == spikes.sum(axis=0).tolist()
    assert spikes.sum() > 100
