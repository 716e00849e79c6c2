"""``snn run``, ``show``, ``explain`` and ``compile`` on a small file."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from .conftest import GOOD, Snn, leftovers

# the cell of GOOD charges towards 30 mV and fires at 10 mV: interval tau*log(30/20), four cells alike
INTERVAL = 20 * math.log(30 / 20)


def test_run_prints_a_summary(snn: Snn, good: Path) -> None:
    outcome = snn("run", str(good), "short")
    assert outcome.code == 0, outcome.err
    assert "cell" in outcome.out
    assert outcome.err == ""


def test_quiet_prints_nothing(snn: Snn, good: Path) -> None:
    outcome = snn("run", str(good), "short", "--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_json_is_one_object(snn: Snn, good: Path) -> None:
    outcome = snn("run", str(good), "short", "--json")
    assert outcome.code == 0, outcome.err
    assert isinstance(json.loads(outcome.out), dict)


def test_output_file_holds_the_spikes(snn: Snn, good: Path, tmp_path: Path) -> None:
    outcome = snn("run", str(good), "short", "--out", "result.npz", "--quiet")
    assert outcome.code == 0, outcome.err
    with np.load(tmp_path / "result.npz") as data:
        names = list(data.files)
        times = next(data[name] for name in names if "cell.spikes" in name and "t" in name.rsplit(".", 1)[-1])
        assert len(times) == 4 * int(50 / INTERVAL)
        assert min(times) == pytest.approx(INTERVAL, abs=0.2)
    assert leftovers(tmp_path) == []


def test_settings_override_the_file(snn: Snn, good: Path) -> None:
    def spikes(*arguments: str) -> int:
        outcome = snn("run", str(good), "short", "--out", "r.npz", "--quiet", *arguments)
        assert outcome.code == 0, outcome.err
        with np.load("r.npz") as data:
            return len(next(data[name] for name in data.files if "cell.spikes" in name))

    base = spikes()
    assert spikes("--duration", "100 ms") > base
    assert spikes("--duration", "0.1s") > base
    assert spikes("--set", "N=8") == 2 * base
    assert spikes("--set", "strength = 5 mV") == 0
    assert spikes("--dt", "0.05ms") == base
    assert spikes("--precision", "float32") == base
    assert spikes("--method", "euler", "--seed", "3", "--target", "numpy") == base


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--set", "M=8"), "M"),
        (("--set", "strength=8"), "strength"),
        (("--set", "strength=5 ms"), "strength"),
        (("--set", "strength"), "E803"),
        (("--set", "9=1"), "E803"),
        (("--dt", "0.1 mV"), "dt"),
        (("--dt", "fast"), "fast"),
        (("--dt", "0.1 ms +"), "--dt"),
        (("--duration", "-1 s"), "duration"),
        (("--dt", "0 ms"), "dt"),
        (("--plot", "picture.xyz"), "E803"),
        (("--plot", "none/picture.png"), "E801"),
        (("--out", "none/result.npz"), "E801"),
        (("--out", "result.txt"), "E803"),
        (("nothing",), "nothing"),
        (("--set", "N=1_000_000_000_000"), "error["),
    ],
)
def test_wrong_options_are_diagnostics(snn: Snn, good: Path, arguments: tuple[str, ...], expected: str) -> None:
    name = () if arguments == ("nothing",) else ("short",)
    outcome = snn("run", str(good), *name, *arguments)
    assert outcome.code == 1, outcome.out
    assert "error[" in outcome.err
    assert expected in outcome.err


def test_a_misspelt_experiment_names_the_nearest(snn: Snn, good: Path) -> None:
    outcome = snn("run", str(good), "shrot")
    assert outcome.code == 1
    assert "short" in outcome.err


def test_a_missing_file_and_a_wrong_one(snn: Snn, wrong: Path) -> None:
    assert snn("run", "none.snn").code == 1
    outcome = snn("run", str(wrong))
    assert outcome.code == 1
    assert "drve" in outcome.err


def test_a_sweep_runs_every_point(snn: Snn, good: Path, tmp_path: Path) -> None:
    text = good.read_text(encoding="utf-8").replace(
        "    plot raster(cell)", "    sweep strength in [5 mV, 30 mV]\n    sweep N in [1, 3]"
    )
    good.write_text(text, encoding="utf-8")
    outcome = snn("run", str(good), "short", "--json", "--out", "sweep.npz")
    assert outcome.code == 0, outcome.err
    points = json.loads(outcome.out)["sweep"]
    assert [point["events"][0]["count"] for point in points] == [0, 0, 6, 18]
    assert (tmp_path / "sweep.npz").exists()
    # a value given on the command line takes the place of its sweep
    outcome = snn("run", str(good), "short", "--json", "--set", "N=2")
    assert [point["events"][0]["count"] for point in json.loads(outcome.out)["sweep"]] == [0, 12]


def test_warnings_do_not_stop_a_run(snn: Snn, good: Path) -> None:
    text = good.read_text(encoding="utf-8").replace("    param tau", "    param unused = 1\n    param tau")
    good.write_text(text, encoding="utf-8")
    checked = snn("check", str(good))
    assert checked.code == 0
    assert "1 warning" in checked.out
    outcome = snn("run", str(good), "short")
    assert outcome.code == 0
    assert outcome.err.count("warning[") == 1


def test_a_picture(snn: Snn, good: Path, tmp_path: Path) -> None:
    outcome = snn("run", str(good), "short", "--plot", "raster.png")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "raster.png").read_bytes().startswith(b"\x89PNG")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("stage", ["tree", "model", "system", "step", "plan", "numpy"])
def test_every_stage_prints(snn: Snn, good: Path, stage: str) -> None:
    outcome = snn("show", str(good), "short", "--stage", stage)
    assert outcome.code == 0, outcome.err
    assert "v" in outcome.out
    if stage == "numpy":
        compile(outcome.out, "generated.py", "exec")


def test_latex(snn: Snn, good: Path) -> None:
    outcome = snn("show", str(good), "short", "--latex")
    assert outcome.code == 0, outcome.err
    assert r"\frac" in outcome.out
    assert r"\tau" in outcome.out
    step = snn("show", str(good), "short", "--latex", "--stage", "step")
    assert step.code == 0, step.err
    assert r"\leftarrow" in step.out
    assert r"\exp" in step.out or "e^" in step.out


def test_show_one_model(snn: Snn, good: Path) -> None:
    assert snn("show", str(good), "short", "--model", "Cell").code == 0
    outcome = snn("show", str(good), "short", "--model", "Cel")
    assert outcome.code == 1
    assert "Cell" in outcome.err
    assert snn("show", str(good), "--stage", "tree", "--model", "Cel").code == 1


def test_explain_a_file(snn: Snn, good: Path) -> None:
    outcome = snn("explain", str(good), "short")
    assert outcome.code == 0, outcome.err
    assert "cell" in outcome.out
    assert "exact" in outcome.out


def test_explain_a_code(snn: Snn) -> None:
    outcome = snn("explain", "e801")
    assert outcome.code == 0
    assert outcome.out.startswith("# E801: ")
    assert snn("explain", "E000").code == 1


def test_compiled_module_runs_without_snnlang(snn: Snn, good: Path, tmp_path: Path) -> None:
    outcome = snn("compile", str(good), "short", "--target", "numpy", "-o", "generated")
    assert outcome.code == 0, outcome.err
    modules = sorted((tmp_path / "generated").glob("*.py"))
    assert [str(path.relative_to(tmp_path)) for path in modules] == sorted(outcome.out.split())
    # a fresh interpreter that refuses to import snnlang
    code = f"import sys, runpy; sys.modules['snnlang'] = None; runpy.run_path({str(modules[0])!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert leftovers(tmp_path) == []


def test_compile_into_a_file_is_refused(snn: Snn, good: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    outcome = snn("compile", str(good), "short", "-o", "taken")
    assert outcome.code == 1
    assert "E801" in outcome.err


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_keeps_what_was_recorded(good: Path, tmp_path: Path) -> None:
    # a job in the background of a shell inherits that Ctrl-C is ignored: take the usual answer back
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import snnlang.cli as c; c.main()"
    arguments = ["run", str(good), "short", "--duration", "1000 s", "--out", "kept.npz", "--target", "numpy"]
    command = [sys.executable, "-c", start, *arguments]
    out = err = ""
    for patience in (3, 9, 27):  # a busy machine may still be starting when the signal comes: then wait longer
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(patience)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 130, out + err
        assert "Traceback" not in err
        if "stopped at t =" in err:
            break
    assert "stopped at t =" in err
    with np.load(tmp_path / "kept.npz") as data:
        assert data.files
    assert leftovers(tmp_path) == []


def test_no_import_of_a_plotting_library_without_a_picture(good: Path) -> None:
    code = (
        "import sys; from snnlang.cli.program import run; "
        f"code = run(['run', {str(good)!r}, 'short', '--quiet']); print(code, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "0 False", done.stdout + done.stderr


def test_the_file_of_these_tests_is_good(good: Path) -> None:
    assert good.read_text(encoding="utf-8") == GOOD
