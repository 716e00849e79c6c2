"""Models that Hypothesis makes run alike on every target: same events, same values to rounding."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import snnlang

NUMBERS = st.sampled_from(["0.3", "0.7", "1.5", "2", "0.05", "5"])


@st.composite
def expressions(draw: st.DrawFn, names: tuple[str, ...], depth: int = 2) -> str:
    """A number made of names, bounded so that nothing overflows."""
    if depth == 0:
        return draw(st.one_of(NUMBERS, st.sampled_from(names)))
    one = draw(expressions(names, depth - 1))
    two = draw(expressions(names, depth - 1))
    form = draw(
        st.sampled_from(
            [
                "({a} + {b})",
                "({a} - {b})",
                "tanh({a}*{b})",
                "sin({a})",
                "max({a}, {b})",
                "({a} if {b} > 0.4 else {b})",
                "exp(-abs({a}))",
                "{a}/(1 + abs({b}))",
                "clip({a}, -1, {b} + 2)",
                "sigmoid({a})",
            ]
        )
    )
    return form.format(a=one, b=two)


@st.composite
def neurons(draw: st.DrawFn, name: str, continuous: bool) -> str:
    names = ("a", "b", "k", "x")
    lines = [f"neuron {name}:", "    param k = 0.8", "    input x = 0.1", "    port state a = 0.2", "    state b = 0.5"]
    lines.append("    state n_spikes = 0")
    lines.append(f"    q = {draw(expressions(('a', 'b', 'k'), 1))}")
    if continuous:
        lines.append(f"    2 ms*da/dt = -a + {draw(expressions(('b', 'k', 'x', 'q')))}")
        lines.append(f"    db/dt = (-b + {draw(expressions(('a', 'k', 'q')))})/(3 ms)")
    else:
        lines.append(f"    a[n] = 0.8*a[n-1] + 0.3*{draw(expressions(('b[n-1]', 'k', 'x[n]', 'a[n-2]', 'spike[n-1]')))}")
        lines.append(f"    b[n] = 0.5*b[n-{draw(st.integers(1, 3))}] + 0.4*{draw(expressions(('a[n]', 'k', 'spike[n-1]')))}")
    lines.append(f"    spike when {draw(expressions(names))} > {draw(NUMBERS)}")
    lines.append("    on spike:")
    lines.append(f"        a = {draw(expressions(('a', 'b', 'k'), 1))} - 1")
    lines.append(f"        if {draw(expressions(('a', 'b'), 1))} > 0:")
    lines.append("            b *= 0.5")
    lines.append("        n_spikes += 1")
    if draw(st.booleans()):
        lines.append("        hold a for 2*dt" if not continuous else "        hold a for 0.7 ms")
    return "\n".join(lines)


@st.composite
def synapses(draw: st.DrawFn) -> str:
    lines = ["synapse Rule:", "    weight w = 0.3 in [-1, 1]"]
    lines += [f"    trace u on pre decay {draw(st.sampled_from(['4 ms', '9 ms']))}", "    trace v on post decay 6 ms"]
    if draw(st.booleans()):
        lines += ["    state e = 0", "    5 ms*de/dt = -e"]
        lines.append(f"    on pre: e += {draw(expressions(('u', 'v', 'w'), 1))}")
        lines.append("    deliver 0.01*e*w")
    lines += ["    on pre:", "        deliver 0.2*w", f"        w -= 0.05*{draw(expressions(('v', 'w', 'post.b'), 1))}"]
    lines.append(f"    on post: w += 0.05*{draw(expressions(('u', 'w', 'pre.k'), 1))}")
    if draw(st.booleans()):
        lines.append("    " + draw(st.sampled_from(["order pre, post", "order post, pre"])))
    return "\n".join(lines)


@st.composite
def programs(draw: st.DrawFn) -> str:
    continuous = draw(st.booleans())
    first = draw(neurons("First", continuous))
    second = draw(neurons("Second", continuous))
    rule = draw(synapses())
    pattern = draw(st.sampled_from(["dense", "random(p = 0.5)", "fixed_indegree(2)", "dense(autapses = false)", "one_to_one"]))
    delay = draw(st.sampled_from(["", ", delay = 1.5 ms", ", delay = uniform(0.5 ms, 2 ms)"]))
    weight = draw(st.sampled_from(["w = uniform(-0.5, 0.9)", "w = 0.4"]))
    port = draw(st.sampled_from(["x", "x"])) if continuous else "x"
    back = draw(
        st.sampled_from(
            [
                "",
                "    connect s -> f.x: dense, w = -0.3",
                "    connect s -> f.x: random(p = 0.4), w = 0.2, delay = 1 ms",
            ]
        )
    )
    return f"""{first}

{second}

{rule}

network Net:
    population f[4]: First(k = uniform(0.2, 1.4))
    population s[4]: Second(a = normal(0, 0.5))
    connect fs = f -> s.{port}: {pattern} via Rule({weight}){delay}
    connect f -> s.x: one_to_one, w = 0.3
{back}

simulate Net:
    dt = 0.5 ms
    duration = 12 ms
    record f.a, f.b, s.a, s.b, s.q, f.spikes, s.spikes, fs.w
"""


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programs())
def test_interpreter_and_numpy_agree(text: str) -> None:
    model = snnlang.load(text)
    slow = model.run(target="interpreter", progress=False)
    fast = model.run(target="numpy", progress=False)
    for population in ("f", "s"):
        for one, two in zip(slow.spikes(population), fast.spikes(population), strict=True):
            assert np.array_equal(one, two), text
    for label in ("f.a", "f.b", "s.a", "s.b", "s.q", "fs.w"):
        assert np.allclose(slow[label], fast[label], rtol=1e-9, atol=1e-12), f"{label}\n{text}"
