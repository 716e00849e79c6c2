"""One mistake, one message: recovery, repairs that can be applied, files that cannot be read.

The exact texts stand in tests/model/bad.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from snnlang.diagnostics import Diagnostic, SnnError, Source
from snnlang.syntax import tree as t
from snnlang.syntax.parse import parse, parse_expression, parse_recovering, read_source

BAD = sorted((Path(__file__).parents[1] / "model" / "bad").glob("E0*.snn"))


def found(text: str) -> list[Diagnostic]:
    return parse_recovering(Source("made.snn", text))[1]


def codes(text: str) -> list[str]:
    return [diagnostic.code for diagnostic in found(text)]


def in_model(*lines: str) -> str:
    return "neuron N:\n" + "".join(f"    {line}\n" for line in lines)


def apply(text: str, diagnostic: Diagnostic) -> str:
    assert diagnostic.fix is not None
    return text[: diagnostic.fix.span.start] + diagnostic.fix.replacement + text[diagnostic.fix.span.end :]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_fix_mends_its_mistake(path: Path) -> None:
    try:
        source = read_source(path)
    except SnnError:
        return
    _, diagnostics = parse_recovering(source)
    for diagnostic in diagnostics:
        if diagnostic.fix is not None and diagnostic.code != "E004":
            again = parse_recovering(Source(path.name, apply(source.text, diagnostic)))[1]
            assert len(again) < len(diagnostics), again


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_the_text_says_one_thing(path: Path) -> None:
    """Each wrong program of this room has one mistake, and nothing else is said of it."""
    try:
        diagnostics = parse_recovering(read_source(path))[1]
    except SnnError as problem:
        diagnostics = list(problem.diagnostics)
    assert [diagnostic.code for diagnostic in diagnostics] == [path.stem.split("_")[0]]
    assert all(diagnostic.help for diagnostic in diagnostics)


def test_broken_lines_do_not_hide_the_others() -> None:
    text = in_model("param a 1 2", "param b = ", "state v = 1", "v + ", "on spike:", "    v = = 0", "    v = 1", "spike when v > 1 )")
    file, diagnostics = parse_recovering(Source("made.snn", text))
    assert file is not None
    (model,) = file.items
    assert isinstance(model, t.Model)
    kinds = [type(member).__name__ for member in model.members]
    assert kinds.count("Declaration") >= 2
    assert kinds[-2:] == ["Handler", "SpikeRule"]
    assert len(diagnostics) == 5


def test_lost_names_are_told() -> None:
    file, diagnostics = parse_recovering(Source("made.snn", in_model("param tau = 20 ms )(", "dv/dt ] = [-v/tau", "state v = 0")))
    assert file is not None
    assert {"tau", "v"} <= set(file.lost)
    assert diagnostics


def test_at_most_ten() -> None:
    assert len(found(in_model(*["a b c d"] * 50))) == 10
    assert len(found(in_model(*["param a = @"] * 50))) == 10


def test_a_whole_item_may_be_broken() -> None:
    file, diagnostics = parse_recovering(Source("made.snn", "neuron 3:\n    param a = 1\n\nneuron B:\n    param b = 1\n"))
    assert file is not None
    assert [getattr(item, "name", "") for item in file.items] == ["B"]
    assert "a" in file.lost
    assert [diagnostic.code for diagnostic in diagnostics] == ["E020"]


@pytest.mark.parametrize(("text", "code"), [
    (in_model("spike when v >"), "E019"),
    (in_model("tau = 20 Mv"), "E021"),
    (in_model("v = if a then b"), "E019"),
    (in_model("on spike", "    v = 0"), "E008"),
    (in_model("on spike:", "    for vacant", "        remove"), "E008"),
    (in_model("trace x on pre decay"), "E019"),
    (in_model("param a = 1 in [0, 1"), "E011"),
    (in_model("param a = f(1", "spike when v > 1"), "E011"),
    (in_model("v = f(a,", "         b"), "E011"),
    (in_model("on spike: return"), "E024"),
    (in_model("on spike: hold v"), "E020"),
    (in_model("param a 1"), "E035"),
    (in_model("param a = 'x"), "E014"),
    (in_model("v = \u201ca\u201d"), "E014"),
    (in_model("v = a\u00a0+ b"), "E017"),
    (in_model("v = a \\", "    + b"), "E016"),
    (in_model("v'' = a"), "E015"),
    (in_model("when v > 1"), "E020"),
    (in_model("v == 1"), "E024"),
    (in_model("override"), "E019"),
    (in_model("parameter a = 1"), "E009"),
    (in_model("states:", "    v = 1"), "E009"),
    ("simulate N:\n    dt = 1 ms\n    presnt d as x for 1 s\n", "E009"),
    ("simulate N:\n    sweep g 3\n", "E035"),
    ("simulate N:\n    record\n", "E019"),
    ("network N:\n    connect a -> b: dense via\n", "E019"),
    ("network N:\n    a -> -> b\n", "E019"),
    ("from stdlib.neurons import\n", "E020"),
    ("import stdlib\n", "E020"),
    ("kernel k(t) = \n", "E019"),
    ("neuron A(B C):\n    param a = 1\n", "E020"),
    ("neuron:\n    param a = 1\n", "E020"),
    ("    neuron A:\n        param a = 1\n", "E006"),
    ("-> a\n", "E027"),
    ("\x00", "E017"),
])
def test_codes(text: str, code: str) -> None:
    assert codes(text) == [code], "\n".join(map(str, found(text)))


@pytest.mark.parametrize("word", ["dt", "t", "spike", "xi", "inf", "in", "if", "when", "state", "pre", "post", "all", "index", "neuron"])
def test_reserved_words_cannot_be_declared(word: str) -> None:
    for text in (in_model(f"param {word} = 1"), in_model(f"state {word} = 1"), in_model(f"event {word} when a > 1"),
                 f"func f({word} = 1) = 2\n" if word != "t" else in_model("input t = 1")):
        assert codes(text) == ["E022"], text
        assert f"`{word}`" in str(found(text)[0])


def test_populations_may_be_called_pre_and_post() -> None:
    parse(Source("made.snn", "network N:\n    population pre[3]: LIF\n    population post[3]: LIF\n    connect pre -> post.v: dense\n"))


def test_the_time_may_be_the_parameter_of_a_kernel() -> None:
    parse(Source("made.snn", "kernel eps(t, tau = 5 ms) = exp(-t/tau)\n"))


def test_the_bracket_is_blamed_and_not_the_next_line() -> None:
    (diagnostic,) = found(in_model("v = exp((a + b)", "spike when v > 1", "on spike: v = 0"))
    assert diagnostic.code == "E011"
    assert diagnostic.span is not None
    assert diagnostic.span.start == in_model("v = exp((a + b)").index("(")


def test_half_open_ranges_are_no_mismatch() -> None:
    assert codes(in_model("param a = 1 in [0, 1)", "param b = 1 in (0, f(1)]")) == []


def test_expressions_of_options() -> None:
    with pytest.raises(SnnError) as caught:
        parse_expression("20 mz", "--dt")
    assert "--> --dt:1:4" in str(caught.value)
    with pytest.raises(SnnError) as caught:
        parse_expression(" ", "--dt")
    assert "E019" in str(caught.value)
    for text in ("1 +", "a b", "x = 3", ")", "\n\n1\n2", "neuron"):
        with pytest.raises(SnnError):
            parse_expression(text, "--dt")


def test_missing_file(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.snn", "no such file"), (tmp_path, "it is a directory"), (tmp_path / "a\0b", "no path")):
        with pytest.raises(SnnError) as caught:
            read_source(path)
        assert str(caught.value).startswith("error[E001]: cannot read ")
        assert words in str(caught.value)


def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "closed.snn"
    path.write_text("neuron A:\n")
    path.chmod(0)
    try:
        path.read_text()
    except PermissionError:
        with pytest.raises(SnnError, match="permission denied"):
            read_source(path)
    else:
        pytest.skip("this user may read everything")


@pytest.mark.parametrize(("data", "where", "words"), [
    (b"neuron A:\n    # \xb5m\n", "2:7", "byte 16 is 0xB5"),
    ("neuron".encode("utf-16"), "1:1", "UTF-16"),
    (b"\xc3", "1:1", "byte 0 is 0xC3"),
])
def test_not_utf8(tmp_path: Path, data: bytes, where: str, words: str) -> None:
    path = tmp_path / "old.snn"
    path.write_bytes(data)
    with pytest.raises(SnnError) as caught:
        read_source(path)
    text = str(caught.value)
    assert text.startswith("error[E002]")
    assert f"old.snn:{where}" in text
    assert words in text
