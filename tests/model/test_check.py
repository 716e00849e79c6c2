"""The checker as a whole: clean programs stay clean, one mistake gives one message, a long file is checked in linear time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snnlang.model import expression as e
from snnlang.model.check import cannot_run_model

Checked = Callable[..., tuple[Any, list[Any]]]
GOOD = sorted((Path(__file__).parent / "good").glob("*.snn"))


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good(path: Path, checked: Checked) -> None:
    _, found = checked(path.read_text(encoding="utf-8"), str(path))
    assert [str(d) for d in found] == []


LEAKY = """
neuron Leaky:
    param tau = 20 ms
    param v_th = 10 mV
    input I = 0 mV
    state v = 0 mV
    tau*dv/dt = -v + I
    spike when v > v_th
    on spike: v = 0 mV
"""


@pytest.mark.parametrize(
    ("right", "wrong", "codes"),
    [
        ("tau*dv/dt = -v + I", "tua*dv/dt = -v + I", ["E101"]),
        ("param tau = 20 ms", "param tau = 20 mss", ["E021"]),
        ("param tau = 20 ms", "param tau = 2*x", ["E101"]),  # every use of tau is silent
        ("state v = 0 mV", "state v = nothing", ["E101"]),
        ("state v = 0 mV", "state u = 0 mV", ["E307"]),  # v is named four times, and not declared once
        ("input I = 0 mV", "input I = 0 nA", ["E202"]),
        (
            "spike when v > v_th",
            "spike when v > v_th and",
            ["E019"],
        ),  # `on spike` has no rule then, and nothing is said of it
        ("on spike: v = 0 mV", "on spike: w = 0 mV", ["E101"]),
        ("tau*dv/dt = -v + I", "tau*dv/dt = -v + exp(v) + I", ["E204"]),
        ("tau*dv/dt = -v + I", "tau*dv/dt = -v + f(v) + I", ["E102"]),
    ],
)
def test_one_mistake_one_message(right: str, wrong: str, codes: list[str], checked: Checked) -> None:
    assert right in LEAKY
    _, found = checked(LEAKY.replace(right, wrong))
    assert [d.code for d in found] == codes


def test_everything_is_collected(checked: Checked) -> None:
    """Seven mistakes of seven kinds in one model are seven messages."""
    _, found = checked("""
neuron Leaky:
    param tau = 20 ms in (0 mV, inf)
    state v: mV = 0 nA
    state w = 0
    tau*dv/dt = -v + 3 nA
    tau*dw/dt = unheard
    spike when v > 3
    on spike:
        v = 2 ms
        hold v for 3 mV
""")
    assert [d.code for d in found] == ["E216", "E208", "E202", "E101", "E210", "E209", "E213"]


def test_a_bare_name_means_this_step(checked: Checked) -> None:
    program, found = checked("""
neuron Discrete:
    param beta = 0.9
    input x = 0
    state u = 0
    u[n] = beta*u[n-1] + x - spike[n-1]
    spike when u > 1
    on spike: u = u - 1
""")
    assert not found
    neuron = program.scope.neurons["Discrete"]
    lags = {(part.name, part.lag) for part in e.walk(neuron.differences[0].value) if isinstance(part, e.Variable)}
    assert lags == {("beta", None), ("u", 1), ("x", 0)}
    assert {part.lag for part in e.walk(neuron.events[0].condition) if isinstance(part, e.Variable)} == {0}
    assert {part.lag for part in e.walk(neuron.handlers[0].body[0].value) if isinstance(part, e.Variable)} == {
        None
    }  # the value as it stands
    assert [part.lag for part in e.walk(neuron.differences[0].value) if isinstance(part, e.Occurs)] == [1]


def test_functions_are_written_in(checked: Checked) -> None:
    program, found = checked("""
const half = 0.5
func gate(x, slope = 2) = 1/(1 + exp(-slope*(x - half)))

neuron Gate:
    input x = 0
    input v = 0 mV
    output gate(x) + gate(slope = 3, x = v/(1 mV))
""")
    assert not found
    names = {part.name for part in e.walk(program.scope.neurons["Gate"].output) if isinstance(part, e.Variable)}
    assert names == {"x", "v"}


def test_a_mistake_inside_a_function_is_told_at_the_call(checked: Checked) -> None:
    _, found = checked("""
func gate(x) = exp(x) + 1

neuron Gate:
    input v = 0 mV
    output gate(v)
""")
    assert [d.code for d in found] == ["E204"]
    assert found[0].span.text == "gate(v)"
    assert found[0].labels[0].span.text == "x"


def test_inheritance_keeps_the_order_of_handlers(checked: Checked) -> None:
    program, found = checked("""
neuron Base:
    param tau = 20 ms
    state v = 0 mV
    state count = 0
    tau*dv/dt = -v
    spike when v > 10 mV
    on spike: v = 0 mV
    on trial_end: count = 0

neuron Derived(Base):
    on every 10 ms: count += 1
    override on spike: v = 1 mV
""")
    assert not found
    neuron = program.scope.neurons["Derived"]
    assert [h.trigger.kind for h in neuron.handlers] == ["own", "trial_end", "every"]
    assert neuron.bases == ("Base",)


def test_what_cannot_run_yet_is_located(checked: Checked) -> None:
    program, found = checked("""
synapse Pruned:
    weight w = 0.5 in [0, 1]
    on pre: deliver w
    on every 100 ms:
        if w < 0.01:
            remove
        for vacant: create(w = 0.1)
""")
    assert not found
    refused = cannot_run_model(program.scope.synapses["Pruned"])
    assert {d.code for d in refused} == {"E791"}
    assert [d.span.text for d in refused if d.span is not None][0:1] == ["remove"]


@pytest.mark.parametrize(
    "text",
    [
        "func f0(x) = x + x\n"
        + "".join(f"func f{i}(x) = f{i - 1}(x) + f{i - 1}(x)\n" for i in range(1, 20))
        + "neuron A:\n    input x = 0\n    output f19(x)\n",
        "neuron A:\n    output a0\n" + "".join(f"    a{i} = a{i + 1} + 1\n" for i in range(400)) + "    a400 = a0\n",
        "".join(f"neuron A{i}(A{i + 1}):\n    param p{i} = 2\n" for i in range(60))
        + "neuron A60:\n    spike with rate 3 Hz\n",
    ],
)
def test_what_cannot_be_expanded_is_told(text: str, checked: Checked) -> None:
    _, found = checked(text)
    assert [d.code for d in found if d.is_error] == ["E125"]


def test_a_long_chain_in_reverse_order(checked: Checked) -> None:
    chain = "".join(f"    a{i} = a{i + 1} + 1 mV\n" for i in range(1000))
    program, found = checked(f"neuron A:\n    input x = 0 mV\n    output a0\n{chain}    a1000 = x\n")
    assert not found
    assert str(program.scope.neurons["A"].output_unit) == "mV"


def test_a_mistake_of_a_base_is_told_once(checked: Checked) -> None:
    _, found = checked("""
neuron Derived(Base):
    override on spike: v = 1 mV

neuron Base:
    param tau = 20 ms
    state v = 0 mV
    tau*dv/dt = -u
    spike when v > 10 mV
    on spike: v = 0 mV
""")
    assert [(d.code, d.message) for d in found] == [("E101", "unknown name `u` in neuron `Base`")]


def test_long_file_is_linear(checked: Checked) -> None:
    """Twice the text takes about twice the time; 10,000 lines take seconds at most (each neuron here is 8 lines)."""

    def seconds(count: int) -> float:
        text = "\n".join(LEAKY.replace("Leaky", f"Leaky{i}") for i in range(count))
        start = time.process_time()
        _, found = checked(text)
        assert not found
        return time.process_time() - start

    seconds(20)
    short, long = min(seconds(150) for _ in range(2)), min(seconds(600) for _ in range(2))
    assert long < 4 * 2 * short + 0.2


def test_check_is_light() -> None:
    """Checking a model loads neither NumPy nor SymPy nor rich."""
    code = (
        "import sys\n"
        "from snnlang.diagnostics import Collector, Source\n"
        "from snnlang.model.check import check\n"
        "from snnlang.model.library import Library\n"
        "from snnlang.syntax.parse import parse\n"
        "text = 'from stdlib.neurons import LIF\\n\\nneuron A(LIF):\\n    override spike when v > 0 mV\\n'\n"
        "check(parse(Source('m.snn', text)), Library(), Collector())\n"
        "print([name for name in ('numpy', 'sympy', 'rich', 'lark') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
