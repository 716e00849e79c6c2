"""Programs made by Python: networks and experiments line by line, for those whose structure is computed.

Every call writes one line of the language, so that checker, formatter and messages are the same as for a file: a mistake is
shown with carets in the text that was built, and that text (:attr:`Builder.text`) can be saved and read by people. Pieces
given as texts are pieces of the language; numbers, truth values and lists are written out. It refuses pieces that hold a line
break, which would be more than one line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from snnlang.diagnostics import Source, error
from snnlang.runtime.load import Model
from snnlang.syntax import tree


class Builder:
    """A program under construction.

    >>> builder = Builder()
    >>> builder.use("stdlib.neurons", "LIF", "Poisson")
    >>> network = builder.network("Noise", N=100)
    >>> network.population("source", "N", "Poisson", rate="100 Hz")
    >>> network.population("cell", 10, "LIF")
    >>> network.connect("source", "cell.v", "dense", w="1 mV")
    >>> run = network.simulate(dt="0.1 ms", duration="200 ms", seed=1)
    >>> run.record("cell.spikes", "cell.v[0:3]", every="1 ms")
    >>> recording = builder.model().run()   # doctest: +SKIP
    """

    def __init__(self, name: str = "<builder>") -> None:
        self.name = name
        self._imports: list[str] = []
        self._texts: list[str] = []
        self._networks: list[Network] = []
        self._experiments: list[Experiment] = []

    def use(self, module: str, *names: str) -> None:
        """``from stdlib.neurons import LIF``."""
        self._imports.append(f"from {_piece(module)} import {', '.join(_piece(name) for name in names)}")

    def constant(self, name: str, value: Any) -> None:
        """``const E_exc = 0 mV``."""
        self._texts.append(f"const {_piece(name)} = {_value(value)}")

    def add(self, text: str) -> None:
        """Whole definitions in the language: neurons, synapses, functions, kernels."""
        import textwrap

        self._texts.append(textwrap.dedent(text).strip("\n"))

    def network(self, name: str, **parameters: Any) -> Network:
        """``network NAME(N = 100):``; fill it with the methods of what comes back."""
        made = Network(self, _piece(name), parameters)
        self._networks.append(made)
        return made

    @property
    def text(self) -> str:
        """The program as the formatter prints it. Raises SnnError when it is no program."""
        from snnlang.syntax.format import format_file

        return format_file(self.file())

    def file(self) -> tree.File:
        """The syntax tree, with places in the text that was built."""
        from snnlang.syntax.parse import parse

        return parse(Source(self.name, self._draft()))

    def model(self) -> Model:
        """Check the program and return it ready to run. Raises SnnError with every mistake found."""
        from snnlang.compile import load_program

        source = Source(self.name, self.text)
        return Model(load_program(source), source.text, source.name)

    def _draft(self) -> str:
        blocks = ["\n".join(self._imports), *self._texts]
        blocks += ["\n".join(network.lines()) for network in self._networks]
        blocks += ["\n".join(experiment.lines()) for experiment in self._experiments]
        return "\n\n".join(block for block in blocks if block) + "\n"


class Network:
    """A network under construction: populations, inputs and connections in the order of the calls."""

    def __init__(self, builder: Builder, name: str, parameters: dict[str, Any]) -> None:
        self.name = name
        self._builder = builder
        self._head = f"network {name}{_arguments(parameters)}:"
        self._lines: list[str] = []

    def population(self, name: str, shape: Any, model: str, **arguments: Any) -> None:
        """``population NAME[shape]: MODEL(arguments)``; a shape of None is found from the connections."""
        self._lines.append(f"population {_piece(name)}{_shape(shape)}: {_piece(model)}{_arguments(arguments)}")

    def input(self, name: str, shape: Any = None) -> None:
        """``input NAME[shape]``."""
        self._lines.append(f"input {_piece(name)}{_shape(shape)}")

    def output(self, *names: str) -> None:
        """``output NAME``."""
        self._lines.extend(f"output {_piece(name)}" for name in names)

    def connect(
        self,
        pre: str,
        post: str | Iterable[str],
        pattern: str,
        *,
        name: str = "",
        via: str = "",
        **options: Any,
    ) -> None:
        """``connect NAME = PRE -> POST.port: PATTERN via SYNAPSE(...), w = …, gain = …, delay = …``."""
        targets = [post] if isinstance(post, str) else list(post)
        line = f"connect {_piece(name) + ' = ' if name else ''}{_piece(pre)} -> {', '.join(_piece(t) for t in targets)}: {_piece(pattern)}"
        line += f" via {_piece(via)}" if via else ""
        line += "".join(f", {key} = {_value(value)}" for key, value in options.items())
        self._lines.append(line)

    def line(self, text: str) -> None:
        """Any other line of a network, such as a chain."""
        self._lines.append(_piece(text))

    def simulate(self, name: str = "", *, set: dict[str, Any] | None = None, **settings: Any) -> Experiment:
        """``simulate NETWORK(set) as NAME:`` with settings such as ``dt``, ``duration`` and ``seed``."""
        made = Experiment(f"simulate {self.name}{_arguments(set or {})}{' as ' + _piece(name) if name else ''}:", settings)
        self._builder._experiments.append(made)
        return made

    def lines(self) -> list[str]:
        return [self._head, *(f"    {line}" for line in self._lines)]


class Experiment:
    """An experiment under construction."""

    def __init__(self, head: str, settings: dict[str, Any]) -> None:
        self._head = head
        self._lines = [f"{name} = {_value(value)}" for name, value in settings.items()]

    def record(self, *items: str, every: Any = None) -> None:
        """``record E.spikes, E.v[0:3] every 1 ms``."""
        rhythm = "" if every is None else f" every {_value(every)}"
        self._lines.append(f"record {', '.join(_piece(item) for item in items)}{rhythm}")

    def plot(self, *items: str) -> None:
        """``plot raster(E), trace(E.v)``."""
        self._lines.append(f"plot {', '.join(_piece(item) for item in items)}")

    def drive(self, target: str, value: Any) -> None:
        """``drive E.I = 2 nA``."""
        self._lines.append(f"drive {_piece(target)} = {_value(value)}")

    def sweep(self, name: str, values: Iterable[Any]) -> None:
        """``sweep g in [3, 4, 5]``."""
        self._lines.append(f"sweep {_piece(name)} in {_value(list(values))}")

    def freeze(self, *names: str) -> None:
        """``freeze feed.w``: from the next ``present`` on."""
        self._lines.append(f"freeze {', '.join(_piece(name) for name in names)}")

    def present(self, data: str, *columns: str, duration: Any, rest: Any = None, epochs: int | None = None) -> None:
        """``present digits() as image, label for 100 ms, rest 20 ms, epochs = 3``."""
        line = f"present {_piece(data)} as {', '.join(_piece(c) for c in columns)} for {_value(duration)}"
        line += "" if rest is None else f", rest {_value(rest)}"
        line += "" if epochs is None else f", epochs = {epochs}"
        self._lines.append(line)

    def line(self, text: str) -> None:
        """Any other line of an experiment, such as ``at 500 ms: E.v += 5 mV``."""
        self._lines.append(_piece(text))

    def lines(self) -> list[str]:
        return [self._head, *(f"    {line}" for line in self._lines)]


# --- pieces of text ---------------------------------------------------------------------------------------------------


def _piece(text: str) -> str:
    """A piece of one line of the language."""
    if not isinstance(text, str) or not text.strip() or any(mark in text for mark in "\n\r#"):
        raise error("E821", f"{text!r} is not a piece of one line", help="give a text without line breaks and comments")
    return text.strip()


def _value(value: Any) -> str:
    """A value as the language writes it: texts as they are, numbers, truth values and lists written out."""
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        value = value.tolist()
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            if value != value or value in (float("inf"), float("-inf")):
                return "inf" if value > 0 else _piece(str(value))
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(_value(item) for item in value)}]"
        case str():
            return _piece(value)
        case _:
            raise error("E821", f"{value!r} cannot be written in the language", help="give a text, a number or a list of them")


def _arguments(values: dict[str, Any]) -> str:
    return f"({', '.join(f'{name} = {_value(value)}' for name, value in values.items())})" if values else ""


def _shape(shape: Any) -> str:
    if shape is None:
        return ""
    parts = shape if isinstance(shape, list | tuple) else [shape]
    return f"[{', '.join(_value(part) for part in parts)}]"
