"""What a person sees of a training, and what stays when it is stopped: Ctrl-C, a full disk, a terminal, losses that are no numbers."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from snnlang.diagnostics import SnnError
from snnlang.runtime import checkpoint, training

from .networks import network, text
from .test_trainer import DIGITS, LINES, SCORES, classes, code

pytest.importorskip("safetensors")
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "140", "PYTHONPATH": str(ROOT)}


def digits(folder: Path, epochs: int) -> Path:
    """A file that trains on digits, on the target that is everywhere."""
    pytest.importorskip("sklearn")
    place = folder / "digits.snn"
    lines = DIGITS.replace("epochs = 8", f"epochs = {epochs}").replace("h[100]", "h[24]")
    place.write_text(lines.replace("    steps =", "    target = numpy\n    threads = 1\n    steps ="))
    return place


def snn(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "snnlang", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, **options)


# --- stopped ----------------------------------------------------------------------------------------------------------


def test_ctrl_c_saves_and_resume_gives_the_same_bits(tmp_path: Path) -> None:
    file = digits(tmp_path, 3)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    first = snn("run", str(file), "--out", str(whole))
    process = snn("run", str(file), "--out", str(cut))
    assert process.stdout is not None
    assert b"epoch 1/3" in process.stdout.readline()
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert b"stopped in epoch 2; go on with --resume" in errors
    assert b"Traceback" not in errors + output
    state = checkpoint.load(cut / "last.safetensors").state
    assert (state["epoch"], state["batch"]) > (1, 0)
    again = snn("run", str(file), "--out", str(cut), "--resume")
    output, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors.decode()
    expected, _ = first.communicate(timeout=120)
    assert _plain(expected)[-2:] == _plain(output)[-2:]  # the last epoch and the test
    wanted, found = (checkpoint.load(place / "last.safetensors") for place in (whole, cut))
    assert all(np.array_equal(found.weights[name], value) for name, value in wanted.weights.items())
    assert all(np.array_equal(a, b) for a, b in zip(found.memory, wanted.memory))


def _plain(output: bytes) -> list[str]:
    """Lines without speeds and paths."""
    lines = [re.sub(r"[\d,]+ samples/s", "", line) for line in output.decode().splitlines()]
    return [line for line in lines if not line.startswith("saved")]


FULL = """
import resource, sys
sys.path.insert(0, {root!r})
from snnlang.cli.program import run
from snnlang.runtime import training
keep = training.Trainer._tell
def tell(self, epoch):
    keep(self, epoch)
    if epoch.number == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (900, resource.RLIM_INFINITY))
training.Trainer._tell = tell
sys.exit(run(["run", {file!r}, "--out", {out!r}]))
"""


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """Files may grow no more after the second epoch: one line says so, and both checkpoints are those of before."""
    file, out = digits(tmp_path, 5), tmp_path / "out"
    script = FULL.format(root=str(ROOT), file=str(file), out=str(out))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("error[E801]: cannot write")
    assert "File too large" in done.stderr
    assert "make room there" in done.stderr
    assert done.stderr.count("error") == 1
    assert checkpoint.load(out / "last.safetensors").state["epoch"] == 2
    assert not [path.name for path in out.iterdir() if ".tmp" in path.name]
    again = snn("run", str(file), "--out", str(out), "--resume")
    assert b"epoch 5/5" in again.communicate(timeout=120)[0]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    x, y = classes()
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "none" / "out", Path("/proc/out")):
        with pytest.raises(SnnError) as problem:
            network(text(LINES, loss=SCORES)).train(x, y, out=place)
        assert code(problem) == "E801"
    assert (tmp_path / "file").read_text() == "mine"


# --- what a person sees -----------------------------------------------------------------------------------------------


def on_a_terminal(columns: int, *words: str) -> tuple[str, str]:
    """What the command shows on a terminal, without colours, and what it writes to a file."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "snnlang", *words],
        stdout=subprocess.PIPE,
        stderr=slave,
        env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": str(columns)},
    )
    os.close(slave)
    seen = b""
    while select.select([master], [], [], 60)[0]:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other end was closed
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    output, _ = process.communicate(timeout=60)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode()), output.decode()


def test_a_narrow_terminal_shows_the_time_left(tmp_path: Path) -> None:
    """What does not fit is cut at its end; a training that goes on begins where it was, and ends at the whole."""
    pytest.importorskip("safetensors")
    shown, _ = on_a_terminal(80, "run", str(digits(tmp_path, 25)), "--out", str(tmp_path / "out"))
    assert re.search(r"training .*%.*\d:\d\d:\d\d left +epoch \d+/25 +loss \d\.\d+", shown), shown
    assert all(len(line) <= 80 for line in re.split(r"[\r\n]+", shown))
    shown, _ = on_a_terminal(80, "run", str(digits(tmp_path, 120)), "--out", str(tmp_path / "out"), "--resume")
    parts = [int(part) for part in re.findall(r" (\d+)% ", shown)]
    assert parts[0] < 60
    assert parts[-1] == 100


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    """A bar with the epoch, the loss, the accuracy, the speed and the time left; elsewhere lines alone."""
    file = digits(tmp_path, 25)
    shown, output = on_a_terminal(140, "run", str(file))
    assert re.search(
        r"training .*%.*\d:\d\d:\d\d left +epoch \d+/25 +loss \d\.\d+ +accuracy \d+\.\d % +[\d,]+ samples/s", shown
    ), shown
    assert re.search(r"samples/s  h 0\.\d\d", shown), shown
    lines = output.splitlines()
    assert len(lines) == 26
    for number, line in enumerate(lines[:25], 1):
        assert re.match(
            rf"epoch +{number}/25  loss \d\.\d{{4}}  accuracy \d+\.\d\d %  [\d,]+ samples/s  spikes per step h 0\.\d{{3}}",
            line,
        ), line
    assert re.match(r"test: loss \d\.\d{4}, accuracy \d+\.\d\d %", lines[25])
    quiet = snn("run", str(file), "--quiet").communicate(timeout=60)
    assert quiet == (b"", b"")


def test_dead_and_saturated_layers_are_said_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few batches, not only at the end of a long epoch."""
    monkeypatch.setattr(training, "EARLY", 2)
    x, y = classes()
    for lines, word in (
        (LINES.replace("h.x: dense(bias = true)", "h.x: dense, w = normal(0, 0.0001)"), "hardly fires"),
        (LINES.replace("h.x: dense(bias = true)", "h.x: dense, w = 40"), "fires nearly always"),
    ):
        said: list[str] = []
        history = network(text(lines, loss=SCORES)).train(x, y, epochs=1, say=said.append)
        assert [warning.code for warning in history.warnings] == ["W840"]
        assert word in said[0]
        assert "epoch 1" in said[1]


def test_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []

    class SummaryWriter:
        def __init__(self, place: str) -> None:
            self.place = place

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def flush(self) -> None: ...

    fake = ModuleType("tensorboardX")
    fake.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", fake)
    x, y = classes()
    history = network(text(LINES, loss=SCORES)).train(x, y, validation=0.25, out=tmp_path / "out", tensorboard=True)
    names = {"loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "firing/h"}
    assert {name for name, _, _ in written} == names
    assert [value for name, value, _ in written if name == "loss"] == [epoch.loss for epoch in history.epochs]
    assert sorted({step for _, _, step in written}) == [1, 2]
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(SnnError) as problem:
        network(text(LINES, loss=SCORES)).train(x, y, tensorboard=True)
    assert code(problem) == "E806"


def test_tensorboard_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    x, y = classes()
    network(text(LINES, loss=SCORES)).train(x, y, out=tmp_path / "out", tensorboard=True)
    assert [path for path in (tmp_path / "out").iterdir() if path.name.startswith("events.out.tfevents")]


# --- the best weights -------------------------------------------------------------------------------------------------


def test_the_test_is_of_the_best_weights(tmp_path: Path) -> None:
    """With and without a directory; the network itself goes on with the last ones."""
    x, y = classes(60)
    lines = text(LINES, loss=SCORES).replace("adam(lr = 0.01)", "adam(lr = 0.3)").replace("epochs = 2", "epochs = 8")
    results = []
    for out in (None, tmp_path / "out"):
        net = network(lines)
        history = net.train(x[:40], y[:40], validation=(x[40:50], y[40:50]), test=(x[50:], y[50:]), out=out)
        results.append((history.test_loss, history.best_epoch, [epoch.loss for epoch in history.epochs]))
    assert results[0] == results[1]
    assert history.best_epoch is not None
    assert history.best_epoch < 8, "this learning rate is too large for the last epoch to be the best"
    best = network(lines)
    best.load(tmp_path / "out" / "best.safetensors")
    assert best.evaluate(x[50:], y[50:])["loss"] == pytest.approx(history.test_loss)
    assert net.evaluate(x[50:], y[50:])["loss"] != pytest.approx(history.test_loss)


def test_the_best_weights_outlive_a_resume(tmp_path: Path) -> None:
    x, y = classes(60)
    lines = text(LINES, loss=SCORES).replace("adam(lr = 0.01)", "adam(lr = 0.3)")
    given: dict[str, Any] = {"validation": (x[40:50], y[40:50]), "test": (x[50:], y[50:])}
    whole = network(lines).train(x[:40], y[:40], epochs=8, out=tmp_path / "whole", **given)
    network(lines).train(x[:40], y[:40], epochs=7, out=tmp_path / "cut", **given)
    again = network(lines).train(x[:40], y[:40], epochs=8, out=tmp_path / "cut", resume=True, **given)
    assert (again.test_loss, again.best_epoch) == (whole.test_loss, whole.best_epoch)


# --- losses that are no numbers ---------------------------------------------------------------------------------------


def stopped(source: str, x: Any, y: Any, **options: Any) -> str:
    with pytest.raises(SnnError) as problem, np.errstate(all="ignore"):
        network(source).train(x, y, **options)
    assert code(problem) == "E755"
    return str(problem.value)


def test_where_a_loss_stops_being_a_number(tmp_path: Path) -> None:
    x, y = classes()
    targets = y[:, None] * np.ones(3)
    good = text(LINES, loss="mse(mean(out.v), label)")
    growing = good.replace("param beta = 0.8", "param beta = 1e200")
    message = stopped(growing, x, targets)
    assert re.search("the loss is (inf|nan) in epoch 1, batch 1: `out.v` is not finite from step [2-5] on", message), (
        message
    )
    logarithm = text(LINES, loss="mean(mean(log(out.v - out.v), over = neurons))")
    assert "what the loss makes of it is not" in stopped(logarithm, x, targets)
    root = text(LINES, loss="mean(mean(sqrt(out.v*0), over = neurons))")
    assert "the gradient of `" in stopped(root, x, targets)


def test_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    x, y = classes()
    source = text(LINES, loss="mse(mean(out.v), label)").replace("adam(lr = 0.01)", "sgd(lr = 0.01)")
    targets = y[:, None] * np.ones(3)
    network(source).train(x, targets, epochs=1, out=tmp_path / "out")
    before = (tmp_path / "out" / "last.safetensors").read_bytes()
    source = source.replace("sgd(lr = 0.01)", "sgd(lr = 1e200)")
    message = stopped(source, x, targets, epochs=3, out=tmp_path / "out", resume=True)
    assert "the last good weights are in" in message
    assert (tmp_path / "out" / "last.safetensors").read_bytes() == before
    assert "last good" not in stopped(source, x, targets, out=tmp_path / "other")


def test_metrics_are_plain(tmp_path: Path) -> None:
    x, y = classes()
    history = network(text(LINES, loss=SCORES)).train(x, y, out=tmp_path / "out")
    data = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert data == json.loads(json.dumps(history.data()))
    assert data["best_epoch"] in (1, 2)
