"""The Python door: a file or a text becomes a Model, and a Model runs.

>>> import snnlang
>>> recording = snnlang.load("balanced.snn").run(duration="2 s", set={"g": 4})   # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnlang.diagnostics import Diagnostic, Source
from snnlang.model.model import Program
from snnlang.runtime.advance import Origin
from snnlang.runtime.quantity import milliseconds
from snnlang.runtime.recording import Recording
from snnlang.runtime.run import run
from snnlang.runtime.simulation import Simulation

if TYPE_CHECKING:
    from snnlang.model.elaborate import Overrides
    from snnlang.runtime.agreement import Agreement
    from snnlang.runtime.network import Network
    from snnlang.runtime.training import History


class Model:
    """A checked program. ``warnings`` holds what the checker remarked."""

    def __init__(self, program: Program, text: str, name: str) -> None:
        self.program = program
        self.text = text
        self.name = name
        self._network: Network | None = None

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What the checker remarked."""
        return self.program.warnings

    @property
    def hash(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def experiments(self) -> tuple[str, ...]:
        """Names of the experiments of the file: its ``simulate`` and ``train`` blocks."""
        return tuple(self.program.experiment_names())

    @property
    def simulations(self) -> tuple[str, ...]:
        """Names of those that simulate."""
        names = zip(self.program.experiment_names(), self.program.experiments, strict=True)
        return tuple(name for name, experiment in names if experiment.kind == "simulate")

    def run(
        self,
        experiment: str | None = None,
        *,
        target: str = "auto",
        threads: int | None = None,
        math: str | None = None,
        dt: Any = None,
        duration: Any = None,
        seed: int | None = None,
        precision: str | None = None,
        method: str | None = None,
        set: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        weights: str | Path | Mapping[str, Any] | None = None,
        progress: bool | None = None,
        out: str | Path | None = None,
    ) -> Recording:
        """Run a whole experiment and return what was recorded; a sweep returns one recording with ``.sweep``.

        Times are texts (``"10 ms"``) or numbers of ms; ``set`` gives parameters of the network and settings other values, as texts of the
        language or numbers in internal units; ``data`` gives arrays by name to ``present`` and to inputs. ``precision`` is ``float64`` or
        ``float32`` (default: float64; of cuda, float32). ``target`` is ``auto`` (cuda for large work where a device answers, else c, else
        numpy), ``c``, ``cuda``, ``numpy`` or ``interpreter``; ``threads`` (default: as many as pay) and ``math`` (``fast``,
        ``strict``) are for
        c. ``weights`` is a file that a training wrote, or arrays by their names in ``net.weights``: they take the places of weights and
        parameters of the same names. ``progress`` None shows a bar on a terminal. ``out`` is a ``.npz`` file, or a directory that is
        written while running.
        """
        from snnlang.compile import prepare

        began = time.perf_counter()
        prepared = prepare(
            self.program,
            overrides(dt, duration, seed, precision, method, target, set, threads, math, weights),
            experiment,
        )
        preparing = time.perf_counter() - began
        return run(prepared, progress=progress, out=out, data=data, model_hash=self.hash, preparing=preparing)

    def simulation(
        self,
        experiment: str | None = None,
        *,
        target: str = "auto",
        threads: int | None = None,
        math: str | None = None,
        dt: Any = None,
        duration: Any = None,
        seed: int | None = None,
        precision: str | None = None,
        method: str | None = None,
        set: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        weights: str | Path | Mapping[str, Any] | None = None,
        progress: bool | None = False,
        out: str | Path | None = None,
    ) -> Simulation:
        """A simulation to be driven from Python, at its start. Of a sweep: its first point."""
        from snnlang.compile import prepare

        began = time.perf_counter()
        prepared = prepare(
            self.program,
            overrides(dt, duration, seed, precision, method, target, set, threads, math, weights),
            experiment,
        )
        origin = Origin(self.hash, time.perf_counter() - began)
        return Simulation(
            prepared.experiment,
            prepared.plan,
            target=prepared.target,
            threads=prepared.threads,
            math=prepared.math,
            data=data,
            out=out,
            progress=progress,
            origin=origin,
        )

    def network(
        self,
        name: str | None = None,
        *,
        target: str = "auto",
        threads: int | None = None,
        precision: str | None = None,
        seed: int | None = None,
        set: Mapping[str, Any] | None = None,
        weights: str | Path | Mapping[str, Any] | None = None,
    ) -> Network:
        """The network of a ``train`` block (None: the first one) with its weights, to be trained and asked from Python.

        Each call makes a new one; :meth:`train`, :meth:`forward` and :meth:`grad` share the first.
        """
        from snnlang.runtime.network import Network

        chosen = overrides(None, None, seed, precision, None, target, set, threads, None, weights)
        return Network(self.program, name, chosen)

    @property
    def net(self) -> Network:
        """The network of the first ``train`` block, made when it is first asked for."""
        if self._network is None:
            self._network = self.network()
        return self._network

    def train(self, x: Any = None, y: Any = None, **options: Any) -> History:
        """Train the network of the first ``train`` block: see :meth:`snnlang.runtime.network.Network.train`."""
        return self.net.train(x, y, **options)

    def forward(self, x: Any) -> dict[str, Any]:
        """What the loss would read of a batch: see :meth:`snnlang.runtime.network.Network.forward`."""
        return self.net.forward(x)

    def grad(self, x: Any, y: Any) -> tuple[float, dict[str, Any]]:
        """Loss and gradients of a batch: see :meth:`snnlang.runtime.network.Network.grad`."""
        return self.net.grad(x, y)

    def evaluate(self, x: Any = None, y: Any = None, **options: Any) -> dict[str, Any]:
        """Loss, accuracy and rates on data: see :meth:`snnlang.runtime.network.Network.evaluate`."""
        return self.net.evaluate(x, y, **options)

    def save(self, path: str | Path) -> None:
        """Write the weights of the network: see :meth:`snnlang.runtime.network.Network.save`."""
        self.net.save(path)

    @property
    def weights(self) -> dict[str, Any]:
        """Every trained array by its name: see :attr:`snnlang.runtime.network.Network.weights`."""
        return self.net.weights

    def verify(
        self,
        experiment: str | None = None,
        *,
        targets: Sequence[str] | None = None,
        threads: int | None = None,
        math: str | None = None,
        dt: Any = None,
        duration: Any = None,
        seed: int | None = None,
        precision: str | None = None,
        method: str | None = None,
        set: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        weights: str | Path | Mapping[str, Any] | None = None,
    ) -> Agreement:
        """Run the beginning of an experiment on every target of this machine (or on ``targets``) and compare: see ``snn verify``.

        Of a ``train`` block: the first samples forwards (``.forward`` of the report), and a few updates.

        ``.agrees`` of the report says whether spikes are the same and numbers equal to rounding; ``print`` shows it as a table. Without
        ``duration``, as much is run as the interpreter can do in a few seconds. The other arguments are those of :meth:`run`.
        """
        from snnlang.compile import prepare
        from snnlang.model.elaborate import kind_of
        from snnlang.runtime.agreement import verify

        given = overrides(dt, duration, seed, precision, method, "auto", set, threads, math, weights)
        if kind_of(self.program, experiment) == "train":
            from snnlang.runtime.agreement_training import verify_training

            return verify_training(self.program, experiment, given, targets=targets, threads=threads, data=data)
        prepared = prepare(self.program, given, experiment)
        return verify(prepared, targets=targets, threads=threads, whole=duration is not None, data=dict(data or {}))

    def __repr__(self) -> str:
        return f"<Model {self.name}: {', '.join(self.experiments) or 'no experiment'}>"


def load(source: str | os.PathLike[str]) -> Model:
    """Read and check a program: a path, or the text itself (it holds a line break). Raises SnnError with every mistake found."""
    from snnlang.compile import load_program
    from snnlang.syntax.parse import read_source

    found = Source("<string>", source) if isinstance(source, str) and "\n" in source else read_source(Path(source))
    program = load_program(found)
    return Model(program, found.text, found.name)


def overrides(
    dt: Any,
    duration: Any,
    seed: int | None,
    precision: str | None,
    method: str | None,
    target: str,
    values: Mapping[str, Any] | None,
    threads: int | None = None,
    math: str | None = None,
    weights: str | Path | Mapping[str, Any] | None = None,
) -> Overrides:
    """What Python says instead of the text."""
    from snnlang.model.elaborate import Overrides
    from snnlang.runtime.checkpoint import weights_of

    return Overrides(
        dt=None if dt is None else milliseconds(dt, "dt"),
        duration=None if duration is None else milliseconds(duration, "duration"),
        seed=seed,
        method=method,
        precision=precision,
        target=None if target == "auto" else target,
        threads=threads,
        math=math,
        values={name: _plain_number(value) for name, value in (values or {}).items()},
        weights=None if weights is None else weights_of(weights),
    )


def _plain_number(value: Any) -> Any:
    """NumPy's numbers as Python's: an override is written out as text of the language."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
