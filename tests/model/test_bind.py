"""Synapses against the pair of neurons they connect, and imports against folders on the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snnlang.diagnostics import Collector, Source
from snnlang.model.bind import bind_plain, bind_synapse
from snnlang.model.check import check
from snnlang.model.library import Library
from snnlang.model.units import CONDUCTANCE, CURRENT, ONE, RATE, VOLTAGE
from snnlang.syntax.parse import parse

Checked = Callable[..., tuple[Any, list[Any]]]

TEXT = """
neuron Cell:
    param tau = 20 ms
    input I = 0 mV
    port state v = 0 mV
    port state g = 0 nS
    state closed = 0
    tau*dv/dt = -v + I
    tau*dg/dt = -g
    tau*dclosed/dt = -closed
    event peak when v > 20 mV
    spike when v > 10 mV
    on spike: v = 0 mV
    on peak: closed += 1

neuron Step:
    input x = 0
    port state v = 0
    v[n] = 0.9*v[n-1] + x[n]
    spike when v > 1

neuron Level:
    param rate = 1 Hz
    output rate

synapse Tested:
    param tau = 10 ms
    weight w = {weight}
{body}
"""


def bound(
    checked: Checked,
    body: str,
    *,
    weight: str = "1 mV",
    pre: str | None = "Cell",
    post: str = "Cell",
    port: str = "v",
    **more: Any,
) -> list[str]:
    """The codes found when the synapse with this body connects the two neurons; alone it is right."""
    text = TEXT.format(weight=weight, body="\n".join(f"    {line}" for line in body.split("\n")))
    program, found = checked(text)
    assert [str(d) for d in found if d.is_error] == []
    neurons = program.scope.neurons
    _, diagnostics = bind_synapse(
        program.scope.synapses["Tested"],
        pre=None if pre is None else neurons[pre],
        post=neurons[post],
        port=port,
        **more,
    )
    return [d.code for d in diagnostics]


@pytest.mark.parametrize(
    ("body", "settings", "codes"),
    [
        ("on pre: deliver w", {}, []),
        ("on pre: deliver w", {"weight": "1 nS", "port": "g"}, []),
        ("on pre: deliver w", {"weight": "1 nS"}, ["E403"]),
        ("on pre: deliver w", {"weight": "0.5"}, ["E404"]),
        ("on pre: deliver w", {"weight": "0.5", "gain": VOLTAGE}, []),
        ("on pre: deliver w", {"weight": "0.5", "gain": CURRENT}, ["E403"]),
        ("on pre: deliver w", {"gain": VOLTAGE}, ["E403"]),
        ("on pre: deliver w", {"port": "I"}, ["W401"]),
        ("on pre: deliver w", {"weight": "0.5", "post": "Step", "port": "x"}, []),
        ("on pre: deliver w", {"weight": "0.5", "post": "Step", "port": "v"}, []),
        ("deliver w", {"port": "I"}, []),
        ("deliver w", {}, ["E403"]),  # a bare deliver adds to dv/dt
        ("deliver w/tau", {}, []),
        ("deliver w*(1 - post.v/(10 mV))", {"port": "I"}, []),
        ("deliver w*post.v", {"port": "I"}, ["E403"]),
        ("deliver w*(1 - post.u)", {"port": "I"}, ["E401"]),
        ("deliver w*(1 + post.v)", {"port": "I"}, ["E210"]),
        ("deliver w*pre.output*tau", {"port": "I", "pre": "Level"}, []),
        ("deliver w*pre.output", {"port": "I", "pre": "Level"}, ["E403"]),
        ("deliver w*pre.output*tau", {"port": "I", "pre": None, "pre_output": RATE}, []),
        ("on pre: deliver w to post.I", {}, ["W401"]),
        ("on pre: deliver w to post.u", {}, ["E401"]),
        ("on pre: deliver w\non post.peak: w += 1 mV", {}, []),
        ("on pre: deliver w\non post.low: w += 1 mV", {}, ["E402"]),
        ("on pre: deliver w\ntrace x on post.low decay tau\non pre: w += x*1 mV", {}, ["E402"]),
        ("on pre: deliver w", {"pre": "Level"}, ["E402"]),  # never spikes
        ("on pre: post.v += w", {}, []),
        ("on pre: post.closed += 1", {}, ["E409"]),
        ("on pre: post.v += 1", {}, ["E210"]),
        ("on pre: deliver w if since(post.peak) > 5 ms else 0 mV", {}, []),
        (
            "on pre: deliver w\ntrace x on pre decay 20\non post: w += x*1 mV",
            {},
            ["E210"],
        ),  # 20 steps, in a model of time
        ("on pre: deliver w\ntrace x on pre decay 20\non post: w += x", {"weight": "1", "post": "Step"}, ["W405"]),
        (
            "on pre: deliver w\ntrace x on pre decay 20\norder pre, post\non post: w += x",
            {"weight": "1", "post": "Step"},
            [],
        ),
    ],
)
def test_pair(body: str, settings: dict[str, Any], codes: list[str], checked: Checked) -> None:
    assert bound(checked, body, **settings) == codes


def test_plain_connection(checked: Checked) -> None:
    program, _ = checked(TEXT.format(weight="1", body="    on pre: deliver w"))
    cell, level, step = (program.scope.neurons[name] for name in ("Cell", "Level", "Step"))

    def codes(**settings: Any) -> list[str]:
        return [d.code for d in bind_plain(**{"pre": cell, "post": cell, "port": "v", **settings})]

    assert codes(weight=VOLTAGE) == []
    assert codes(weight=None) == ["E404"]
    assert codes(weight=ONE, gain=VOLTAGE) == []
    assert codes(weight=CONDUCTANCE) == ["E403"]
    assert codes(weight=VOLTAGE, port="I") == ["W401"]
    assert codes(weight=VOLTAGE, pre=level, analogue=True, pre_output=RATE) == []  # mV times 1/ms into dv/dt
    assert codes(weight=VOLTAGE, pre=level, analogue=True, pre_output=ONE, port="I") == []
    assert codes(weight=None, post=step, port="x") == []


def test_units_of_the_other_side(checked: Checked) -> None:
    program, _ = checked(
        TEXT.format(
            weight="1 nS",
            body="    state g = 0 nS\n    tau*dg/dt = -g\n    on pre: g += w\n    deliver g*(0 mV - post.v)/(1 nS)",
        )
    )
    synapse, cell = program.scope.synapses["Tested"], program.scope.neurons["Cell"]
    result, found = bind_synapse(synapse, pre=cell, post=cell, port="I")
    assert not found
    units = {str(part.unit) for part in _variables(result.delivers[0].value) if part.scope == "post"}
    assert units == {"mV"}
    again, _ = bind_synapse(synapse, pre=cell, post=cell, port="I")
    assert again is result


def _variables(expr: Any) -> list[Any]:
    from snnlang.model import expression as e

    return [part for part in e.walk(expr) if isinstance(part, e.Variable)]


# --- imports ----------------------------------------------------------------------------------------------------------

CELL = "neuron Cell:\n    spike with rate 10 Hz\n"


def check_files(folder: Path, files: dict[str, str]) -> list[Any]:
    """What is found when ``main.snn`` of these files is checked."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    collector = Collector()
    source = Source(str(folder / "main.snn"), files["main.snn"])
    check(parse(source), Library(), collector)
    return list(collector)


def test_a_file_and_a_folder_beside(tmp_path: Path) -> None:
    found = check_files(
        tmp_path,
        {
            "main.snn": "from .cells import Cell, Other\nfrom .one import Third\n\n"
            "neuron Mine(Cell):\n    override spike with rate 20 Hz\n",
            "cells/a.snn": CELL,
            "cells/b.snn": 'from .a import Cell\n\nneuron Other(Cell):\n    "another"\n',
            "one.snn": CELL.replace("Cell", "Third"),
        },
    )
    assert [d.code for d in found] == ["W101", "W101"]  # Other and Third are not used further


def test_only_what_is_needed_is_parsed(tmp_path: Path) -> None:
    found = check_files(
        tmp_path,
        {
            "main.snn": "from .cells import Cell\n\n# Cell\n",
            "cells/a.snn": CELL,
            "cells/b.snn": "neuron Broken\n    oh dear(\n",
        },
    )
    assert [str(d) for d in found] == []


def test_mistakes_of_an_imported_file_are_told_there(tmp_path: Path) -> None:
    found = check_files(
        tmp_path, {"main.snn": "from .cells import Cell\n", "cells.snn": CELL.replace("10 Hz", "10 mV")}
    )
    assert [(d.code, Path(d.span.source.name).name) for d in found] == [("E214", "cells.snn")]


def test_import_cycle(tmp_path: Path) -> None:
    found = check_files(
        tmp_path,
        {
            "main.snn": "from .a import Cell\n",
            "a.snn": "from .b import Other\n\n" + CELL,
            "b.snn": "from .a import Cell\n\n" + CELL.replace("Cell", "Other"),
        },
    )
    assert [d.code for d in found] == ["E107"]
    assert found[0].label == "a.snn -> b.snn -> a.snn"


def test_a_file_that_imports_itself(tmp_path: Path) -> None:
    found = check_files(tmp_path, {"main.snn": "from .main import Cell\n\n" + CELL.replace("Cell", "Mine")})
    assert [d.code for d in found] == ["E107"]


def test_two_files_of_a_folder_declare_one_name(tmp_path: Path) -> None:
    found = check_files(tmp_path, {"main.snn": "from .cells import Cell\n", "cells/a.snn": CELL, "cells/b.snn": CELL})
    assert [d.code for d in found] == ["E126"]
    assert found[0].help == ("name the file: `from .cells.a import Cell`",)


@pytest.mark.parametrize(
    ("line", "code", "help"),
    [
        ("from .cell import Cell", "E105", "did you mean `cells`?"),
        ("from cells import Cell", "E105", "write `from .cells import …` for a file beside this one"),
        ("from stdlb.neurons import LIF", "E105", "did you mean `stdlib`?"),
        ("from .cells import Cel", "E106", "did you mean `Cell`?"),
        ("from .cells import LIF", "E106", "it is in `stdlib.neurons`"),
        ("from .cells import third", "E106", "`cells.snn` imports it itself; import it from where it is declared"),
    ],
)
def test_missing(tmp_path: Path, line: str, code: str, help: str) -> None:
    files = {
        "main.snn": line + "\n",
        "cells.snn": "from .rest import third\n\n" + CELL,
        "rest.snn": "const third = 3\n",
    }
    found = check_files(tmp_path, files)
    assert [d.code for d in found] == [code]
    assert help in found[0].help


def test_paths_that_were_tried(tmp_path: Path) -> None:
    found = check_files(tmp_path, {"main.snn": "from .far.away import Cell\n"})
    assert (
        found[0].help[0]
        == f"tried {(tmp_path / 'far' / 'away.snn').as_posix()} and {(tmp_path / 'far' / 'away').as_posix()}/"
    )


def test_a_failed_import_is_told_once(tmp_path: Path) -> None:
    found = check_files(
        tmp_path,
        {
            "main.snn": "from .nowhere import Cell, gate, rest\n\n"
            "neuron Mine(Cell):\n    input x = 0\n    override spike when gate(x) > rest and v > 1 mV\n",
        },
    )
    assert [d.code for d in found] == ["E105"]
