"""Files and data sets of events as other packages read them: tonic and its data set objects, and aedat, where they are installed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import snnlang
import snnlang.data.load
from snnlang.data.given import event_frames
from snnlang.data.recordings import read_events
from snnlang.diagnostics import SnnError

GOLDEN = Path(__file__).parent / "golden"
Table = NDArray[np.int64]


def drawn(count: int, width: int, height: int, last: int, seed: int = 4) -> Table:
    """Rows t, x, y, p in order of time, the first at 0."""
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, last, count))
    t[0] = 0
    return np.stack([t, *(random.integers(0, size, count) for size in (width, height, 2))], axis=1)


def ours(path: Path, **options: Any) -> Table:
    events, _ = read_events(path, **options)
    return np.stack([np.asarray(part, np.int64) for part in (events.t, events.x, events.y, events.p)], axis=1)


def theirs(events: Any) -> Table:
    return np.stack([np.asarray(events[name], np.int64) for name in "txyp"], axis=1)


# --- writers, after the descriptions of the formats -------------------------------------------------------------------


def write_atis(path: Path, table: Table) -> None:
    """x, y, then 1 bit polarity and 23 bits of time, high byte first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for t, x, y, p in table.tolist()))


def write_aedat2(path: Path, table: Table) -> None:
    words = b"".join(struct.pack(">II", x << 8 | y << 1 | p, t) for t, x, y, p in table.tolist())
    path.write_bytes(b"#!AER-DAT2.0\r\n# one line\r\n" + words)


def write_aedat3(path: Path, table: Table, packet: int = 37) -> None:
    pieces = [b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"]
    for start in range(0, len(table), packet):
        rows = table[start : start + packet].tolist()
        pieces.append(struct.pack("<HHIIIIII", 1, 1, 8, 4, 0, len(rows), len(rows), len(rows)))
        pieces += [struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t) for t, x, y, p in rows]
    path.write_bytes(b"".join(pieces))


# --- files ------------------------------------------------------------------------------------------------------------


def test_atis_as_tonic_reads_it(tmp_path: Path) -> None:
    io = pytest.importorskip("tonic.io")
    table = drawn(500, 34, 34, 300_000)
    write_atis(tmp_path / "a.bin", table)
    kind = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    np.testing.assert_array_equal(theirs(io.read_mnist_file(str(tmp_path / "a.bin"), kind)), table)
    np.testing.assert_array_equal(ours(tmp_path / "a.bin"), table)


def words_of(path: Path) -> tuple[Table, Table]:
    """Addresses and times as tonic finds them behind the header and between the heads of packets."""
    io = pytest.importorskip("tonic.io")
    version, start, *_ = io.read_aedat_header_from_file(str(path))
    words = io.get_aer_events_from_file(str(path), version, start)
    return words["address"].astype(np.int64), words["timeStamp"].astype(np.int64)


def test_aedat2_as_tonic_reads_it(tmp_path: Path) -> None:
    table = drawn(500, 128, 128, 10**6)
    write_aedat2(tmp_path / "a.aedat", table)
    address, t = words_of(tmp_path / "a.aedat")
    parts = (t, address >> 8 & 0x7F, address >> 1 & 0x7F, address & 1)
    np.testing.assert_array_equal(np.stack(parts, axis=1), table)
    np.testing.assert_array_equal(ours(tmp_path / "a.aedat", layout="swapped"), table)
    np.testing.assert_array_equal(ours(tmp_path / "a.aedat", layout="raw"), table[:, [0, 2, 1, 3]])


def test_aedat3_as_tonic_reads_it(tmp_path: Path) -> None:
    table = drawn(500, 128, 128, 10**6)
    write_aedat3(tmp_path / "a.aedat", table)
    address, t = words_of(tmp_path / "a.aedat")
    parts = (t, address >> 17 & 0x1FFF, address >> 2 & 0x1FFF, address >> 1 & 1)
    np.testing.assert_array_equal(np.stack(parts, axis=1), table)
    np.testing.assert_array_equal(ours(tmp_path / "a.aedat"), table)


@pytest.mark.parametrize("name", ["none", "lz4", "zstd"])
def test_aedat4_as_aedat_reads_it(name: str) -> None:
    aedat = pytest.importorskip("aedat")
    packets = [packet["events"] for packet in aedat.Decoder(str(GOLDEN / f"{name}.aedat4")) if "events" in packet]
    events = np.concatenate(packets)
    table = np.stack([np.asarray(events[field], np.int64) for field in ("t", "x", "y", "on")], axis=1)
    table[:, 0] -= table[0, 0]
    np.testing.assert_array_equal(ours(GOLDEN / f"{name}.aedat4"), table)


# --- data set objects -------------------------------------------------------------------------------------------------


@pytest.fixture
def nmnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """tonic's NMNIST over twenty files of the published layout."""
    datasets = pytest.importorskip("tonic.datasets")
    for label in range(10):
        for number in range(2):
            table = drawn(60, 34, 34, 300_000, 10 * label + number)
            write_atis(tmp_path / "NMNIST" / "Train" / str(label) / f"{number:05}.bin", table)
    monkeypatch.setattr(datasets.NMNIST, "_check_exists", lambda self: True)
    return lambda **options: datasets.NMNIST(str(tmp_path), **options)


def test_frames_of_tonic(nmnist: Any) -> None:
    """The same frames as tonic's own ToFrame makes of as many equal times, and the same as our loader of the same folder."""
    ToFrame = pytest.importorskip("tonic.transforms").ToFrame

    plain = nmnist()
    columns = event_frames(plain, steps=5)
    assert columns["events"].shape == (20, 5, 2, 34, 34)
    assert list(columns["label"]) == [label for label in range(10) for _ in range(2)]
    frames = ToFrame(sensor_size=plain.sensor_size, n_time_bins=5)
    for row in (0, 7, 19):
        expected = frames(plain[row][0])
        found = columns["events"][row]
        # tonic cuts the window into whole microseconds and drops what is left over at its end
        assert np.abs(found.sum(axis=0) - expected.sum(axis=0)).sum() <= 2
        assert np.abs(found - expected).sum() <= 4
    loaded = snnlang.data.load.load("event_folder", {"folder": str(Path(plain.location_on_system) / "Train"), "steps": 5, "split": "all"})
    np.testing.assert_array_equal(np.asarray(loaded["events"]), np.asarray(columns["events"]))
    doubled = nmnist(target_transform=lambda target: 2 * target)
    assert np.asarray(event_frames(doubled, steps=2)["label"])[:4].tolist() == [0, 0, 2, 2]


NET = """
neuron Unit:
    input x = 0
    state u = 0
    u[n] = 0.9*u[n-1] + x - spike[n-1]
    spike when u > 1

neuron Readout:
    input x = 0
    state v = 0
    v[n] = 0.9*v[n-1] + x
    output v

network Net:
    input events[{shape}]
    events -> dense(16), w = uniform(-0.3, 0.6) -> h: Unit -> dense({classes}) -> out: Readout

train Net:
    data = mine
    steps = 4
    loss = cross_entropy(mean(out.v), label)
    optimizer = adam(lr = 0.01)
    batch = 10
    epochs = 3
    target = numpy
    threads = 1

simulate Net as Shown:
    present mine as events, label for 4
    record out.v
"""


def test_training_with_an_object_of_tonic(nmnist: Any) -> None:
    """``net.train(dataset)``: events become the steps of the block, frames that tonic made are taken as they are."""
    ToFrame = pytest.importorskip("tonic.transforms").ToFrame

    model = snnlang.load(NET.format(shape="2, 34, 34", classes=10))
    first = model.network()
    history = first.train(nmnist(), validation=nmnist(), test=nmnist())
    assert history.epochs[-1].loss < history.epochs[0].loss
    assert history.best_epoch is not None
    assert history.epochs[history.best_epoch - 1].validation_loss == pytest.approx(history.test_loss)
    second, third = model.network(), model.network()
    again = second.train(event_frames(nmnist(), steps=4), validation=event_frames(nmnist(), steps=4))
    assert [epoch.loss for epoch in again.epochs] == [epoch.loss for epoch in history.epochs]
    assert second.evaluate(nmnist())["samples"] == 20
    frames = ToFrame(sensor_size=(34, 34, 2), n_time_bins=4)
    made = third.train(nmnist(transform=frames))
    assert made.epochs[0].loss == pytest.approx(history.epochs[0].loss, rel=0.05)
    shown = model.run("Shown", data={"mine": event_frames(nmnist(), steps=4) | {}}, progress=False)
    assert shown["out.v"].shape == (80, 10)


def test_spoken_digits_of_tonic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("tonic.datasets")
    h5py = pytest.importorskip("h5py")
    (tmp_path / "SHD").mkdir()
    random = np.random.default_rng(0)
    with h5py.File(tmp_path / "SHD" / "shd_train.h5", "w") as content:
        for name, kind in (("times", np.float16), ("units", np.uint16)):
            content.create_dataset(f"spikes/{name}", (6,), dtype=h5py.vlen_dtype(kind))
        for row in range(6):
            content["spikes/times"][row] = np.sort(random.uniform(0, 1, 40)).astype(np.float16)
            content["spikes/units"][row] = random.integers(0, 700, 40).astype(np.uint16)
        content["labels"] = np.arange(6, dtype=np.uint16) % 3
        content["extra/keys"], content["extra/speaker"] = np.zeros(3), np.zeros(6)
    monkeypatch.setattr(datasets.SHD, "_check_exists", lambda self: True)
    dataset = datasets.SHD(str(tmp_path))
    columns = event_frames(dataset, steps=4)
    mine = snnlang.data.load.load("hdf5", {"file": str(tmp_path / "SHD" / "shd_train.h5"), "steps": 4})
    np.testing.assert_array_equal(
        np.asarray(columns["events"]).reshape(6, 4, 700), np.asarray(mine["events"]).reshape(6, 4, 700)
    )
    history = snnlang.load(NET.format(shape="700", classes=3)).network().train(dataset)
    assert history.epochs[-1].loss < history.epochs[0].loss


def test_gestures_of_tonic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tonic's own layout: arrays of x, y, p and t in milliseconds, cut already."""
    datasets = pytest.importorskip("tonic.datasets")
    for label in range(3):
        table = drawn(300, 128, 128, 500, label)
        folder = tmp_path / "DVSGesture" / "ibmGestureTrain" / f"user0{label + 1}_led"
        folder.mkdir(parents=True)
        np.save(folder / f"{label}.npy", table[:, [1, 2, 3, 0]])
    monkeypatch.setattr(datasets.DVSGesture, "_check_exists", lambda self: True)
    dataset = datasets.DVSGesture(str(tmp_path))
    columns = event_frames(dataset, steps=4)
    assert columns["events"].shape == (3, 4, 2, 128, 128)
    assert [columns["events"][row].sum() for row in range(3)] == [300] * 3
    assert sorted(np.asarray(columns["label"]).tolist()) == [0, 1, 2]


def test_a_part_of_a_data_set_of_events() -> None:
    """What does not know its sensor has that of the network's input; events beside it are said."""
    kind = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    pairs = [(np.array([(k, 1, 0, 1), (2, 3, 90, 0)], dtype=kind), k) for k in range(3)]
    model = snnlang.load(NET.format(shape="2, 4, 5", classes=3))
    losses = [model.network().train(given).epochs[-1].loss for given in (pairs, iter(pairs))]
    assert losses[0] == losses[1]
    with pytest.raises(SnnError) as caught:
        snnlang.load(NET.format(shape="2, 3, 5", classes=3)).network().train(pairs)
    assert caught.value.diagnostics[0].code == "E630"
    with pytest.raises(SnnError) as caught:
        snnlang.load(NET.format(shape="20", classes=3)).network().train(pairs)
    assert caught.value.diagnostics[0].code == "E629"
