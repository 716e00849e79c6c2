"""Targets on the command line: what is chosen and said, threads and rounding, the cache, the printed C."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snnlang.runtime import compiler
from tests.cli.conftest import Snn
from tests.targets import needs_compiler


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("SNN_CC", "CC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(compiler, "_loaded", {})


@needs_compiler
def test_auto_is_c(snn: Snn, good: Path) -> None:
    done = snn("run", str(good), "--json")
    assert done.code == 0
    assert json.loads(done.out)["target"] == "c"
    assert done.err == ""


def test_auto_says_that_numpy_runs_it(snn: Snn, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CC", "no-such-compiler")
    done = snn("run", str(good), "--json")
    assert done.code == 0
    assert json.loads(done.out)["target"] == "numpy"
    (line,) = done.err.strip().splitlines()
    assert line.startswith("warning[W733]: NumPy runs this, more slowly than C: SNN_CC names the C compiler")
    refused = snn("run", str(good), "--target", "c")
    assert refused.code == 1
    assert "error[E733]" in refused.err


def test_a_broken_compiler(snn: Snn, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "cc"
    place.write_text("#!/bin/sh\nexit 1\n")
    place.chmod(0o755)
    monkeypatch.setenv("SNN_CC", str(place))
    refused = snn("run", str(good), "--target", "c")
    assert refused.code == 1
    assert "error[E734]" in refused.err
    done = snn("run", str(good))
    assert done.code == 0
    assert done.err.count("warning[W733]") == 1


@needs_compiler
def test_a_compiler_error_is_our_mistake(snn: Snn, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "cc"
    real = compiler.require().name
    place.write_text(
        f'#!/bin/sh\ncase "$*" in *model.c*) echo "model.c:1: error: strange"; exit 1;; esac\nexec {real} "$@"\n'
    )
    place.chmod(0o755)
    monkeypatch.setenv("SNN_CC", str(place))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for target in ("c", "auto"):
        refused = snn("run", str(good), "--target", target)
        assert refused.code == 1
        assert "error[E735]" in refused.err
        assert "please report it" in refused.err
    assert len(list(tmp_path.glob("snnlang-refused-*/model.c"))) == 2


@needs_compiler
def test_threads_and_rounding(snn: Snn, good: Path) -> None:
    counts = []
    for options in ((), ("--threads", "2"), ("--math", "strict"), ("--set", "threads=2"), ("--precision", "float32")):
        done = snn("run", str(good), "--json", "--target", "c", *options)
        assert done.code == 0, done.err
        counts.append(json.loads(done.out)["events"])
    assert all(count == counts[0] for count in counts)
    assert snn("run", str(good), "--threads", "0").code == 2
    assert snn("run", str(good), "--math", "wild").code == 2


@needs_compiler
def test_threads_and_rounding_in_the_text(snn: Snn, good: Path, tmp_path: Path) -> None:
    text = good.read_text().replace(
        "    dt = 0.1 ms\n", '    dt = 0.1 ms\n    threads = 2\n    math = "strict"\n    target = "c"\n', 1
    )
    good.write_text(text)
    done = snn("explain", str(good))
    assert "2 threads (asked for)" in done.out
    assert "strict: the functions of the C library" in done.out
    good.write_text(text.replace('"strict"', '"wild"'))
    assert "error[E603]" in snn("check", str(good)).err + snn("check", str(good)).out


@needs_compiler
def test_explain_says_what_this_machine_does(snn: Snn, good: Path) -> None:
    fresh = snn("explain", str(good)).out
    assert "target c (target auto: there is a C compiler), compiled when it first runs" in fresh
    assert compiler.require().name in fresh
    assert snn("run", str(good), "--quiet").code == 0
    assert "target c (target auto: there is a C compiler), in the cache" in snn("explain", str(good)).out
    assert snn("explain", str(good), "--target", "numpy").out.endswith("This machine\n  target numpy\n")


def test_explain_without_a_compiler(snn: Snn, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CC", "no-such-compiler")
    assert "target numpy (target auto: there is no such program)" in snn("explain", str(good)).out
    assert "target c cannot run here" in snn("explain", str(good), "--target", "c").out


@needs_compiler
def test_the_cache_is_listed_and_cleared(snn: Snn, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert snn("cache", "path").out.strip() == str(folder)
    assert snn("run", str(good), "--quiet").code == 0
    listed = snn("cache")
    assert listed.code == 0
    assert listed.out.startswith(f"{folder}: ")
    assert "native: compiled models, 2 files" in listed.out
    assert "used " in listed.out
    assert snn("cache", "list").out.splitlines()[0] == listed.out.splitlines()[0]
    cleared = snn("cache", "clear")
    assert cleared.out.startswith("removed ")
    assert snn("cache").out.startswith(f"{folder}: 0 files")
    assert list(folder.rglob("*.so")) == []


def test_no_cache_at_all(snn: Snn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SNN_CACHE_DIR", str(tmp_path / "file"))
    assert snn("cache").code == 0
    assert "nothing is kept" in snn("cache").err
    assert snn("cache", "path").code == 1
    assert snn("cache", "clear").out == "removed 0 files, 0 B\n"


def test_the_printed_c(snn: Snn, good: Path) -> None:
    text = snn("show", str(good), "--stage", "c").out
    assert "snn_run(" in text
    assert "cell_v" in text
