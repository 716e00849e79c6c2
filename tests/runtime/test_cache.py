"""The cache never changes a result, never gives what was made of something else, and never stops a run."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snnlang import cache, prepared, reading
from snnlang.cli.program import run as snn

KEY = "0" * 64
OTHER = "f" * 64
POSIX = pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SNN_CACHE_DIR", str(folder))
    return folder


# --- the folder -------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read(place: Path) -> None:
    assert cache.read("prepared", KEY) is None
    written = cache.write("prepared", KEY, b"one", ".x")
    assert written == place / "prepared" / f"{KEY}.x"
    assert cache.read("prepared", KEY, ".x") == b"one"
    assert cache.read("prepared", KEY) is None
    assert cache.write("prepared", KEY, b"two", ".x") == written
    assert cache.read("prepared", KEY, ".x") == b"two"
    assert [(entry.kind, entry.name, entry.size) for entry in cache.entries()] == [("prepared", f"{KEY}.x", 3)]


@POSIX
def test_it_is_private(place: Path) -> None:
    written = cache.write("prepared", KEY, b"one")
    assert written is not None
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place, written.parent, written)] == [0o700, 0o700, 0o600]


@POSIX
@pytest.mark.parametrize("which", ["", "prepared"])
@pytest.mark.parametrize("rights", [0o770, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(place: Path, which: str, rights: int) -> None:
    cache.write("prepared", KEY, b"one")
    (place / which).chmod(rights)
    assert cache.read("prepared", KEY) is None
    assert cache.write("prepared", OTHER, b"two") is None


@POSIX
def test_the_usual_folder_is_made_private_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNN_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "snnlang").mkdir()
    (tmp_path / "snnlang").chmod(0o775)
    assert cache.folder() == tmp_path / "snnlang"
    assert stat.S_IMODE((tmp_path / "snnlang").stat().st_mode) == 0o700


@POSIX
def test_what_belongs_to_somebody_else_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write("prepared", KEY, b"one")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache.folder() is None
    assert cache.read("prepared", KEY) is None


@pytest.mark.parametrize("named", ["/dev/null/there", "/proc/nothing", "a\0b"])
def test_no_folder_is_no_error(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_usual", lambda: Path(named))
    monkeypatch.delenv("SNN_CACHE_DIR", raising=False)
    assert cache.folder() is None
    assert cache.read("prepared", KEY) is None
    assert cache.write("prepared", KEY, b"one") is None
    assert cache.entries() == []
    assert cache.clear() == (0, 0)


def test_a_full_disk_is_no_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write("prepared", KEY, b"one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert cache.write("prepared", OTHER, b"two") is None
    assert [path.name for path in (place / "prepared").iterdir()] == [KEY]


def test_clearing_takes_only_what_is_ours(place: Path) -> None:
    place.mkdir(mode=0o700)
    (place / "prepared").mkdir(mode=0o700)
    (place / "letters").mkdir()
    for mine in (place / "thesis.tex", place / "letters" / KEY, place / "prepared" / "notes.txt"):
        mine.write_text("mine")
    cache.write("prepared", KEY, b"12345")
    cache.write("native", KEY, b"123", ".so")
    (place / "prepared" / f".{OTHER}.1.aa.partial").write_bytes(b"1")
    assert cache.clear() == (3, 9)
    left = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    assert left == [f"letters/{KEY}", "prepared/notes.txt", "thesis.tex"]


def test_the_longest_unused_go_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT", 400)
    keys = [f"{number:064x}" for number in range(4)]
    for number, key in enumerate(keys):
        path = cache.write("prepared", key, bytes(100))
        assert path is not None
        os.utime(path, (number, number))
    assert cache.read("prepared", keys[0]) is not None  # used now
    cache.write("prepared", OTHER, bytes(100))
    assert [entry.name for entry in cache.entries()] == [keys[0], keys[3], OTHER]


def test_keys_tell_their_parts_apart() -> None:
    assert cache.key("ab", "c") != cache.key("a", "bc") != cache.key("abc")
    assert cache.key("ä") == cache.key("ä".encode())
    with pytest.raises(ValueError, match="no entry"):
        cache.path("letters", KEY)


# --- files that were consulted ----------------------------------------------------------------------------------------


def test_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.snn"
    seen = [reading.state(str(path))]
    for text in ("one", "two"):
        path.write_text(text)
        seen.append(reading.state(str(path)))
    assert seen[0] == "absent"
    assert len(set(seen)) == 3
    folder = reading.state(str(tmp_path))
    (tmp_path / "note.txt").write_text("")
    assert reading.state(str(tmp_path)) == folder
    (tmp_path / "b.snn").write_text("")
    assert reading.state(str(tmp_path)) != folder
    monkeypatch.setattr(reading, "SMALL", 2)
    assert reading.state(str(path)) == ""  # large, and so fresh that it may change without another time
    monkeypatch.setattr(reading, "RECENT", -time.time())
    assert reading.state(str(path)).startswith("large 3 ")


def test_only_what_is_consulted_inside_is_seen(tmp_path: Path) -> None:
    reading.consult(tmp_path / "before")
    with reading.watch() as found:
        reading.consult(tmp_path / "inside")
    reading.consult(tmp_path / "after")
    assert found == {str(tmp_path / "inside"): "absent"}


# --- prepared experiments ---------------------------------------------------------------------------------------------

SIMPLE = """\
from .cells import Cell

network Net(N = 5, strength = 3):
    population cell[N]: Cell(v = uniform(0 mV, 9 mV), drive = strength * 5 mV)

simulate Net:
    dt = 0.1 ms
    duration = 30 ms
    seed = 3
    record cell.spikes
    record cell.v every 1 ms
"""
CELL = """\
neuron Cell:
    param tau = 10 ms
    param drive = 0 mV
    state v = 0 mV
    tau*dv/dt = drive - v
    spike when v >= 10 mV
    on spike:
        v = 0 mV
"""


@pytest.fixture
def project(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "main.snn").write_text(SIMPLE)
    (folder / "cells.snn").write_text(CELL)
    monkeypatch.chdir(folder)
    return folder


Outcome = dict[str, object]


def made(path: Path) -> Outcome:
    """What a recording holds, without the times that the work took."""
    with np.load(path) as archive:
        found: Outcome = {name: archive[name].tobytes() for name in archive.files if name != "recording"}
        header = json.loads(str(archive["recording"]))
    for name in ("seconds", "preparing"):
        del header["made"][name]
    return {**found, "recording": header}


def simulate(folder: Path, *options: str, target: str = "numpy", file: str = "main.snn") -> tuple[Outcome, bool]:
    """The recording of a run, and whether it was prepared before."""
    before = {entry.name: entry.path.stat().st_mtime_ns for entry in cache.entries()}
    where = folder / f"out{len(list(folder.iterdir()))}.npz"
    assert snn(["run", file, "--target", target, "--quiet", "--out", str(where), *options]) == 0
    return made(where), {entry.name for entry in cache.entries()} == set(before)


def test_the_same_recording_from_the_cache(project: Path) -> None:
    first, known = simulate(project)
    assert not known
    second, known = simulate(project)
    assert known
    assert first == second


@pytest.mark.parametrize(
    "file", ["stdp_window.snn", "adex_patterns.snn", "balanced.snn", "pcnn_segmentation.snn", "language_tour.snn"]
)
def test_examples_from_the_cache(file: str, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if file == "pcnn_segmentation.snn":
        pytest.importorskip("sklearn")
    monkeypatch.chdir(EXAMPLES)
    options = ("--duration", "20ms") if file in ("balanced.snn",) else ()
    first, _ = simulate(tmp_path, *options, file=file)
    second, known = simulate(tmp_path, *options, file=file)
    assert known
    assert first == second


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "main.snn").write_text(SIMPLE.replace("strength * 5 mV", "strength * 6 mV")),
        lambda folder: (folder / "cells.snn").write_text(CELL.replace("tau = 10 ms", "tau = 11 ms")),
    ],
    ids=["the text", "an imported file"],
)
def test_a_change_is_seen(project: Path, change: Callable[[Path], object]) -> None:
    first, _ = simulate(project)
    times = [(path, path.stat()) for path in project.glob("*.snn")]
    change(project)
    for path, about in times:  # not told by its time
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    second, _ = simulate(project)
    assert first["cell.v"] != second["cell.v"]
    assert simulate(project) == (second, True)


def test_options_are_told_apart(project: Path) -> None:
    seen = []
    for options in (
        (),
        ("--set", "strength=4"),
        ("--dt", "0.2ms"),
        ("--seed", "4"),
        ("--precision", "float32"),
        ("--set", "N=6"),
    ):
        recording, known = simulate(project, *options)
        assert not known
        seen.append(recording["cell.v"])
    assert len(set(map(str, seen))) == len(seen)
    assert simulate(project, "--set", "strength=4")[1]


def test_a_file_of_data_that_changes_is_seen(project: Path) -> None:
    (project / "main.snn").write_text(SIMPLE.replace("uniform(0 mV, 9 mV)", 'load("start.npy") * 1 mV'))
    np.save(project / "start.npy", np.arange(5.0))
    first, _ = simulate(project)
    assert simulate(project) == (first, True)
    np.save(project / "start.npy", np.arange(5.0)[::-1])
    second, _ = simulate(project)
    assert first["cell.v"] != second["cell.v"]
    assert simulate(project) == (second, True)
    (project / "start.npy").unlink()
    assert snn(["run", "main.snn", "--quiet"]) == 1


def test_a_module_that_appears_before_a_folder_is_seen(project: Path) -> None:
    (project / "cells").mkdir()
    (project / "cells.snn").rename(project / "cells" / "cell.snn")
    first, _ = simulate(project)
    assert simulate(project) == (first, True)
    (project / "cells.snn").write_text(CELL.replace("tau = 10 ms", "tau = 11 ms"))
    second, _ = simulate(project)
    assert first["cell.v"] != second["cell.v"]
    (project / "cells.snn").unlink()
    (project / "cells" / "another.snn").write_text(CELL)
    assert snn(["run", "main.snn", "--quiet"]) == 1  # E126: two of that name


def test_the_same_text_elsewhere_is_another_experiment(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = simulate(project)
    other = tmp_path / "other"
    other.mkdir()
    (other / "main.snn").write_text(SIMPLE)
    (other / "cells.snn").write_text(CELL.replace("tau = 10 ms", "tau = 11 ms"))
    monkeypatch.chdir(other)
    second, known = simulate(other)
    assert not known
    assert first["cell.v"] != second["cell.v"]


READER = """\
from stdlib.neurons import SpikeSource
from .cells import Cell

network Net:
    population source[4]: SpikeSource
    population cell[4]: Cell(v = load("start.npy") * 1 mV)
    connect source -> cell.v: edges("edges.csv")

simulate Net:
    dt = 0.1 ms
    duration = 10 ms
    drive source from "spikes.npz"
    record cell.v every 1 ms
"""
KICKED = """\
neuron Cell:
    param tau = 10 ms
    port state v = 0 mV
    tau*dv/dt = -v
"""


def test_every_file_that_is_opened_is_known(project: Path) -> None:
    """The interpreter itself is asked which files of the project were opened."""
    (project / "main.snn").write_text(READER)
    (project / "cells.snn").write_text(KICKED)
    np.save(project / "start.npy", np.arange(4.0))
    (project / "edges.csv").write_text("pre,post,w [mV]\n0,1,1.5\n2,3,2.5\n")
    np.savez(project / "spikes.npz", times=np.array([1.0, 2.0]), indices=np.array([0, 2]))
    code = (
        "import os, sys; seen = set(); "
        f"inside = lambda name: isinstance(name, str) and os.path.abspath(name).startswith({str(project) + os.sep!r}); "
        "sys.addaudithook(lambda event, given: event == 'open' and inside(given[0]) and seen.add(os.path.abspath(given[0]))); "
        "from snnlang.cli.program import run; code = run(['run', 'main.snn', '--quiet', '--target', 'numpy']); "
        "print(code, *sorted(seen))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)
    answer, *opened = done.stdout.split()
    assert answer == "0", done.stderr
    assert {Path(name).name for name in opened} == {"main.snn", "cells.snn", "start.npy", "edges.csv", "spikes.npz"}
    headers = [prepared._open(entry.path.read_bytes()) for entry in cache.entries()]
    known = [found[0]["files"] for found in headers if found is not None and found[0]]
    assert len(known) == 1
    assert {*opened} - {str(project / "main.snn")} <= {*known[0]}


def test_a_working_directory_that_is_gone(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert snn(["run", str(project / "main.snn"), "--quiet", "--target", "numpy"]) == 0


def test_warnings_are_said_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "main.snn").write_text(SIMPLE.replace("import Cell", "import Cell\nfrom stdlib.neurons import LIF"))
    said = []
    for _ in range(2):
        simulate(project)
        said.append(capsys.readouterr().err)
    assert "W101" in said[0]
    assert said[0] == said[1]


def test_mistakes_are_not_kept(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "main.snn").write_text(SIMPLE.replace("Cell(v", "Cel(v"))
    for _ in range(2):
        assert snn(["run", "main.snn"]) == 1
        assert "Cel" in capsys.readouterr().err
    assert cache.entries() == []


@pytest.mark.parametrize("spoil", ["empty", "cut", "bit", "foreign", "pickle"])
def test_a_damaged_entry_is_made_anew(project: Path, spoil: str) -> None:
    first, _ = simulate(project)
    for entry in cache.entries():
        data = entry.path.read_bytes()
        match spoil:
            case "empty":
                data = b""
            case "cut":
                data = data[: len(data) // 2]
            case "bit":
                data = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
            case "foreign":
                data = data.replace(b"snnlang prepared", b"another program!")
            case _:
                rest = b'{"files": {}, "memory": 0}\ncos\nnothing_of_this_name\n.'
                data = b"snnlang prepared\n" + hashlib.sha256(rest).digest() + rest
        entry.path.write_bytes(data)
    assert simulate(project)[0] == first
    assert simulate(project) == (first, True)


def test_less_memory_than_before_is_seen(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(project)
    for module in ("machine", "memory"):
        monkeypatch.setattr(f"snnlang.model.{module}.machine_memory", lambda: 10.0)
    assert snn(["run", "main.snn", "--quiet"]) == 1
    assert "E537" in capsys.readouterr().err


def test_what_is_too_large_is_not_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "LARGEST", 100)
    first, _ = simulate(project)
    assert cache.entries() == []
    assert simulate(project)[0] == first


def test_another_snnlang_is_told_apart(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = simulate(project)
    monkeypatch.setattr(prepared, "package", lambda: "another")
    second, known = simulate(project)
    assert not known
    assert first == second


def test_the_package_is_told_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.py").write_text("1")
    (tmp_path / "inner" / "note.txt").write_text("1")
    before = prepared._files(str(tmp_path))
    (tmp_path / "inner" / "note.txt").write_text("22")
    assert prepared._files(str(tmp_path)) == before
    (tmp_path / "inner" / "a.py").write_text("22")
    assert prepared._files(str(tmp_path)) != before


def command(folder: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "snnlang", "run", "main.snn", "--quiet", "--target", "numpy", *options]
    return subprocess.Popen(arguments, cwd=folder, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)


def test_processes_that_race(project: Path, place: Path) -> None:
    running = [command(project, "--out", f"race{number}.npz") for number in range(3)]
    assert [(process.wait(timeout=60), process.communicate()[1]) for process in running] == [(0, "")] * 3
    first, *others = (made(project / f"race{number}.npz") for number in range(3))
    assert all(other == first for other in others)
    assert not [path for path in place.rglob("*") if "partial" in path.name]


@pytest.mark.parametrize("unwritable", ["/dev/null/no", "/proc/self"])
def test_without_a_cache_everything_works(project: Path, unwritable: str) -> None:
    first, _ = simulate(project)
    process = command(project, "--out", "without.npz", SNN_CACHE_DIR=unwritable)
    assert (process.wait(timeout=60), process.communicate()[1]) == (0, "")
    assert made(project / "without.npz") == first
