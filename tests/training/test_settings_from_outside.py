"""Settings of a ``train`` block from the command line and from Python, in place of those of the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import snnlang
from snnlang.cli.program import run
from snnlang.diagnostics import SnnError

from .networks import images, text

LINES = """
population h[12]: Unit
population out[3]: Readout
connect image -> h.x: dense(bias = true)
connect h -> out.x: dense(bias = true)
"""


def test_from_python() -> None:
    x, y = images(24, 6), np.zeros((24, 3))
    model = snnlang.load(text(LINES))
    first = model.network(target="numpy", set={"epochs": 1, "batch": 8})
    once = first.train(x, y)
    twice = model.network(target="numpy", set={"epochs": 2, "batch": 8}).train(x, y)
    assert (len(once.epochs), len(twice.epochs)) == (1, 2)
    assert once.epochs[0].loss == twice.epochs[0].loss
    other = model.network(target="numpy", set={"epochs": 1, "batch": 8, "optimizer": "sgd(lr = 1e-12)"})
    before = {name: value.copy() for name, value in other.weights.items()}
    other.train(x, y)
    assert all(np.allclose(other.weights[name], value, atol=1e-9) for name, value in before.items())
    assert not all(
        np.allclose(once_weight, value, atol=1e-9)
        for once_weight, value in zip(first.weights.values(), before.values(), strict=True)
    )


def test_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    digits = Path(__file__).parents[2] / "examples" / "train_digits.snn"
    status = run(
        [
            "run",
            str(digits),
            "--target",
            "numpy",
            "--set",
            "epochs=2",
            "--set",
            "data=digits(limit = 64)",
            "--set",
            "test=digits(limit = 32)",
        ]
    )
    printed = "".join(capsys.readouterr())
    assert status == 0
    assert "epoch 2/2" in printed
    assert "epoch 3" not in printed


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [("epoch", 3, "E607"), ("epochs", 0, "E503"), ("batch", "many", "E101"), ("loss", "sum(out.q)", "E")],
)
def test_mistakes(name: str, value: object, code: str) -> None:
    with pytest.raises(SnnError) as raised:
        snnlang.load(text(LINES)).network(set={name: value})
    assert raised.value.diagnostics[0].code.startswith(code)


def test_a_simulation_has_no_epochs() -> None:
    model = snnlang.load(Path(__file__).parents[2] / "examples" / "balanced.snn")
    with pytest.raises(SnnError) as raised:
        model.run("coba", set={"epochs": 3}, duration="1 ms", progress=False)
    assert raised.value.diagnostics[0].code == "E607"
