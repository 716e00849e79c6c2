"""Event files byte by byte: golden words of every format, real files of other software, and every way in which they can be broken."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from snnlang.data import atis
from snnlang.data.events import Binning, Events, Frames, Listed, Sensor, frames, make
from snnlang.data.load import load
from snnlang.data.recordings import read_events
from snnlang.diagnostics import SnnError

GOLDEN = Path(__file__).parent / "golden"

#: What dv-processing wrote into the golden files: t, x, y, polarity.
WRITTEN = [
    (1000426, 17, 22, 1),
    (1000458, 4, 24, 1),
    (1000683, 10, 26, 0),
    (1000929, 28, 7, 0),
    (1001508, 18, 2, 0),
    (1002287, 25, 25, 1),
    (1003022, 11, 13, 1),
    (1003134, 10, 3, 0),
    (1004013, 4, 11, 0),
    (1004826, 6, 15, 0),
    (1004844, 25, 1, 0),
    (1005292, 16, 3, 1),
]


def rows(events: Events) -> list[tuple[int, ...]]:
    return [tuple(int(part) for part in row) for row in zip(events.t, events.x, events.y, events.p, strict=True)]


def code(path: Path) -> str:
    with pytest.raises(SnnError) as caught:
        read_events(path)
    assert str(path) in str(caught.value)
    return caught.value.diagnostics[0].code


# --- ATIS -------------------------------------------------------------------------------------------------------------


def test_nmnist_golden_words() -> None:
    """Catalogue D4."""
    raw = bytes.fromhex("210001 9a28 0c1e8493e0".replace(" ", ""))
    assert rows(atis.read(raw, Path("x.bin"))) == [(105_000, 33, 0, 0), (300_000, 12, 30, 1)]


def test_nmnist_clock_goes_round() -> None:
    """An event at y = 240 is none; all later times are 2^13 us later."""
    raw = bytes([1, 2, 0x80, 0, 100, 0, 240, 0, 0, 0, 3, 4, 0, 0, 50])
    assert rows(atis.read(raw, Path("x.bin"))) == [(100, 1, 2, 1), (8192 + 50, 3, 4, 0)]


@pytest.mark.parametrize("raw", [b"", b"\1\2\3", bytes(12)])
def test_nmnist_cut_or_empty(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(raw)
    assert code(path) == "E630"


def test_event_beside_the_sensor(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([34, 0, 0, 0, 0]))
    with pytest.raises(SnnError, match="x = 34, and the sensor has x from 0 to 33"):
        read_events(path)


# --- AEDAT 2 ----------------------------------------------------------------------------------------------------------

HEADER_2 = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n"


def aedat2(*records: tuple[int, int]) -> bytes:
    return HEADER_2 + b"".join(struct.pack(">II", address, t) for address, t in records)


def test_aedat2_golden_word(tmp_path: Path) -> None:
    """Catalogue D5: x = 100, y = 27, p = 1 is 0x1bc9; how readers turn it."""
    path = tmp_path / "a.aedat"
    path.write_bytes(aedat2((0x1BC9, 500), (0x8000, 510), (0x1BC8, 700)))
    events, sensor = read_events(path)
    assert rows(events) == [(0, 100, 27, 1), (200, 100, 27, 0)]
    assert sensor == Sensor(128, 128)
    assert rows(read_events(path, layout="jaer")[0]) == [(0, 27, 27, 0), (200, 27, 27, 1)]
    assert rows(read_events(path, layout="swapped")[0]) == [(0, 27, 100, 1), (200, 27, 100, 0)]
    assert rows(read_events(path, layout="cifar10_dvs")[0]) == [(0, 100, 27, 0), (200, 100, 27, 1)]


def test_aedat2_clock_goes_round_and_header_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    body = struct.pack(">IIII", 0x1BC9, 2**32 - 10, 0x2300, 10)  # an address that begins like a comment
    path.write_bytes(HEADER_2 + b"#End Of ASCII Header\r\n" + body)
    assert rows(read_events(path)[0]) == [(0, 100, 27, 1), (20, 0, 35, 0)]


@pytest.mark.parametrize("raw", [HEADER_2, HEADER_2 + b"1234567", b"#!AER-DAT2.0", aedat2((0x1234567, 1))])
def test_aedat2_broken(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(raw)
    assert code(path) == "E630"


# --- AEDAT 3.1 --------------------------------------------------------------------------------------------------------

HEADER_3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def packet(kind: int, *events: tuple[int, int], overflow: int = 0, size: int = 8) -> bytes:
    count = len(events)
    head = struct.pack("<HHIIIIII", kind, 1, size, 4, overflow, count, count, count)
    return head + b"".join(struct.pack("<Ii", data, t) + bytes(size - 8) for data, t in events)


def test_aedat3_golden_word(tmp_path: Path) -> None:
    """Catalogue D6: 0x00c8006f is x = 100, y = 27, on, valid. Other packets and invalid events are passed over."""
    path = tmp_path / "a.aedat"
    path.write_bytes(
        HEADER_3
        + packet(0, (0, 0))
        + packet(1, (0x00C8006F, 50), (0x00C8006E, 60), (0x00C8006D, 70))
        + packet(3, (7, 7), size=36)
        + packet(1, (0x00C8006F, 10), overflow=1)
    )
    events, _ = read_events(path)
    assert rows(events) == [(0, 100, 27, 1), (20, 100, 27, 0), ((1 << 31) + 10 - 50, 100, 27, 1)]


@pytest.mark.parametrize(
    "raw",
    [
        b"#!AER-DAT3.1\r\n#Format: RAW\r\n",
        HEADER_3,
        HEADER_3.replace(b"RAW", b"SerializedTS"),
        HEADER_3 + packet(1, (1, 1))[:-1],
        HEADER_3 + packet(1, (1, 1))[:20],
        HEADER_3 + packet(0, (1, 1)),
        HEADER_3 + packet(1, (1, 1), size=16),
    ],
)
def test_aedat3_broken(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(raw)
    assert code(path) == "E630"


# --- AEDAT 4 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "lz4", "zstd"])
def test_aedat4_as_dv_processing_writes_it(name: str) -> None:
    events, sensor = read_events(GOLDEN / f"{name}.aedat4")
    assert sensor == Sensor(30, 34)
    assert rows(events) == [(t - 1000426, x, y, p) for t, x, y, p in WRITTEN]


def test_aedat4_of_a_crashed_recorder(tmp_path: Path) -> None:
    """Without the table at the end, whose place is then -1, packets go to the end of the file."""
    raw = (GOLDEN / "none.aedat4").read_bytes()
    path = tmp_path / "a.aedat4"
    path.write_bytes(raw[:0x36] + b"\xff" * 8 + raw[0x3E:0x06CE])
    assert len(read_events(path)[0]) == 12


@pytest.mark.parametrize("name", ["none", "lz4", "zstd"])
def test_aedat4_cut_anywhere(tmp_path: Path, name: str) -> None:
    """Whatever is cut off: one error, no traceback; what lies after the last packet is not needed."""
    raw = (GOLDEN / f"{name}.aedat4").read_bytes()
    path = tmp_path / "a.aedat4"
    for length in range(14, 1500, 41):
        path.write_bytes(raw[:length])
        assert code(path) == "E630", length


def test_aedat4_with_a_byte_changed(tmp_path: Path) -> None:
    """A damaged file gives one error, or events within the sensor, never another exception."""
    raw = bytearray((GOLDEN / "none.aedat4").read_bytes())
    path = tmp_path / "a.aedat4"
    for place in [*range(14, 0x48), *range(0x572, 0x620)]:
        damaged = raw.copy()
        damaged[place] ^= 0xFF
        path.write_bytes(bytes(damaged))
        codes: list[str] = []
        try:
            events, sensor = read_events(path)
        except SnnError as problem:
            codes = [diagnostic.code for diagnostic in problem.diagnostics]
        else:
            assert events.x.max() < sensor.width
        assert codes in ([], ["E630"], ["E625"])


def test_aedat4_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert code_of("lz4") == "E625"
    if sys.version_info < (3, 14):
        assert code_of("zstd") == "E625"


def code_of(name: str) -> str:
    with pytest.raises(SnnError) as caught:
        read_events(GOLDEN / f"{name}.aedat4")
    assert "pip install snnlang[data]" in str(caught.value)
    return caught.value.diagnostics[0].code


# --- folders ----------------------------------------------------------------------------------------------------------


def test_foreign_files(tmp_path: Path) -> None:
    for name, raw in (("a.aedat", b"hello"), ("b.npz", b"PK"), ("c.aedat", b"#!AER-DAT1.0\r\n"), ("d.txt", b"")):
        (tmp_path / name).write_bytes(raw)
        assert code(tmp_path / name) == "E630"
    assert code(tmp_path / "nowhere.bin") == "E626"


def test_a_folder_of_classes(tmp_path: Path) -> None:
    for number in (0, 2, 10):
        (tmp_path / str(number)).mkdir()
        for sample in range(5):
            raw = bytes([number, sample, 0x80, 0, 0, number, sample, 0, 0, 99])
            (tmp_path / str(number) / f"{sample}.bin").write_bytes(raw)
    columns = load("event_folder", {"folder": str(tmp_path), "split": "all", "steps": 4})
    assert columns["events"].shape == (15, 4, 2, 34, 34)
    assert list(columns["label"]) == [0] * 5 + [1] * 5 + [2] * 5  # 10 after 2
    one = columns["events"][14]
    assert one.sum() == 2
    assert one[0, 1, 4, 10] == one[3, 0, 4, 10] == 1
    assert len(load("event_folder", {"folder": str(tmp_path), "split": "test"})["label"]) == 3
    train = load("event_folder", {"folder": str(tmp_path), "limit": 2})
    assert train["events"].shape[0] == len(train["label"]) == 2
    for folder, expected in (("nowhere", "E626"), ("0", "E630")):
        with pytest.raises(SnnError) as caught:
            load("event_folder", {"folder": str(tmp_path / folder)})
        assert caught.value.diagnostics[0].code == expected


def test_nmnist_as_published(tmp_path: Path) -> None:
    for part in ("Train", "Test"):
        for number in range(10):
            (tmp_path / part / str(number)).mkdir(parents=True)
            (tmp_path / part / str(number) / "00001.bin").write_bytes(bytes([number, 1, 0x80, 0, 10]))
    columns = load("nmnist", {"folder": str(tmp_path), "split": "all", "steps": 2, "duration": 300.0})
    assert list(columns["label"]) == [*range(10), *range(10)]
    events = columns["events"]
    assert events.shape == (20, 2, 2, 34, 34)
    assert events[13][0, 1, 1, 3] == 1
    assert events[13].sum() == 1


# --- frames -----------------------------------------------------------------------------------------------------------


def some(count: int = 1000) -> Events:
    random = np.random.default_rng(0)
    return make(
        np.sort(random.integers(0, 300_000, count)),
        random.integers(0, 5, count),
        random.integers(0, 4, count),
        random.integers(0, 2, count),
    )


@pytest.mark.parametrize("by", ["time", "count", "voxel"])
@pytest.mark.parametrize("steps", [1, 2, 7, 10])
def test_no_event_is_lost(by: str, steps: int) -> None:
    """Catalogue K13: the sum over all bins is the number of events."""
    events = some()
    made = frames(events, Sensor(4, 5), Binning(steps, by))  # type: ignore[arg-type]
    assert made.shape == (steps, 2, 4, 5)
    assert made.sum() == pytest.approx(1000, abs=1e-3)
    whole = np.zeros((2, 4, 5))
    np.add.at(whole, (events.p, events.y, events.x), 1)
    np.testing.assert_allclose(made.sum(axis=0), whole, atol=1e-4)
    if by == "count":
        assert np.ptp(made.sum(axis=(1, 2, 3))) <= 1


def test_bins_of_time_against_a_loop() -> None:
    events = some(200)
    made = frames(events, Sensor(4, 5), Binning(6, duration=250_000))
    expected = np.zeros((6, 2, 4, 5))
    for t, x, y, p in rows(events):
        if t < 250_000:
            expected[int(t // (250_000 / 6)), p, y, x] += 1
    np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(
        frames(events, Sensor(4, 5), Binning(6, duration=250_000, values="binary")), expected > 0
    )


def test_voxels_share_an_event_between_two_frames() -> None:
    events = make([0, 25, 100], [0, 0, 0], [0, 0, 0], [0, 0, 0])
    made = frames(events, Sensor(1, 1, 1), Binning(5, "voxel"))
    np.testing.assert_allclose(made[:, 0], [1, 1, 0, 0, 1], atol=1e-6)
    made = frames(events, Sensor(1, 1, 1), Binning(3, "voxel"))
    np.testing.assert_allclose(made[:, 0], [1.5, 0.5, 1], atol=1e-6)


def test_no_events_give_empty_frames() -> None:
    empty = make([], [], [], [])
    assert frames(empty, Sensor(4, 5), Binning(3)).sum() == 0
    assert Frames(Listed([empty, some()], Sensor(4, 5)), Binning(3)).gather(np.array([1, 0])).sum() == 1000


@pytest.mark.parametrize("options", [{"duration": -1.0}, {"steps": 0}, {"duration": 0.0}])
def test_wrong_windows(tmp_path: Path, options: dict[str, float]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.bin").write_bytes(bytes(5))
    with pytest.raises(SnnError) as caught:
        load("event_folder", {"folder": str(tmp_path), **options})
    assert caught.value.diagnostics[0].code == "E632"
