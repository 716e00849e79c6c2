"""``snn verify`` of a ``train`` block: targets that agree are said to, and whatever one of them does differently is found."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.cli.program import run as command_line
from snnlang.data.fetch import SYSTEM_FOLDERS
from snnlang.diagnostics import SnnError
from snnlang.runtime import agreement_training, cuda_shim
from snnlang.runtime.blas import can_be_told
from snnlang.runtime.compiler import find
from snnlang.runtime.learner import Learner
from tests.targets import needs_compiler

from .networks import NEURONS

TEXT = f"""{NEURONS}
network Net:
    input image[8, 8]
    image -> dense(12, bias = true), w = uniform(0, 0.1) -> h: Unit
          -> dense(10) -> out: Readout
{{line}}

train Net:
    data = digits()
    steps = 4
    loss = cross_entropy(mean(out.v), label)
    optimizer = adam(lr = 1e-2)
    batch = 8
"""
PLAIN = TEXT.format(line="")
RECURRENT = TEXT.format(line="    connect h -> h.x: dense(autapses = false), delay = 2")
EXAMPLES = sorted(p for p in (Path(__file__).parents[2] / "examples").glob("*.snn") if "\ntrain " in p.read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", [PLAIN, RECURRENT], ids=["layers", "recurrent"])
def test_targets_of_this_machine_agree(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CUDA", "shim")
    report = snnlang.load(text).verify()
    assert report.agrees, str(report)
    assert report.forward is not None
    assert report.forward.reference == "interpreter"
    native = ["c", "c, 3 threads"] if find() is not None else []
    cuda = ["cuda"] if cuda_shim.compiler() is not None else []
    assert [c.label for c in report.forward.comparisons] == ["numpy", *native[:1], *cuda]
    assert [c.label for c in report.comparisons] == [*native, *cuda]
    events = report.forward.comparisons[0].events
    assert [e.name for e in events] == ["h.spikes"]
    assert events[0].reference > 10
    named = {v.name for v in report.comparisons[0].variables}
    assert {"loss", "gradient of h.beta", "h.beta", "gradient of image->h.x.w", "image->h.x.bias"} <= named


@needs_compiler
def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    true = Learner.learn

    def wrong(self: Learner, x: Any, columns: Any) -> Any:
        outcome = true(self, x, columns)
        if self.target == "c":
            self.gradients[3] += 1e-6
        return outcome

    monkeypatch.setattr(Learner, "learn", wrong)
    report = snnlang.load(PLAIN).verify(targets=["numpy", "c"], threads=1)
    assert not report.agrees
    assert "differs from step 0 on: gradient of image->h.x.w by" in str(report)


def test_a_spike_too_much_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    true = agreement_training._forward

    def wrong(*given: Any) -> Any:
        shown = true(*given)
        spikes = shown.values["h.spikes"]
        step, sample, index = np.argwhere(spikes == 0)[0]
        spikes[step, sample, index] = 1
        return shown

    monkeypatch.setattr(agreement_training, "_forward", wrong)
    report = snnlang.load(PLAIN).verify(targets=["interpreter", "numpy"])
    assert not report.agrees
    assert "is in numpy and not in interpreter" in str(report)


def test_a_state_that_drifts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    true = agreement_training._forward

    def wrong(*given: Any) -> Any:
        shown = true(*given)
        shown.values["out.v"][2] += 1e-7
        return shown

    monkeypatch.setattr(agreement_training, "_forward", wrong)
    report = snnlang.load(PLAIN).verify(targets=["interpreter", "numpy"])
    assert not report.agrees
    assert "differs from step 2 on: out.v" in str(report)


def test_what_the_interpreter_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement_training, "PATIENCE", 1e-9)
    report = snnlang.load(PLAIN).verify(targets=None)
    assert report.agrees
    assert report.forward is None
    assert "interpreter: skipped, a sample would take it about 0 s" in str(report)


def test_data_of_another_name_are_refused() -> None:
    with pytest.raises(SnnError, match="this training takes no data called `scenes`"):
        snnlang.load(PLAIN).verify(data={"scenes": (np.zeros((4, 8, 8)), np.zeros(4))})


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.snn"
    path.write_text(PLAIN, encoding="utf-8")
    assert command_line(["verify", str(path), "--targets", "interpreter,numpy", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["agrees"]
    assert told["forward"]["targets"][0]["events"][0]["equal"]
    assert command_line(["verify", str(path), "--targets", "interpreter"]) == 1
    assert "no target that trains is left to compare" in capsys.readouterr().err


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_examples(path: Path) -> None:
    """Nothing is fetched for a test: examples of Fashion-MNIST take part where it is installed."""
    if path.stem == "fashion_saccades":
        pytest.skip("seventy thousand pictures would become events first, which takes minutes")
    places = [*SYSTEM_FOLDERS, *filter(None, [os.environ.get("SNNLANG_DATA")])]
    if "fashion" in path.stem and not any((Path(place) / "fashion-mnist").is_dir() for place in places):
        pytest.skip("Fashion-MNIST is not installed")
    draws = np.random.default_rng(4)
    scenes = draws.random((20, 32, 32)), (draws.random((20, 32, 32)) > 0.8).astype(float)  # what one of them gets from Python
    model = snnlang.load(path)
    name = next(name for name in model.experiments if name not in model.simulations)
    report = model.verify(name, data={"scenes": scenes} if path.stem == "ccnn_segmentation" else None)
    assert report.agrees, str(report)


@pytest.mark.skipif(find() is None or not can_be_told(), reason="no C compiler, or no threadpoolctl")
def test_no_bit_depends_on_threads() -> None:
    """Layers large enough that the rows of their products are shared out."""
    text = TEXT.format(line="    connect h -> h.x: dense(autapses = false)").replace("dense(12", "dense(300")
    draws = np.random.default_rng(3)
    x, y = draws.random((256, 8, 8)), draws.integers(0, 10, 256)
    loss, gradients = snnlang.load(text).network(target="c", threads=1).grad(x, y)
    for threads in (2, 3, 5):
        again, others = snnlang.load(text).network(target="c", threads=threads).grad(x, y)
        assert again == loss
        for name, value in gradients.items():
            np.testing.assert_array_equal(others[name], value, err_msg=f"{name}, {threads} threads")
