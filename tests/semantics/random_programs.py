"""Whole programs made by Hypothesis: neurons of both kinds, synapses with memory, patterns, delays, drives and recorders.

Numbers stay bounded by construction, so that no run overflows. Now and then a program is refused by the checker (a state that nothing
changes, a circle of difference equations): whoever draws one skips it.
"""

from __future__ import annotations

from hypothesis import strategies as st

NUMBERS = st.sampled_from(["0.3", "0.7", "1.5", "2", "0.05", "5"])
FORMS = (
    "({a} + {b})",
    "({a} - {b})",
    "tanh({a}*{b})",
    "sin({a})",
    "max({a}, {b})",
    "min({a}, {b})",
    "({a} if {b} > 0.4 else {b})",
    "({a} if {b} > 0.2 and {a} < 1 or {b} < -0.5 else -{a})",
    "exp(-abs({a}))",
    "{a}/(1 + abs({b}))",
    "clip({a}, -1, {b} + 2)",
    "sigmoid({a})",
    "relu({a})",
    "heaviside({a})*{b}",
    "log1p({a}^2)",
    "sqrt(abs({a}))",
    "atan({a} - {b})",
    "mod({a}, 3)",
    "floor(tanh({a})*4)",
    "abs({a})^1.5/(1 + {a}^2)",
)


@st.composite
def expressions(draw: st.DrawFn, names: tuple[str, ...], depth: int = 2) -> str:
    """A number made of names, bounded so that nothing overflows."""
    if depth == 0:
        return draw(st.one_of(NUMBERS, st.sampled_from(names)))
    one = draw(expressions(names, depth - 1))
    two = draw(expressions(names, depth - 1))
    return draw(st.sampled_from(FORMS)).format(a=one, b=two)


def chance(draw: st.DrawFn, of: int = 2) -> bool:
    return draw(st.integers(0, of - 1)) == of - 1


@st.composite
def neurons(draw: st.DrawFn, name: str, continuous: bool) -> str:
    """A model with two coupled equations, an input, two ports, a counter, handlers, and perhaps more."""
    names = ("a", "b", "k", "x")
    bounds = draw(st.sampled_from(["", " in [-2, 3]", " in [0, inf)"]))
    lines = [f"neuron {name}:", "    param k = 0.8", "    param j = 0.4", "    input x = 0.1", "    port state a = 0.2"]
    lines += [f"    port state b = {draw(st.sampled_from(['0.5', 'k/2', '0.3*j']))}{bounds}", "    state n_spikes = 0"]
    lines.append(f"    q = {draw(expressions(('a', 'b', 'k'), 1))}")
    peaks = chance(draw, 3)
    whole = draw(st.sampled_from(["", "", "", "all.mean(b)", "all.max(a)", "all.sum(b)/10"]))
    if continuous:
        drift = draw(st.sampled_from(["nonlinear", "linear", "noise", "channel"]))
        extra = f" + 0.1*{whole}" if whole else ""
        match drift:
            case "nonlinear":
                lines.append(f"    2 ms*da/dt = -a + {draw(expressions(('b', 'k', 'x', 'q')))}{extra}")
                lines.append(f"    db/dt = (-b + {draw(expressions(('a', 'k', 'q')))})/(3 ms)")
            case "linear":
                lines.append(f"    2 ms*da/dt = -a + k*b + x{extra}")
                lines.append("    db/dt = (j - b - 0.3*a)/(3 ms)" if chance(draw) else "    5 ms*db/dt = -b")
            case "noise":
                lines.append("    4 ms*da/dt = -a + x + k + 0.3*sqrt(4 ms)*xi")
                lines.append(f"    3 ms*db/dt = -b + {draw(expressions(('a', 'k', 'j'), 1))}")
            case _:
                lines.append(f"    2 ms*da/dt = -a*(1 + abs(b)) + {draw(expressions(('b', 'k', 'x')))}")
                lines.append("    3 ms*db/dt = (1 - b)*sigmoid(a) - b*exp(-abs(a))")
    else:
        past = ("b[n-1]", "k", "x[n]", "a[n-2]", "spike[n-1]")
        lines.append(f"    a[n] = 0.8*a[n-1] + 0.3*{draw(expressions(past))}")
        lines.append(
            f"    b[n] = 0.5*b[n-{draw(st.integers(1, 3))}] + 0.4*{draw(expressions(('a[n]', 'k', 'spike[n-1]')))}"
        )
    test = f"{draw(expressions(names))} > {draw(NUMBERS)}"
    match draw(st.sampled_from(["when", "when", "when", "crosses", "probability", "rate", "since", "random"])):
        case "when":
            lines.append(f"    spike when {test}")
        case "crosses":
            lines.append(f"    spike when a crosses {draw(st.sampled_from(['0.3', 'k', '0.05']))}")
        case "probability":
            lines.append(f"    spike with probability clip({draw(expressions(names, 1))}, 0, 1)")
        case "rate" if continuous:
            lines.append(f"    spike with rate {draw(st.sampled_from(['100 Hz', '400 Hz*k', '300 Hz*sigmoid(a)']))}")
        case "since" if continuous:
            lines.append(f"    spike when {test} and since(spike) > 1 ms")
        case _:
            lines.append(f"    spike when {test} or b > 0.6")
    if peaks:
        lines.append(f"    event peak when a > {draw(NUMBERS)}" if chance(draw) else "    event peak")
    lines.append("    on spike:")
    lines.append(f"        a = {draw(expressions(('a', 'b', 'k'), 1))} - 1")
    lines.append(f"        if {draw(expressions(('a', 'b'), 1))} > 0:")
    lines.append("            b *= 0.5")
    if chance(draw, 3):
        lines += ["        elif k > 0.7:", "            b += 0.1", "        else:", "            b = -0.1"]
    if chance(draw, 4):
        lines.append(
            f"        b += {draw(st.sampled_from(['uniform(0, 0.2)', 'normal(0, 0.1)', 'bernoulli(0.5)*0.1']))}"
        )
    lines.append("        n_spikes += 1")
    if chance(draw):
        held = draw(st.sampled_from(["a", "a", "b", "spike"]))
        lines.append(f"        hold {held} for 2*dt" if not continuous else f"        hold {held} for 0.7 ms")
    if peaks:
        if lines[-1].startswith("        ") and "    event peak" in lines:
            lines.append("        emit peak" if chance(draw) else "        if b > 0.2: emit peak")
        lines.append("    on peak:")
        lines.append("        b = 0.9*b + 0.02")
    if continuous and chance(draw, 5):
        lines += ["    on every 2 ms:", "        b *= 0.9"]
    return "\n".join(lines)


@st.composite
def synapses(draw: st.DrawFn, name: str) -> str:
    """A rule with two traces, and perhaps a state of its own, a conductance, a step of its own, sums over the weights."""
    lines = [f"synapse {name}:", "    param c = 0.5", "    weight w = 0.3 in [-1, 1]"]
    nearest = draw(st.sampled_from(["", "", ", nearest"]))
    lines += [
        f"    trace u on pre decay {draw(st.sampled_from(['4 ms', '9 ms']))}{nearest}",
        "    trace v on post decay 6 ms",
    ]
    kind = draw(st.sampled_from(["jump", "jump", "state", "conductance", "signal"]))
    if kind == "state":
        lines += ["    state e = 0", "    5 ms*de/dt = -e"]
        lines.append(f"    on pre: e += {draw(expressions(('u', 'v', 'w'), 1))}")
        lines.append("    deliver 0.01*e*w")
    elif kind == "conductance":
        lines += ["    state g = 0", "    4 ms*dg/dt = -g", "    on pre: g += 0.2*w", "    deliver g*(c - post.a)"]
    elif kind == "signal":
        lines.append("    deliver 0.05*w*tanh(pre.a - post.b)")
    lines += ["    on pre:"]
    if kind != "conductance":
        lines.append(f"        deliver {draw(st.sampled_from(['0.2*w', '0.1*w*c', '0.1*w*(1 + u)', '0.1*w*pre.b']))}")
    if chance(draw, 5):
        lines.append("        post.b += 0.05*w")
    learns = chance(draw, 4) is False
    if learns:
        lines.append(f"        w -= 0.05*{draw(expressions(('v', 'w', 'post.b', 'c'), 1))}")
        lines.append(f"    on post: w += 0.05*{draw(expressions(('u', 'w', 'pre.k'), 1))}")
        if chance(draw, 4):
            lines += [
                "    on every 3 ms:",
                f"        {draw(st.sampled_from(['w *= 0.9', 'w *= 1/(1 + abs(sum(w, per post)))', 'w -= 0.1*mean(w, per pre)']))}",
            ]
    else:
        lines.append("        if v > 0.1: deliver 0.1*w" if kind != "conductance" else "        g += 0.1*v + 0.1*u")
        if kind == "conductance":
            pass
        else:
            lines.append("        deliver 0.01*u")
    if chance(draw):
        lines.append("    " + draw(st.sampled_from(["order pre, post", "order post, pre"])))
    return "\n".join(lines)


PATTERNS = st.sampled_from(
    [
        "dense",
        "dense",
        "random(p = 0.5)",
        "random(p = 0.1)",
        "fixed_indegree(2)",
        "fixed_outdegree(2)",
        "fixed_total(7)",
        "dense(autapses = false)",
        "random(p = 0.4, autapses = false)",
        "fixed_indegree(1, multapses = false)",
        "where(abs(pre.index - post.index) < 2)",
    ]
)
DELAYS = st.sampled_from(
    ["", "", ", delay = 1.5 ms", ", delay = 0.5 ms", ", delay = uniform(0.5 ms, 2 ms)", ", delay = uniform(0 ms, 3 ms)"]
)
WEIGHTS = st.sampled_from(
    ["w = uniform(-0.5, 0.9)", "w = 0.4", "w = normal(0, 0.4)", "w = 0.1*(1 + pre.index)/(1 + post.index)"]
)
SIZES = st.sampled_from([1, 2, 3, 4, 4, 5, 8, 17, 40, 300])


@st.composite
def connections(
    draw: st.DrawFn, name: str, pre: str, post: str, sizes: dict[str, int], via: str, rule: str = ""
) -> str:
    """A connect line between two populations or parts of them, by the synapse `via` of this text if it has a name."""
    pattern = draw(PATTERNS)
    if sizes[pre] == sizes[post] and chance(draw, 3):
        pattern = "one_to_one"
    elif sizes[pre] > 3 and chance(draw, 4):
        pre = f"{pre}[1:{sizes[pre] - 1}]"
    elif sizes[post] > 3 and chance(draw, 4):
        post = f"{post}[0:{sizes[post] // 2}]"
    used_rule = f" via {via}({draw(WEIGHTS)}{draw(st.sampled_from(['', ', c = 0.7', ', c = uniform(0.2, 0.9)']))})"
    plain = f", {draw(WEIGHTS)}"
    used = used_rule if via else plain
    dendritic = draw(st.sampled_from(["", "", "", ", dendritic = 0.5 ms"]))
    port = "x" if "\n    deliver " in rule else draw(st.sampled_from(["x", "x", "a", "b"]))
    return f"    connect {name} = {pre} -> {post}.{port}: {pattern}{used}{draw(DELAYS)}{dendritic if via else ''}"


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Two populations, one to four connections, a drive, jumps at a time, recorders."""
    continuous = draw(st.booleans())
    both = continuous if chance(draw, 4) is False else not continuous
    first, second = draw(neurons("First", continuous)), draw(neurons("Second", both))
    rule, other = draw(synapses("Rule")), draw(synapses("Other"))
    sizes = {"f": draw(SIZES), "s": draw(SIZES)}
    if sizes["f"] * sizes["s"] > 10_000:
        sizes["s"] = 3
    lines = [draw(connections("fs", "f", "s", sizes, "Rule", rule))]
    lines.append(draw(connections("plain", "f", "s", sizes, "")))
    if chance(draw):
        lines.append(draw(connections("back", "s", "f", sizes, draw(st.sampled_from(["", "Other"])), other)))
    if chance(draw, 3):
        sizes_self = {"s": min(sizes["s"], 300)}
        if sizes["s"] <= 40:
            lines.append(draw(connections("again", "s", "s", sizes_self, draw(st.sampled_from(["", "Other"])), other)))
    more = []
    if chance(draw):
        more.append(
            f"    drive f.x = {draw(st.sampled_from(['0.6', '0.5*sin(t/2 ms)', '0.4 if 2 ms < t < 5 ms else 0', '0.2 + 0.01*index']))}"
        )
    if chance(draw, 3):
        more.append(f"    at {draw(st.sampled_from(['0 ms', '3 ms', '4.5 ms']))}: s.b += 0.25")
    if chance(draw, 6):
        more.append("    method = euler")
    every = draw(st.sampled_from(["", " every 1 ms", " every 1.5 ms"]))
    part = "[0:1]" if chance(draw) else ""
    newline = "\n"
    return f"""{first}

{second}

{rule}

{other}

network Net:
    population f[{sizes["f"]}]: First({draw(st.sampled_from(["k = uniform(0.2, 1.4)", "k = 0.9", "j = normal(0.4, 0.1), b = 0.1"]))})
    population s[{sizes["s"]}]: Second({draw(st.sampled_from(["a = normal(0, 0.5)", "a = uniform(0, 1), k = 0.3"]))})
{newline.join(lines)}

simulate Net:
    dt = 0.5 ms
    duration = 12 ms
    seed = {draw(st.integers(0, 5))}
{newline.join(more)}
    record f.a{part}, f.b, s.a, s.b, s.q, f.n_spikes{every}
    record f.spikes, s.spikes, fs.w
"""


@st.composite
def pictures(draw: st.DrawFn) -> str:
    """Trials over a small image: convolutions, pools and dense layers of difference neurons, a rule that learns at the end of a trial.

    The data are called `samples`: images of 1 x 6 x 6 and a label.
    """
    kernel, stride, padding = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 2)),
        draw(st.sampled_from(["same", "0", "1"])),
    )
    groups = draw(st.sampled_from(["", ", groups = 1"]))
    dilation = ", dilation = 2" if kernel == 2 and stride == 1 and padding == "1" else ""
    if padding == "same":
        stride = 1
    bias = ", bias = true" if chance(draw) else ""
    window = draw(st.sampled_from(["conv2d", "conv2d", "local2d"]))
    stages = [
        f"    image -> {window}(2, kernel = {kernel}, stride = {stride}, padding = {padding}{dilation}{groups}), "
        f"w = {draw(st.sampled_from(['uniform(0, 0.6)', 'uniform(-0.3, 0.8)', '0.2']))}{bias} -> c1: Unit"
    ]
    if chance(draw):
        stages.append(f"          -> {draw(st.sampled_from(['max_pool(2)', 'avg_pool(2)']))}")
    if chance(draw, 3):
        stages.append("          -> conv2d(3, kernel = 2), w = uniform(-0.1, 0.5) -> c2: Unit")
    rule = chance(draw)
    last = f"dense(3{', bias = true' if chance(draw) else ''})"
    if rule:
        stages.append("          -> dense(5), w = uniform(0, 0.4) -> hidden: Unit")
        more = "    population out[3]: Unit(beta = 0.5)\n    connect readout = hidden -> out.x: dense via Learn(w = uniform(0, 0.8))"
    else:
        stages.append(f"          -> {last} -> out: Unit")
        more = ""
    wins = draw(st.sampled_from(["", " and index == all.argmax(u)", " and all.rank(u) < 2"]))
    kept = draw(st.sampled_from(["", "persistent "]))
    newline = "\n"
    return f"""neuron Unit:
    param beta = {draw(st.sampled_from(["0.9", "0.5"]))}
    param theta = 0.7
    input x = 0
    state u = 0
    {kept}state b = 0
    u[n] = beta*u[n-1] + x[n] - {draw(st.sampled_from(["spike[n-1]", "theta*spike[n-1]", "u[n-1]*spike[n-1]", "0.2*spike[n-2]"]))}
    spike when u > theta + b{wins}
    on spike: b += 0.05
    on trial_end: b *= 0.5

synapse Learn:
    weight w = 0.1 in [0, 1]
    state c = 0
    trace seen on pre decay {draw(st.sampled_from(["3", "10"]))}
    trace done on post decay 4
    on pre:
        deliver w
        c += 0.1*done
    on post: w += 0.05*seen
    on trial_end:
        w += 0.1*c
        w *= {draw(st.sampled_from(["1", "0.9", "1.2/(0.1 + sum(w, per post))", "0.7/(0.1 + max(w, per pre))"]))}

network Net:
    input image[1, 6, 6]
{newline.join(stages)}
{more}

simulate Net:
    seed = {draw(st.integers(0, 5))}
    present samples as image, label for {draw(st.integers(1, 4))}, rest {draw(st.integers(0, 2))}, epochs = 2
    record c1.spikes, out.spikes, c1.u, out.u
"""


@st.composite
def events(draw: st.DrawFn) -> str:
    """Named events of both sides, third factors, windows of response kernels, clamps, loops that settle."""
    settle = ", settle(max = 6)" if chance(draw) else ""
    clamp = draw(
        st.sampled_from(
            ["", "    clamp a.spike = 1 if mod(index + t/dt, 3) < 0.5 else 0", "    clamp a.spike = index - 1"]
        )
    )
    course = draw(
        st.sampled_from(
            ["exp(-(s/tau)^2)", "s/tau*exp(1 - s/tau)", "exp(-s/tau) - exp(-2*s/tau)", "cos(s/tau)*exp(-s/tau)"]
        )
    )
    delay = draw(st.sampled_from(["", ", delay = 1 ms", ", delay = uniform(0 ms, 2 ms)"]))
    number = draw(st.sampled_from([1, 3, 6, 70]))
    pattern, other = (
        draw(st.sampled_from(["dense", "random(p = 0.5)"])),
        draw(st.sampled_from(["dense", "fixed_indegree(2)"])),
    )
    weight = draw(st.sampled_from(["0.1", "uniform(0, 0.3)"]))
    kind = draw(st.sampled_from(["spike, last", "spike"]))
    return f"""kernel course(s, tau = 3 ms) = {course}
kernel fall(s) = -exp(-s/2 ms)

neuron Cell:
    param k = 0.9
    input x = 0
    input link = 0
    port state y = 0.2
    state z = 0
    3 ms*dy/dt = k + x - y
    2 ms*dz/dt = y - z
    h = y + 0.5*link + 0.3*response(fall, {kind})
    spike when h > {draw(st.sampled_from(["0.5", "0.8", "0.3"]))}
    event echo when since(spike) > {draw(st.sampled_from(["0.9 ms", "2.1 ms"]))} and z > 0.2
    on spike: y = {draw(st.sampled_from(["0", "y - 0.5", "0.5*y"]))}
    on echo:
        z *= 0.5

synapse Filtered:
    weight w = 0.2
    deliver w*response(course, pre)

synapse Third:
    weight w = 0.4 in [0, 1]
    broadcast input DA = 0
    per_post event desired
    trace x on pre decay 5 ms
    trace y on post.echo decay 3 ms
    state e = 0
    6 ms*de/dt = -e
    on pre: deliver 0.3*w
    on pre.echo: w -= 0.02*y
    on post.echo: e += x
    on desired: w += 0.1*x
    on every 1.5 ms: w += 0.05*DA*e

network Net:
    population a[{number}]: Cell(k = uniform(0.2, 1.5))
    population b[4]: Cell(k = {draw(st.sampled_from(["0.4", "uniform(0, 1)"]))})
    population teacher[4]: Cell(k = 1.2)
    population level[1]: Cell
    connect f = a -> b.x: {pattern} via Filtered(w = {weight}){delay}
    connect third = a -> b.y: {other} via Third(desired = teacher.spike){draw(st.sampled_from(["", ", delay = 1 ms"]))}
    connect p = a -> a.link: where(post.index == pre.index + 1), w = 0.4{settle}
    connect teacher.echo -> level.y: dense, w = 0.1

simulate Net:
    dt = 0.5 ms
    duration = 12 ms
    seed = {draw(st.integers(0, 5))}
    drive third.DA = 0.5 if t > 4 ms else 0
{clamp}
    record a.spikes, b.spikes, b.y, b.h, third.w, third.e
"""
