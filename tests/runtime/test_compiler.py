"""The C compiler: found or missed, broken, fooled, without room; and the cache of what it made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import snnlang
from snnlang import cache
from snnlang.diagnostics import SnnError
from snnlang.runtime import compiler
from tests.targets import needs_compiler

MODEL = """
neuron Cell:
    state v = 0 mV
    tau*dv/dt = 30 mV - v
    param tau = 20 ms
    spike when v >= 10 mV
    on spike:
        v = 0 mV

network Net:
    population cell[5]: Cell

simulate Net:
    duration = 20 ms
    record cell.spikes, cell.v
"""
TEXT = "double half(double x) { return x/2; }\n"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, nothing loaded, no compiler named."""
    monkeypatch.setenv("SNN_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("SNN_CC", "CC", "SNN_CFLAGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(compiler, "_loaded", {})


def run(target: str = "c", **options: object) -> snnlang.Recording:
    return snnlang.load(MODEL).run(target=target, progress=False, **options)  # type: ignore[arg-type]


def codes(problem: pytest.ExceptionInfo[SnnError]) -> list[str]:
    return [diagnostic.code for diagnostic in problem.value.diagnostics]


def script(tmp_path: Path, name: str, body: str) -> str:
    """A program that may be named as a compiler."""
    place = tmp_path / name
    place.write_text(f"#!/bin/sh\n{body}\n")
    place.chmod(0o755)
    return str(place)


def libraries() -> list[Path]:
    return [entry.path for entry in cache.entries() if entry.name.endswith(compiler.SUFFIX)]


# --- which compiler ---------------------------------------------------------------------------------------------------


def test_without_a_compiler_c_is_refused_and_auto_takes_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(compiler, "_of_package", lambda: None)
    with pytest.raises(SnnError) as problem:
        run("c")
    assert codes(problem) == ["E733"]
    assert "pip install snnlang[cc]" in str(problem.value)
    recording = run("auto")
    assert recording.made.target == "numpy"
    assert [warning.code for warning in recording.warnings] == ["W733"]
    assert "\n" not in str(recording.warnings[0])


def test_a_named_compiler_is_taken_or_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CC", str(tmp_path / "nothing"))
    with pytest.raises(SnnError, match="SNN_CC names the C compiler"):
        run("c")
    assert run("auto").made.target == "numpy"
    monkeypatch.setenv("SNN_CC", script(tmp_path, "my-clang", "exec cc"))
    found = compiler.find()
    assert found is not None
    assert found.family == "clang"


def test_the_order_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("clang", "gcc", "special"):
        script(tmp_path, name, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiler.require().name.endswith("/gcc")
    monkeypatch.setenv("CC", "special -m64")
    assert compiler.require().command == (str(tmp_path / "special"), "-m64")
    monkeypatch.setenv("CC", "absent")
    assert compiler.require().name.endswith("/gcc")
    monkeypatch.setenv("SNN_CC", "clang")
    assert compiler.require().family == "clang"


def test_the_package_of_the_wheel_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "ziglang"
    package.mkdir()
    (package / "__init__.py").write_text("")
    script(package, "zig.exe" if sys.platform == "win32" else "zig", "exit 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    found = compiler.require()
    assert found.family == "zig"
    assert found.command[1] == "cc"
    assert "-fno-sanitize=undefined" in compiler.flags(found)


def test_batches_are_compiled_with_what_they_gain_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By GCC alone, and no model."""
    for name, batches in (("gcc", compiler.BATCHES), ("clang", (compiler.MOST,))):
        monkeypatch.setenv("SNN_CC", script(tmp_path, name, "exit 0"))
        found = compiler.require()
        given = compiler._flags_of(found, "#define SNN_FUSED 1\nint batches;", "fast")
        assert given[1 : 1 + len(batches)] == batches
        counted = compiler._flags_of(found, "#define SNN_ADDRESSES 1\nint batches;", "fast")
        assert "-fno-ivopts" not in counted
        assert compiler._flags_of(found, "#if SNN_HALF != 1\n#endif\n", "fast")[1] == compiler.MOST


def test_zig_started_by_python_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CC", f"{sys.executable} -m ziglang cc")
    found = compiler.require()
    assert (found.family, found.command) == ("zig", (sys.executable, "-m", "ziglang", "cc"))


@needs_compiler
def test_a_model_is_compiled_in_two_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop over time with all effort, the rest with less, both at once, then joined."""
    real, log = compiler.require().name, tmp_path / "log"
    monkeypatch.setenv("SNN_CC", script(tmp_path, "gcc", f'echo "$*" >> {log}\nexec {real} "$@"'))
    assert run("c").made.target == "c"
    *halves, joined = log.read_text().splitlines()
    assert sorted(line[line.index("-DSNN_HALF=") + 11] for line in halves) == ["1", "2"]
    assert all(("-O2" in line) == ("-DSNN_HALF=1" in line) and "-c" in line.split() for line in halves)
    assert "loop.o rest.o" in joined
    assert "-shared" in joined


def test_strict_rounds_as_written(tmp_path: Path) -> None:
    made = compiler.Compiler(("gcc",), "gcc", "")
    assert "-ffp-contract=off" in compiler.flags(made, "strict", fused=True)
    assert "-fno-trapping-math" not in compiler.flags(made, "strict")


# --- compilers that fail ----------------------------------------------------------------------------------------------


def test_a_compiler_that_compiles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CC", script(tmp_path, "broken", "echo 'error: no headers here' >&2; exit 1"))
    with pytest.raises(SnnError) as problem:
        run("c")
    assert codes(problem) == ["E734"]
    assert "no headers here" in str(problem.value)
    recording = run("auto")
    assert recording.made.target == "numpy"
    assert [warning.code for warning in recording.warnings] == ["W733"]


def test_a_program_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "noise"
    place.write_bytes(b"\x00\x01\x02")
    place.chmod(0o755)
    monkeypatch.setenv("SNN_CC", str(place))
    with pytest.raises(SnnError) as problem:
        run("c")
    assert codes(problem) == ["E734"]


@needs_compiler
def test_a_flag_of_the_user_that_the_compiler_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CFLAGS", "-DNOTHING --bogus")
    for _ in range(2):  # nothing is kept that would let it pass the second time
        with pytest.raises(SnnError) as problem:
            run("c")
        assert codes(problem) == ["E734"]
        assert "does not know --bogus" in str(problem.value)
    monkeypatch.setenv("SNN_CFLAGS", "-DNOTHING")
    assert run("c").made.target == "c"


@needs_compiler
def test_our_mistake_keeps_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SnnError) as problem:
        compiler.library("this is no C;\n", name="net")
    assert codes(problem) == ["E735"]
    assert "mistake in snnlang" in str(problem.value)
    (folder,) = tmp_path.glob("snnlang-refused-*")
    assert (folder / "model.c").read_text() == "this is no C;\n"
    assert "error" in (folder / "compiler.txt").read_text()
    assert str(folder / "model.c") in str(problem.value)
    assert libraries() == []


@needs_compiler
@pytest.mark.parametrize("declared", ["", "double nowhere(double x);\n"])
def test_a_function_that_is_nowhere_is_our_mistake(
    declared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SnnError) as problem:
        compiler.library(declared + "double twice(double x) { return nowhere(x); }\n")
    assert codes(problem) == ["E735"]
    assert "nowhere" in str(problem.value)


@needs_compiler
def test_flags_that_a_compiler_refuses_are_left_out_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, log = compiler.require().name, tmp_path / "log"
    old = script(
        tmp_path,
        "old-gcc",
        f'echo "$*" >> {log}\nfor word; do case $word in -mprefer*|-march*|-fopenmp*) '
        f'echo "error: unrecognized option $word" >&2; exit 1;; esac; done\nexec {real} "$@"',
    )
    monkeypatch.setenv("SNN_CC", old)
    assert compiler.library(TEXT).handle.half is not None
    assert len(log.read_text().splitlines()) > 2
    log.write_text("")
    assert not compiler.library("double third(double x) { return x/3; }\n").cached
    (line,) = log.read_text().splitlines()
    assert "-march" not in line


# --- places -----------------------------------------------------------------------------------------------------------


@needs_compiler
def test_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = run("c")
    monkeypatch.setattr(compiler, "_loaded", {})
    monkeypatch.setattr(compiler, "_made", None)  # compiling again would call it
    second = run("c", set={}, duration="10 ms")
    assert first.made.target == second.made.target == "c"
    assert len(libraries()) == 1


@needs_compiler
@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "no sum"])
def test_a_damaged_library_is_built_again(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler.library(TEXT)
    (place,) = libraries()
    whole = place.read_bytes()
    if damage == "no sum":
        for entry in cache.entries():
            if entry.name.endswith(".sum"):
                entry.path.write_bytes(b"\xff" * 64)
    else:
        damaged = {"cut": whole[: len(whole) // 2], "changed": whole[:-9] + b"?" + whole[-8:], "empty": b""}[damage]
        place.unlink()  # the one that is loaded stays as it is
        place.write_bytes(damaged)
    monkeypatch.setattr(compiler, "_loaded", {})
    assert not compiler.is_cached(TEXT)
    assert not compiler.library(TEXT).cached
    assert [found.read_bytes() for found in libraries()].count(whole) <= 1
    assert compiler.is_cached(TEXT)


@needs_compiler
def test_without_a_cache_it_is_built_in_a_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("SNN_CACHE_DIR", str(blocked))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert run("c").made.target == "c"
    assert list(temporary.iterdir()) == []


@needs_compiler
def test_without_a_temporary_folder_it_is_built_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    assert run("c").made.target == "c"
    assert all(entry.path.is_file() for entry in cache.entries())


@needs_compiler
def test_nowhere_to_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SNN_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(SnnError) as problem:
        compiler.library(TEXT)
    assert codes(problem) == ["E736"]


@needs_compiler
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = script(tmp_path, "gcc", "echo 'as: final close failed: No space left on device' >&2; exit 1")
    monkeypatch.setenv("SNN_CC", full)
    with pytest.raises(SnnError) as problem:
        compiler.library(TEXT)
    assert codes(problem) == ["E736"]
    assert "no space left" in str(problem.value)


@needs_compiler
def test_two_processes_at_once(tmp_path: Path) -> None:
    program = f"import snnlang; print(len(snnlang.load({MODEL!r}).run(target='c', progress=False)['cell.spikes']))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) for _ in range(2)
    ]
    printed = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert printed[0] == printed[1] != b""
    assert {entry.name.partition(".")[2] for entry in cache.entries() if entry.kind == "native"} == {"sum", "so"}
