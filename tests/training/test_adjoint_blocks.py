"""Backward passes that a neuron writes itself: where they repeat the derived one, nothing may change; else what they say counts."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from snnlang.compile import check_text, load_program
from snnlang.diagnostics import SnnError, Source
from snnlang.model.elaborate import Overrides
from snnlang.runtime.network import Network
from snnlang.runtime.training_text import explain_training, pass_text
from tests.targets import TARGETS, needs_compiler

from .networks import NEURONS, READOUT, UNIT, images, network, text

Target = Literal["c", "numpy"]

MLP = """
population h[9]: Unit
population out[3]: Readout
connect image -> h.x: dense(bias = true), w = uniform(-0.2, 0.5)
connect h -> out.x: dense(bias = true), w = uniform(-0.5, 0.5)
"""
RECURRENT = MLP + "connect h -> h.x: dense, w = uniform(-0.2, 0.3)\n"
TWO = """
population h[9]: Unit
population g[5]: Unit
population out[3]: Readout
connect image -> h.x: dense, w = uniform(-0.2, 0.5)
connect h -> g.x: dense, w = uniform(-0.2, 0.5)
connect g -> h.x: dense, w = uniform(-0.2, 0.3), delay = 2
connect h -> out.x: dense, w = uniform(-0.5, 0.5)
connect g -> out.x: dense, w = uniform(-0.5, 0.5)
"""
#: The exact adjoint of ``Unit`` with the arctangent: e[n] is the derivative of the loss by u[n].
BY_HAND = """
    adjoint:
        e[n] = beta*e[n+1] + (grad(spike) - theta*e[n+1])*atan(u - theta, alpha = 2)
        grad(x) = e
        grad(beta) = e*u[n-1]
"""
WRITTEN = f"{UNIT.rstrip()}\n{BY_HAND}{READOUT}"


def same(written: str, derived: str, x: Any, y: Any, target: Target, least: float = 1e-10) -> None:
    """Loss and all gradients of two texts."""
    ours, theirs = network(written, target), network(derived, target)
    (loss, found), (other, expected) = ours.grad(x, y), theirs.grad(x, y)
    assert loss == pytest.approx(other, rel=1e-12)
    assert set(found) == set(expected)
    for name, value in found.items():
        assert np.any(value != 0), name
        assert np.allclose(value, expected[name], rtol=least, atol=least*np.abs(expected[name]).max()), name


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("lines", [MLP, RECURRENT, TWO], ids=["mlp", "recurrent", "cycle of two"])
@pytest.mark.parametrize("more", ["", "checkpoint = 3", "truncate = 3"], ids=["whole", "segments", "truncated"])
@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
def test_the_exact_adjoint_by_hand(target: Target, lines: str, more: str, changing: bool) -> None:
    x = images(5, 6, 7 if changing else None)
    same(text(lines, neurons=WRITTEN, more=more), text(lines, more=more), x, np.arange(15.0).reshape(5, 3) / 10, target)


PER_NEURON = ("trainable param", "trainable per_neuron param")


@pytest.mark.parametrize("target", TARGETS)
def test_parameters_of_each_neuron(target: Target) -> None:
    written, derived = (text(RECURRENT, neurons=neurons.replace(*PER_NEURON)) for neurons in (WRITTEN, NEURONS))
    same(written, derived, images(5, 6), np.zeros((5, 3)), target)


@pytest.mark.parametrize("target", TARGETS)
def test_the_number_of_the_neuron(target: Target) -> None:
    lines = "population h[4]: Unit\nconnect image -> h.x: dense, w = 1"
    neuron = "neuron Unit:\n    input x = 0\n    output x\n\n    adjoint:\n        grad(x) = grad(output)*(1 + index)\n"
    loss = "sum(out.v, over = [time, neurons])"
    lines += "\npopulation out[4]: Readout\nconnect h -> out.x: one_to_one, w = 1"
    source = text(lines, size=1, steps=2, loss=loss, neurons=neuron + READOUT.replace("0.8", "0"))
    _, found = network(source, target).grad(np.ones((3, 1)), np.zeros(3))
    assert np.allclose(found["image->h.x.w"], [[2, 4, 6, 8]])


@needs_compiler
def test_threads_change_no_bit() -> None:
    source = text(RECURRENT.replace("h[9]", "h[200]"), neurons=WRITTEN, steps=30)
    program = load_program(Source("t.snn", source))
    first, second = (
        Network(program, None, Overrides(target="c", threads=threads)).grad(images(32, 6), np.zeros((32, 3))) for threads in (1, 3)
    )
    assert first[0] == second[0]
    for name, value in first[1].items():
        assert np.array_equal(value, second[1][name]), name


#: A neuron that sends a state; what is asked about it comes from a connection, a late connection and the loss together.
CURRENT = """
neuron Unit:
    param beta = 0.8
    input x = 0
    state u = 0
    state a = 0.1
    u[n] = beta*u[n-1]*(1 - spike[n-1]) + x
    spike when u > 0.7
    a[n] = 0.6*a[n-1] + 0.4*spike
    output a
"""
CURRENT_BLOCK = """
    adjoint:
        f[n] = 0.6*f[n+1] + grad(a)
        e[n] = beta*(1 - spike)*e[n+1] + (0.4*f - beta*u*e[n+1])*atan(u - 0.7, alpha = 2)
        grad(x) = e
"""
LATE = """
population h[9]: Unit
population out[3]: Readout
connect image -> h.x: dense, w = uniform(-0.2, 0.5)
connect h -> out.x: dense, w = uniform(-0.5, 0.5)
connect late = h -> out.x: dense, w = uniform(-0.5, 0.5), delay = 2
"""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("more", ["", "checkpoint = 3"], ids=["whole", "segments"])
def test_what_is_sent_at_once_and_late_and_read(target: Target, more: str) -> None:
    loss = "mse(mean(out.v), label) + mean(square(h.a - 0.3), over = [time, neurons])"
    written, derived = (
        text(LATE, neurons=neuron + READOUT, more=more, loss=loss) for neuron in (CURRENT + CURRENT_BLOCK, CURRENT)
    )
    same(written, derived, images(5, 6, 7), np.zeros((5, 3)), target)


#: An exact integrator with units: the gradient of a current is one in 1/nA.
TIMED = """
neuron Unit:
    param tau  = 10 ms in (0 ms, inf)
    param R    = 10 MOhm
    param v_th = 10 mV
    input x = 0 nA
    state v = 0 mV
    tau*dv/dt = -v + R*x
    spike when v > v_th with gradient atan((v - v_th)/(1 mV), alpha = 2)/(1 mV)
    on spike: v = 0 mV
"""
TIMED_BLOCK = """
    adjoint:
        slope = atan((v - v_th)/(1 mV), alpha = 2)/(1 mV)
        kept = exp(-dt/tau)
        w[n] = kept*e[n+1]
        e[n] = w*(1 - spike) + (grad(spike) - w*v)*slope
        grad(x) = e*(1 - kept)*R
"""


@pytest.mark.parametrize("target", TARGETS)
def test_differential_equations_and_units(target: Target) -> None:
    """Between two steps v decays by exp(-dt/tau); a handler resets it, so that a spike cuts w, the gradient by v after the handler."""
    lines = MLP.replace("(-0.2, 0.5)", "(-0.5 nA, 4 nA)", 1).replace("bias = true", "bias = false")
    lines += "connect h -> h.x: dense, w = uniform(-1 nA, 2 nA)\n"
    written, derived = (
        text(lines, neurons=neuron + READOUT, more="dt = 1 ms", steps=12) for neuron in (TIMED + TIMED_BLOCK, TIMED)
    )
    x = np.random.default_rng(0).uniform(0, 1, (5, 6))
    same(written, derived, x, np.zeros((5, 3)), target)


ENDING = """
neuron Unit:
    input x = 0
    state u = 0
    state count = 0
    u[n] = 0.9*u[n-1]*(1 - spike[n-1]) + x
    spike when u > 1
    count[n] = count[n-1] + spike

    adjoint:
        e[n] = 0.5*e[n+1] + grad(spike)*count[end]*(count[n-1] + u)
        grad(x) = e
"""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("more", ["", "checkpoint = 2", "truncate = 4"])
def test_the_end_of_the_trial(target: Target, more: str) -> None:
    """``count[end]`` is that of the last step, in every segment; a truncated pass cuts e alone."""
    lines = "population h[4]: Unit\nconnect image -> h.x: dense, w = uniform(0, 0.6)"
    source = text(lines, size=3, steps=8, loss="sum(h.spikes, over = [time, neurons])", neurons=ENDING, more=more)
    net = network(source, target)
    x = images(5, 3, 8)
    _, found = net.grad(x, np.zeros(5))
    w = np.array(net.weights["image->h.x.w"])
    u, s = np.zeros((5, 4)), np.zeros((5, 4))
    us, counts, count = [], [], np.zeros((5, 4))
    for t in range(8):
        u = 0.9 * u * (1 - s) + x[:, t] @ w
        counts.append(count)
        s = (u > 1).astype(float)
        us.append(u)
        count = count + s
    assert 0 < count.sum() < 160
    e, expected = np.zeros((5, 4)), np.zeros_like(w)
    for t in range(7, -1, -1):
        if more.startswith("truncate") and t == 3:
            e = np.zeros((5, 4))
        e = 0.5 * e + count * (counts[t] + us[t]) / 5
        expected += x[:, t].T @ e
    assert np.allclose(found["image->h.x.w"], expected, rtol=1e-12)


HANDLED = """
neuron Unit:
    input x = 0
    state u = 0
    u[n] = 0.9*u[n-1] + x
    spike when u > 1
    on spike: u = 0.25

    adjoint:
        grad(x) = grad(spike)*(u + 10*u[n-1] + 100*u[end])
"""


@pytest.mark.parametrize("target", TARGETS)
def test_before_and_after_handlers(target: Target) -> None:
    """u is what the equation gave, u[n-1] what the last step left, u[end] what the trial left."""
    source = text(
        "population h[1]: Unit\nconnect image -> h.x: dense, w = 1", size=1, steps=3, loss="sum(h.spikes)", neurons=HANDLED
    )
    net = network(source, target)
    _, found = net.grad(np.array([[[0.7], [0.6], [1.0]]]), np.zeros(1))
    u = [0.7, 0.9 * 0.7 + 0.6, 0.9 * 0.25 + 1.0]  # spikes in the second step and in the last
    expected = 0.7 * (u[0] + 25) + 0.6 * (u[1] + 7 + 25) + 1.0 * (u[2] + 2.5 + 25)
    assert found["image->h.x.w"].item() == pytest.approx(expected, rel=1e-12)


CONVOLUTION = """
neuron Pixel:
    input x = 0
    state u = 0
    u[n] = 0.8*u[n-1] + x
    spike when u > 1
{block}
neuron Readout:
    input x = 0
    state v = 0
    v[n] = 0.8*v[n-1] + x
    output v

network Net:
    input image[2, 5, 5]
    image -> conv2d(3, kernel = 3, stride = 2, padding = 1), w = uniform(-0.2, 0.6) -> h: Pixel
          -> dropout(p = 0.3) -> dense(2), w = uniform(-0.5, 0.5) -> out: Readout

train Net:
    data = mine
    steps = 4
    loss = mse(mean(out.v), label)
    optimizer = sgd(lr = 0.1)
"""


@pytest.mark.parametrize("target", TARGETS)
def test_between_convolution_and_dropout(target: Target) -> None:
    block = "\n    adjoint:\n        e[n] = 0.8*e[n+1] + grad(spike)*atan(u - 1, alpha = 2)\n        grad(x) = e\n"
    x = np.random.default_rng(4).uniform(0, 1, (3, 2, 5, 5))
    same(CONVOLUTION.format(block=block), CONVOLUTION.format(block=""), x, np.zeros((3, 2)), target)


NORMED = """
image -> dense(6), w = uniform(-0.2, 0.5) -> batch_norm({over}) -> h: Unit
      -> dense(5), w = uniform(-0.5, 0.5) -> batch_norm({over}) -> g: Unit
      -> dense(3), w = uniform(-0.5, 0.5) -> out: Readout
"""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("over", ["", "over = time"])
@pytest.mark.parametrize("more", ["", "checkpoint = 3"], ids=["whole", "segments"])
def test_behind_a_normalisation(target: Target, over: str, more: str) -> None:
    """Statistics over time take the way back more than once; segments leave the sums of a folded readout as they were."""
    lines = NORMED.format(over=over)
    same(text(lines, neurons=WRITTEN, more=more), text(lines), images(5, 6, 7), np.zeros((5, 3)), target, 1e-9)


CHANCE = """
neuron Unit:
    trainable param gain = 1.5
    input x = 0
    p = sigmoid(gain*x)
    spike with probability p

    adjoint:
        grad(x) = grad(spike)*gain*p*(1 - p)
        grad(gain) = grad(spike)*x*p*(1 - p)
"""


@pytest.mark.parametrize("target", TARGETS)
def test_events_made_by_chance(target: Target) -> None:
    """Straight through the draw (Bengio et al. 2013): the derivative of the probability stands for that of the event."""
    lines = "population h[4]: Unit\nconnect image -> h.x: dense, w = uniform(-1, 1)"
    source = text(lines, size=3, steps=6, loss="sum(h.spikes, over = [time, neurons])", neurons=CHANCE)
    net = network(source, target)
    x = images(5, 3, 6)
    loss, found = net.grad(x, np.zeros(5))
    assert 0 < loss < 24
    arrived = x @ np.array(net.weights["image->h.x.w"])
    p = 1 / (1 + np.exp(-1.5 * arrived))
    slope = p * (1 - p) / 5
    assert np.allclose(found["image->h.x.w"], np.einsum("bti,btj->ij", x, 1.5 * slope), rtol=1e-10)
    assert found["h.gain"].item() == pytest.approx((arrived * slope).sum(), rel=1e-10)


def test_a_stateless_neuron_that_remembers_on_the_way_back() -> None:
    """Forwards it is the same in every step, backwards it is not: it must not be computed once."""
    neuron = """
neuron Unit:
    input x = 0
    output x

    adjoint:
        e[n] = 0.5*e[n+1] + grad(output)
        grad(x) = e
"""
    lines = "population h[2]: Unit\npopulation out[1]: Readout\nconnect image -> h.x: dense, w = 1\nconnect h -> out.x: dense, w = 1"
    source = text(lines, size=1, steps=3, loss="sum(out.v)", neurons=neuron + READOUT.replace("0.8", "0"))
    _, found = network(source).grad(np.ones((1, 1)), np.zeros(1))
    assert np.allclose(found["image->h.x.w"], 1 + 1.5 + 1.75)


def test_a_linear_readout_with_a_block_is_not_folded() -> None:
    block = "\n    adjoint:\n        e[n] = e[n+1] + grad(v)\n        grad(x) = 2*e\n"
    source = text(MLP, neurons=NEURONS.rstrip() + block, loss="sum(out.v)")
    _, found = network(source).grad(images(5, 6), np.zeros((5, 3)))
    _, plain = network(text(MLP, loss="sum(out.v)")).grad(images(5, 6), np.zeros((5, 3)))
    assert np.allclose(found["h->out.x.bias"], 2 * np.arange(7, 0, -1).sum() / 3)
    assert not np.allclose(found["h->out.x.bias"], plain["h->out.x.bias"])


def test_a_simulation_passes_over_it() -> None:
    import snnlang

    run = "\nsimulate Net as shown:\n    duration = 30\n    drive image = 0.6\n    record h.spikes\n"
    first, second = (snnlang.load(text(MLP, neurons=neurons) + run).run("shown", target="numpy") for neurons in (WRITTEN, NEURONS))
    assert len(first.spikes("h")[0]) > 0
    assert np.array_equal(first.spikes("h")[0], second.spikes("h")[0])


def test_it_is_shown_and_explained() -> None:
    program = load_program(Source("t.snn", text(RECURRENT, neurons=WRITTEN)))
    options = Overrides(target="numpy")
    shown = pass_text(program, options, "backward")
    assert "# e[n] = beta*e[n+1] + (grad(spike) - theta*e[n+1])*atan(u - theta, alpha = 2)" in shown
    assert "h: its backward pass is the adjoint block of Unit" in explain_training(program, options)


# --- what is refused --------------------------------------------------------------------------------------------------


def message(source: str, **data: Any) -> str:
    with pytest.raises(SnnError) as found:
        network(source).grad(images(2, 6), np.zeros((2, 3)))
    assert len(found.value.diagnostics) == 1
    diagnostic = found.value.diagnostics[0]
    assert diagnostic.code == "E772"
    assert diagnostic.span is not None
    assert diagnostic.help
    return diagnostic.message


def block(*lines: str) -> str:
    written = "".join(f"        {line}\n" for line in lines)
    return f"{UNIT.rstrip()}\n\n    adjoint:\n{written}{READOUT}"


def test_a_trained_parameter_without_a_gradient() -> None:
    neurons = block("grad(x) = grad(spike)")
    assert "no gradient of the trained parameter `beta`" in message(text(MLP, neurons=neurons))
    _, found = network(text(MLP, neurons=neurons, more="freeze h.beta")).grad(images(2, 6), np.zeros((2, 3)))
    assert "h.beta" not in found


def test_a_parameter_behind_another_one_is_reached() -> None:
    neurons = block("e[n] = beta*e[n+1] + grad(spike)", "grad(x) = e", "grad(beta) = e*u[n-1]").replace(
        "trainable param beta = 0.9 in (0, 1)", "trainable param tau = 5\n    param beta = exp(-1/tau)"
    )
    _, found = network(text(MLP, neurons=neurons)).grad(images(2, 6), np.zeros((2, 3)))
    fixed = neurons.replace("trainable param tau = 5\n    param beta = exp(-1/tau)", "trainable param beta = exp(-1/5)")
    _, direct = network(text(MLP, neurons=fixed)).grad(images(2, 6), np.zeros((2, 3)))
    assert found["h.tau"].item() == pytest.approx(direct["h.beta"].item() * np.exp(-0.2) / 25, rel=1e-10)
    assert found["h.tau"].item() != 0


def test_a_connected_input_without_a_gradient() -> None:
    neurons = block("grad(beta) = grad(spike)")
    assert "no gradient of `x`, which a connection enters" in message(text(MLP, neurons=neurons))


def test_an_input_that_nothing_enters_needs_none_and_may_have_one() -> None:
    neurons = block("grad(x) = grad(spike)", "grad(y) = grad(spike)", "grad(beta) = 0").replace(
        "    input x = 0\n", "    input x = 0\n    input y = 0\n", 1
    ).replace("+ x - theta", "+ x + y - theta")
    _, found = network(text(MLP, neurons=neurons)).grad(images(2, 6), np.zeros((2, 3)))
    assert found["h.beta"] == 0


@pytest.mark.parametrize(
    ("loss", "what"), [("mse(mean(out.v), label) + mean(h.u, over = [time, neurons])", "`u`"), ("mse(mean(out.v), label)", "`spike`")]
)
def test_something_is_read_that_the_block_does_not_ask_about(loss: str, what: str) -> None:
    asked = "grad(spike)" if what == "`u`" else "grad(u)"
    neurons = block(f"grad(x) = {asked}", "grad(beta) = 0")
    assert f"what becomes of the gradient of {what}" in message(text(MLP, neurons=neurons, loss=loss))


def test_a_trained_initial_value() -> None:
    neurons = WRITTEN.replace("state u = 0", "trainable state u = 0", 1)
    assert "the initial value of `u` of h cannot be trained" in message(text(MLP, neurons=neurons))
    _, found = network(text(MLP, neurons=neurons, more="freeze h.u")).grad(images(2, 6), np.zeros((2, 3)))
    assert "h.u" not in found


@pytest.mark.parametrize("target", TARGETS)
def test_a_synapse_with_equations_of_its_own(target: Target) -> None:
    """Its current is integrated with the neuron, and the block knows nothing of it."""
    synapse = """
synapse Slow:
    weight w = 1
    param tau = 5 ms
    state g = 0
    tau*dg/dt = -g
    on pre: g += w
    deliver g

"""
    lines = MLP + "connect h -> h.x: dense via Slow, w = 0.1\n"
    network(text(lines, neurons=synapse + NEURONS, more="dt = 1 ms"), target).grad(images(2, 6), np.zeros((2, 3)))
    with pytest.raises(SnnError) as found:
        network(text(lines, neurons=synapse + WRITTEN, more="dt = 1 ms"), target).grad(images(2, 6), np.zeros((2, 3)))
    assert [diagnostic.code for diagnostic in found.value.diagnostics] == ["E772"]
    assert "knows nothing of the equations of the synapse that enters h here" in found.value.diagnostics[0].message
    assert found.value.diagnostics[0].span is not None


def test_inheritance() -> None:
    child = "\nneuron Child(Unit):\n    override param theta = 0.8\n"
    lines = MLP.replace("Unit", "Child")
    _, found = network(text(lines, neurons=WRITTEN + child)).grad(images(5, 6), np.zeros((5, 3)))
    _, plain = network(text(lines, neurons=NEURONS + child)).grad(images(5, 6), np.zeros((5, 3)))
    for name, value in found.items():
        assert np.allclose(value, plain[name], rtol=1e-10), name
    other = child + "\n    override adjoint:\n        grad(x) = 0*grad(spike)\n        grad(beta) = 0\n"
    _, none = network(text(lines, neurons=WRITTEN + other)).grad(images(5, 6), np.zeros((5, 3)))
    assert not np.any(none["image->h.x.w"])
    assert np.any(none["h->out.x.w"])


def test_an_inherited_block_for_other_equations_is_remarked() -> None:
    child = "\nneuron Child(Unit):\n    override u[n] = 0.5*beta*u[n-1] + x - theta*spike[n-1]\n"
    _, found = check_text(WRITTEN + child)
    assert [diagnostic.code for diagnostic in found] == ["W770"]
    _, found = check_text(WRITTEN + child + "    override adjoint:\n        grad(x) = grad(spike)\n        grad(beta) = 0\n")
    assert found == []
