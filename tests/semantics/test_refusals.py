"""What parses and checks but cannot run is refused before any code is generated, at its place, with a remedy."""

from __future__ import annotations

import pytest

import snnlang
from snnlang.diagnostics import Diagnostic

BASE = """
neuron C:
    param k = 1
    port state z = 0
    input x = 0
    state u = 0
    5 ms*dz/dt = -z + x
    spike when z > 1
    on spike:
        z = 0
        u += k
    age = since(spike)/1 ms

{extra}
network N:
    population a[3]: C
    population b[3]: C
    {lines}

simulate N:
    dt = 1 ms
    duration = 10 ms
    {settings}
"""


def refused(lines: str, extra: str = "", settings: str = "", **options: object) -> Diagnostic:
    text = BASE.format(lines=lines.replace("\n", "\n    "), extra=extra, settings=settings.replace("\n", "\n    "))
    with pytest.raises(snnlang.SnnError) as caught:
        snnlang.load(text).run(progress=False, **options)  # type: ignore[arg-type]
    found = [d for d in caught.value.diagnostics if d.is_error]
    assert len(found) == 1, "\n\n".join(map(str, found))
    assert found[0].help, "every refusal has a remedy"
    return found[0]


def rule(body: str, head: str = "") -> str:
    return f"synapse S:\n    weight w = 0.5\n{head}    on pre: deliver w\n    {body}\n"


def test_structure() -> None:
    found = refused("connect a -> b.z: dense via S", rule("on every 5 ms: if w < 0.1: remove"))
    assert found.code == "E791"
    assert found.span is not None
    assert found.span.text == "remove"


def test_training_is_not_simulated() -> None:
    text = BASE.format(lines="connect a -> b.z: dense", extra="", settings="").replace(
        "network N:", "network N:\n    input image[8, 8]", 1
    ) + (
        "\ntrain N as learn:\n    dt = 1 ms\n    duration = 5 ms\n    loss = mse(a.z, b.z)\n    data = digits()\n"
        "    optimizer = adam(lr = 0.001)\n    epochs = 1\n    batch = 10\n"
    )
    model = snnlang.load(text)
    with pytest.raises(snnlang.SnnError, match="E757"):
        model.run("learn")


def test_a_period_is_one_number() -> None:
    found = refused(
        "connect a -> b.z: dense via S(T = normal(5 ms, 1 ms))", rule("on every T: w *= 0.9", "    param T = 5 ms\n")
    )
    assert found.code in ("E725", "E425")


def test_a_period_may_be_a_parameter_with_one_value() -> None:
    extra = rule("on every T: w += 1", "    param T = 5 ms\n")
    text = BASE.format(lines="connect ab = a -> b.z: dense via S(T = 2 ms)", extra=extra, settings="record ab.w")
    assert snnlang.load(text).run(progress=False)["ab.w"][-1, 0] == 5.5


def test_since_belongs_to_a_neuron_but_its_value_may_be_read() -> None:
    text = BASE.format(
        lines="connect ab = a -> b.z: dense via S", extra=rule("on post: w += min(pre.age, 5)"), settings="record ab.w"
    )
    snnlang.load(text).run(progress=False)


def test_shared_weights_change_by_increments() -> None:
    lines = "population i[4, 4]: C\npopulation o[2, 2]: C\nconnect i -> o.z: conv2d(1, kernel = 3) via S"
    assert refused(lines, rule("on post: w = 0.5*w")).code == "E727"


def test_the_past_is_kept_per_neuron() -> None:
    lines = "connect a -> b.z: dense via S(tau = uniform(4 ms, 6 ms))"
    head = "    param tau = 5 ms\n    trace r on pre decay tau\n"
    assert refused(lines, rule("on trial_end: w += r(post.age*1 ms)", head)).code == "E728"


def test_a_delay_has_a_bound() -> None:
    assert refused("connect a -> b.z: dense, delay = 5 ms/(1 + pre.index)").code == "E729"


def test_one_dendritic_delay() -> None:
    found = refused("connect a -> b.z: dense via S, dendritic = uniform(1 ms, 2 ms)", rule("on post: w += 1"))
    assert found.code == "E731"


def test_a_bound_input_is_not_driven() -> None:
    head = "    broadcast input DA = 0\n"
    population = "population v[1]: C\nconnect ab = a -> b.z: dense via S(DA = v.u)"
    assert refused(population, rule("on post: w += DA", head), "drive ab.DA = 1").code in ("E732", "E636", "E634")


def test_a_constant_weight_that_is_set_later_is_kept_per_synapse() -> None:
    text = BASE.format(
        lines="connect ab = a -> b.z: dense, w = 1",
        extra="",
        settings="at 5 ms: ab.w = uniform(2, 3)\nrecord ab.w".replace("\n", "\n    "),
    )
    w = snnlang.load(text).run(progress=False)["ab.w"]
    assert (w[3] == 1).all()
    assert (w[-1] >= 2).all()
    assert len(set(w[-1])) == 9


@pytest.mark.parametrize(("option", "value"), [("precision", "float16"), ("target", "fpga")])
def test_unknown_precision_and_target(option: str, value: str) -> None:
    assert refused("connect a -> b.z: dense", **{option: value}).code in ("E603", "E711")


def test_since_of_the_other_side_is_refused_in_a_synapse() -> None:
    found = refused("connect a -> b.z: dense via S", rule("on post: w += since(post.spike)/1 ms"))
    assert found.code == "E726"
    assert found.span is not None
    assert found.span.text == "since(post.spike)"


@pytest.mark.parametrize(
    ("stage", "model", "code"), [("assembly", None, "E712"), ("model", "Cx", "E713"), ("step", "S", "E714")]
)
def test_stages_and_models_that_are_not_there(stage: str, model: str | None, code: str) -> None:
    from snnlang.compile import check_text
    from snnlang.explain import show_stage
    from snnlang.model.elaborate import Overrides

    text = BASE.format(lines="connect a -> b.z: dense via S", extra=rule("on post: w += 1"), settings="")
    program, _ = check_text(text)
    assert program is not None
    with pytest.raises(snnlang.SnnError) as caught:
        show_stage(program, stage, Overrides(), model=model)
    assert [d.code for d in caught.value.diagnostics] == [code]
