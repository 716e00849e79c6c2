"""What is told of a training is what the engine does: layers, folds, cycles, segments, what is kept, memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from snnlang.cli.program import run
from snnlang.compile import load_program
from snnlang.diagnostics import SnnError, Source
from snnlang.model.elaborate import Overrides
from snnlang.runtime.compiler import find
from snnlang.runtime.training_text import explain_training, pass_text
from tests.targets import TARGETS

from .networks import network, text

LINES = """
population c[3, 4, 4]: Unit
population h[5]: Unit
population g[5]: Unit
population out[3]: Readout
connect image -> c.x: conv2d(3, kernel = 3, padding = 1)
connect c -> h.x: dense(bias = true)
connect h -> g.x: dense
connect g -> h.x: dense, delay = 1
connect g -> out.x: dense
"""
SOURCE = text(LINES, loss="cross_entropy(mean(out.v), label)", more="checkpoint = 3\nfreeze h.beta").replace(
    "input image[6]", "input image[1, 4, 4]"
)


def told(source: str = SOURCE, **options: str) -> str:
    return explain_training(load_program(Source("test.snn", source)), Overrides(**options))  # type: ignore[arg-type]


def test_explained() -> None:
    lines = told(target="numpy").splitlines()
    for wanted in (
        "Net: trains network Net, 7 steps of 1 ms, float32, target numpy, seed 3",
        "  c: 48 neurons, all 3 steps of a segment at once",
        "  h, g: a cycle, step by step together",
        "  out: 3 neurons, linear and read as a weighted sum: folded into weights of what arrives in each step",
        "  image->c.x: a convolution, once for each batch, forwards and backwards",
        "  bias of c->h.x: added once",
        "  c->h.x: a matrix product, one for all steps together",
        "  g->h.x: a matrix product, in each step, its gradient from all steps together, 1 step late",
        "  g->out.x: a matrix product, of sums over the steps, once for each batch",
        "  3 segments of 3 steps: each but the last is computed once more on the way back",
        "  c.beta: one number, kept within 1e-06 to 0.999999",
        "  h.beta: frozen",
    ):
        assert wanted in lines, "\n".join(lines)
    assert not any(line.startswith("  h.beta: one") for line in lines)


@pytest.mark.parametrize("target", TARGETS)
def test_memory_is_that_of_the_arrays(target: Literal["c", "numpy"]) -> None:
    """The numbers told are the bytes that a batch of eight asks for on the target."""
    net = network(SOURCE, target, precision="float32")
    net.grad(np.ones((8, 1, 4, 4)), np.zeros(8, int))
    engine = net.learner.engine(frozenset({"image"}), True)
    found = re.search(r"([\d.]+) kB for each sample of a batch: ([\d.]+) kB", told(target=target))
    assert found is not None
    assert float(found[2]) == pytest.approx(engine.buffer_bytes() / 1000, rel=0.01)


FOLDED = """
image -> dense(40, bias = true) -> h: Unit
      -> dense(300) -> g: Unit -> dense(400) -> f: Unit
      -> dense(3) -> out: Readout
connect f -> f.x: dense
"""


def test_the_target_that_trains_is_told() -> None:
    """Constant input once, one product for all steps, a folded readout, gathered rows, what is kept where and what is computed again."""
    if find() is None:
        pytest.skip("no C compiler")
    source = text(FOLDED, loss="cross_entropy(mean(out.v), label)").replace("batch = 8", "batch = 64")
    for wanted in (
        "  h: 40 neurons, all 7 steps at once",
        "    keeps nothing: what arrives is the same in every step, and its steps are computed again on the way back, 64 neurons at a time",
        "  f: 400 neurons, step by step, because it is on a cycle; "
        "one call takes a block of samples through all steps before the next block",
        "  out: 3 neurons, linear and read as a weighted sum: folded into weights of what arrives in each step",
        "  image->h.x: a matrix product, once for each batch, forwards and backwards",
        "  h->g.x: a matrix product, groups of rows that are zero together where that is faster, or gathered rows where fewer than 22% "
        "of the senders are active, one for all steps together",
        "  f->f.x: a matrix product, or gathered rows where fewer than 28% of the senders are active, in each step, "
        "its gradient from all steps together, 1 step late",
    ):
        assert wanted in told(source, target="c").splitlines(), told(source, target="c")
    assert re.search(r"  g: 300 neurons.*\n    keeps 2 numbers .*; u before lies where x arrived", told(source, target="c"))
    assert "gathered" not in told(source, target="numpy")
    assert "lies where" not in told(source, target="numpy")


@pytest.mark.parametrize(("pixels", "steps", "changes"), [("8, 8", 7, False), ("8", 8, True), ("8", 7, False)])
def test_what_the_data_are(pixels: str, steps: int, changes: bool) -> None:
    """Images that fill the input stay the same; rows of them come one after the other."""
    source = text("image -> dense(4) -> out: Readout", steps=steps, loss="cross_entropy(mean(out.v), label)")
    source = source.replace("image[6]", f"image[{pixels}]").replace("data = mine", "data = digits()")
    assert f"`image` {'changes from step to step' if changes else 'stays the same in every step'}" in told(source)
    assert ("image->out.x: a matrix product, one for all" in told(source.replace("mean(out.v)", "max(out.v)"))) is changes


def test_kernels_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = load_program(Source("test.snn", SOURCE))
    forward = pass_text(program, Overrides(), "forward")
    backward = pass_text(program, Overrides(), "backward")
    assert "# u[n] = beta*u[n-1] + x - theta*spike[n-1]" in forward.replace("x[n]", "x")
    assert "kernel c_forward" in forward
    assert "kernel c_backward" in backward
    assert "3.14159" in backward  # the surrogate
    assert "# out is folded" in backward
    (tmp_path / "net.snn").write_text(SOURCE)
    assert run(["explain", str(tmp_path / "net.snn")]) == 0
    assert run(["show", str(tmp_path / "net.snn"), "--stage", "backward"]) == 0
    assert "h_backward" in capsys.readouterr().out
    shown = load_program(Source("test.snn", SOURCE + "\nsimulate Net as shown:\n    duration = 3\n"))
    with pytest.raises(SnnError) as problem:
        pass_text(shown, Overrides(), "forward", "shown")
    assert problem.value.diagnostics[0].code == "E754"


def test_frozen_parameters_and_biases() -> None:
    net = network(SOURCE.replace("freeze h.beta", "freeze h.beta, g.beta"))
    assert not [name for name in net.weights if name in ("h.beta", "g.beta")]
    named = SOURCE.replace("connect c ->", "connect first = c ->").replace("freeze h.beta", "freeze first.bias")
    assert "first.bias" not in network(named).weights
    with pytest.raises(SnnError) as problem:
        network(SOURCE.replace("freeze h.beta", "freeze h.theta"))  # not trained anyhow
    assert problem.value.diagnostics[0].code == "E619"


def test_what_takes_no_memory_is_told() -> None:
    """A gradient that is never stored, of a connection from the input that is large enough; parts of a batch."""
    if find() is None:
        pytest.skip("no C compiler")
    lines = """
    population h[400]: Unit
    population out[3]: Readout
    connect image -> h.x: dense
    connect h -> out.x: dense
    """.replace("\n    ", "\n")

    def memory(more: str = "") -> tuple[str, str]:
        source = text(lines, size=100, loss="cross_entropy(mean(out.v), label)", more=more)
        shown = told(source, target="c").splitlines()
        at = next(n for n, line in enumerate(shown) if line.startswith("Memory beside the data"))
        return shown[at + 1], shown[at + 2]

    whole = 4 * (100 * 400 + 400 * 3 + 1)
    part, weights = memory()
    assert "for each sample of a batch:" in part
    assert float(weights.split()[0]) == pytest.approx((4 * whole - 160_000) / 1000, rel=0.01)
    assert weights.endswith("(4 numbers for each weight, one less of `image->h.x.w`: its gradient goes to the optimizer as it is made)")
    assert memory("clip = 1")[1].endswith("(4 numbers for each weight)")
    part, weights = memory("micro_batch = 2")
    assert "for each sample of 2 that go together, of a batch of 8:" in part
    assert weights.endswith("(4 numbers for each weight)")
