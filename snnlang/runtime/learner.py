"""A network that learns: an elaborated ``train`` block with its parameters in one array, ready to go forwards and backwards.

It holds the engines (one for each form in which data may come), the loss, and the names under which a user knows the parameters:
``h.beta`` of a population, ``image->h.x.w`` and ``image->h.x.bias`` of connections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.codegen.derivative import number, over, plus, power, times
from snnlang.codegen.learning_plan import LearningPlan, Link, learning_plan
from snnlang.codegen.lower_expression import lower_expression
from snnlang.codegen.plan import Plan
from snnlang.codegen.random import bases, key_of, uniforms
from snnlang.codegen.slopes import Coefficients
from snnlang.diagnostics import Span, error
from snnlang.frozen import dataclass
from snnlang.model import expression as e
from snnlang.model.network import Experiment
from snnlang.runtime.device_numpy import NumpyDevice
from snnlang.runtime.learning_engine import Engine, Readout, Wiring
from snnlang.runtime.losses import LossFunction, Outcome
from snnlang.runtime.product_of import fan_in, product_of
from snnlang.runtime.products import Product

Values = NDArray[Any]
_ATAN = 2.0


@dataclass(frozen=True, slots=True)
class Trained:
    """One array of parameters: its name for users, the plan's array, its place in the one array of all, and its bounds (or None)."""

    name: str
    array: str
    start: int
    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None

    @property
    def stop(self) -> int:
        return self.start + int(np.prod(self.shape, dtype=np.int64))


class Learner:
    """Forward, loss and backward of one network. ``parameters`` and ``gradients`` are (n,), ``trained`` says what lies where."""

    def __init__(
        self,
        experiment: Experiment,
        plan: Plan,
        *,
        target: Literal["c", "numpy"] = "c",
        threads: int = 1,
        readouts: Sequence[Readout] = (),
    ) -> None:
        assert experiment.training is not None
        self.experiment = experiment
        self.training = experiment.training
        self.plan = plan
        self.target, self.threads = target, threads
        network = experiment.network
        self.layers: LearningPlan = learning_plan(
            plan, tuple(population.path for population in network.populations), tuple(i.path for i in network.inputs)
        )
        self.real = np.dtype(np.float32 if plan.precision == "single" else np.float64)
        self._device = NumpyDevice(replace(plan, step=(), trial_end=(), recorders=()))
        self._device.setup()
        self._device.coefficients()
        self._device.trial_start()
        self.values: dict[str, Values] = {name: self._read(name) for name in plan.arrays}
        self.initial = dict(self.values)
        self.products: dict[str, Product] = {}
        self._choose()
        self.loss = LossFunction(self.training.loss, self.training.steps, plan.dt, self._classes())
        self.readouts = self._readouts(readouts)
        self._engines: dict[tuple[frozenset[str], bool], Engine] = {}
        self._monitors: dict[tuple[frozenset[str], bool], Engine | None] = {}
        self.samples = 0

    # --- parameters ---------------------------------------------------------------------------------------------------

    def _read(self, name: str) -> Values:
        value = np.array(self._device.read(name))
        return value.astype(self.real) if value.dtype.kind == "f" else value

    def _choose(self) -> None:
        """What is trained, laid out in one array: weights, biases, then the parameters of neurons."""
        plan, projections = self.plan, {p.path: p for p in self.experiment.network.projections}
        frozen = set(self.training.freeze)
        chosen: list[tuple[str, str, float | None, float | None]] = []
        for link in self.layers.links:
            if link.kind == "bias":
                owner, variable = plan.arrays[link.weight].owner, "bias"
                self.products[link.name] = None  # type: ignore[assignment]
            else:
                connectivity = plan.connectivities[link.connectivity]
                self.products[link.name], shape = product_of(link, connectivity, plan, self._device)
                owner, variable = connectivity.owner, "w"
                if not link.weight:
                    continue
                self._expand(link, shape)
                if not self.products[link.name].trained:
                    continue
                projection = projections.get(owner)
                if projection is not None and projection.weight is None and projection.synapse is None:
                    if projection.pattern.kind in ("one_to_one", "avg_pool", "max_pool", "flatten"):
                        continue
                    self._draw(link, owner, fan_in(connectivity, self.values[link.weight].size))
            if (owner, variable) in frozen or (owner, plan.arrays[link.weight].variable) in frozen:
                continue
            if any(array == link.weight for _, array, _, _ in chosen):
                continue
            name = plan.arrays[link.weight].variable or variable
            chosen.append((f"{owner}.{name}", link.weight, *self._weight_bounds(owner, name)))
        weights = frozenset(array for _, array, _, _ in chosen)
        for population in self.experiment.network.populations:
            for param in population.model.params:
                described = self._array(population.path, param.name)
                if param.trainable and described is not None and (population.path, param.name) not in frozen:
                    low, high = _bounds(param)
                    chosen.append((f"{population.path}.{param.name}", described, low, high))
        own = frozenset(array for _, array, _, _ in chosen) - weights
        self._coefficients = Coefficients(plan, own)
        self.trained: tuple[Trained, ...] = ()
        size = 0
        for name, array, low, high in chosen:
            made = Trained(name, array, size, self.values[array].shape, low, high)
            self.trained = (*self.trained, made)
            size = made.stop
        self.parameters = np.zeros(size, self.real)
        self.gradients = np.zeros(size, self.real)
        self._gradient_views: dict[str, Values] = {}
        for one in self.trained:
            view = self.parameters[one.start : one.stop].reshape(one.shape)
            view[...] = self.values[one.array]
            self.values[one.array] = view
            self._gradient_views[one.array] = self.gradients[one.start : one.stop].reshape(one.shape)
        cells = {q.array for cell in self.layers.cells.values() for q in cell.parameters}
        self._trained_weights = weights
        self._trained_parameters = self._coefficients.reached & cells
        self._own = own

    def _draw(self, link: Link, owner: str, fan: float) -> None:
        """Weights that nobody gave begin uniform within 1/sqrt(fan_in) of 0 (LeCun et al. 1998), a draw of their own for each seed."""
        value = self.values[link.weight]
        draws = uniforms(bases(key_of(self.experiment.seed, owner, "w"), value.size), 0)
        bound = 1.0 / np.sqrt(max(fan, 1.0)) / abs(link.scale or 1.0)
        value[...] = ((2.0 * draws - 1.0) * bound).reshape(value.shape)

    def _expand(self, link: Link, shape: tuple[int, ...]) -> None:
        """One weight of its own for every synapse, even where all begin with the same."""
        value = self.values[link.weight]
        if value.size == 1 and shape:
            self.values[link.weight] = np.full(shape, value.reshape(-1)[0], self.real)
        elif shape:
            self.values[link.weight] = np.ascontiguousarray(value, self.real).reshape(shape)

    def _array(self, path: str, variable: str) -> str | None:
        found = [
            a for a in self.plan.arrays.values() if a.owner == path and a.variable == variable and a.role == "param"
        ]
        return found[0].name if found else None

    def _weight_bounds(self, owner: str, variable: str) -> tuple[float | None, float | None]:
        projection = next((p for p in self.experiment.network.projections if p.path == owner), None)
        if projection is None or projection.synapse is None:
            return None, None
        state = next((s for s in projection.synapse.states if s.name == variable), None)
        return (None, None) if state is None else _bounds(state)

    def bound(self) -> None:
        """Put parameters back into their bounds, and compute what depends on them."""
        for one in self.trained:
            if one.low is not None or one.high is not None:
                view = self.parameters[one.start : one.stop]
                np.clip(view, one.low, one.high, out=view)
        self.refresh()

    def refresh(self) -> None:
        """Compute coefficients and initial states anew after parameters of neurons changed."""
        if not self._own:
            return
        for array in self._own:
            self._device.write(array, self.values[array])
        self._device.coefficients()
        self._device.trial_start()
        for array in self._coefficients.reached - self._own:
            self.values[array][...] = self._device.read(array)
        for cell in self.layers.cells.values():
            for carried in cell.carried:
                self.initial[carried.array] = self._read(carried.array)

    def named(self) -> dict[str, Values]:
        """Every trained array by its name, as views."""
        return {one.name: self.parameters[one.start : one.stop].reshape(one.shape) for one in self.trained}

    # --- what the loss reads ------------------------------------------------------------------------------------------

    def _classes(self) -> int:
        from snnlang.model.learning import Apply, Reading

        def first(node: Any) -> str | None:
            if isinstance(node, Reading) and not node.weights:
                return node.path
            if isinstance(node, Apply):
                return next((found for operand in node.operands if (found := first(operand)) is not None), None)
            return None

        path = first(self.training.loss)
        return next((p.size for p in self.experiment.network.populations if p.path == path), 1)

    def _readouts(self, more: Sequence[Readout]) -> tuple[Readout, ...]:
        found = [
            Readout(asked.label, asked.path, self.output_of(asked.path, asked.variable, asked.span), asked.weights)
            for asked in self.loss.asked.values()
        ]
        return (*found, *more)

    def output_of(self, path: str, variable: str, span: Span | None = None) -> str:
        """The array or event list of a population's variable."""
        cell = self.layers.cells.get(path)
        for name, events in self.plan.lists.items():
            if events.owner == path and events.event == variable:
                return name
        for name, array in self.plan.arrays.items():
            if array.owner == path and array.variable == variable and cell is not None and name in cell.outputs:
                return name
        raise error(
            "E751",
            f"training cannot read `{variable}` of `{path}`",
            span,
            "not kept in every step",
            help="read a state, an event or the output; a parameter never changes within a presentation",
        )

    # --- passes -------------------------------------------------------------------------------------------------------

    def engine(self, once: frozenset[str], backward: bool) -> Engine:
        key = (once, backward)
        if key not in self._engines:
            self._engines[key] = self._engine(self.readouts, once, backward)
        return self._engines[key]

    def _engine(self, readouts: Sequence[Readout], once: frozenset[str], backward: bool) -> Engine:
        wiring = Wiring(
            self.products,
            self.values,
            self.initial,
            self._trained_weights,
            self._trained_parameters,
            dict(self._gradient_views),
        )
        return Engine(
            self.layers,
            wiring,
            readouts,
            steps=self.training.steps,
            surrogate=self.surrogate(),
            once=once,
            target=self.target,
            threads=self.threads,
            segment=self.training.checkpoint,
            truncate=self.training.truncate,
            backward=backward,
            resets=self.training.through_reset,
        )

    def surrogate(self) -> Any:
        """The surrogate as a function of the margin's expression."""
        written = self.training.surrogate
        if written is None:
            return lambda margin: over(
                number(_ATAN / 2), plus(number(1), power(times(number(np.pi / 2 * _ATAN), margin), 2))
            )
        return lambda margin: lower_expression(written, _Margin(margin))

    def inputs(self, x: Mapping[str, Values]) -> tuple[dict[str, Values], frozenset[str]]:
        """Arrays by input of the network in the engine's form, and which of them are the same in every step. Given are (batch, ...) or
        (batch, steps, ...)."""
        made: dict[str, Values] = {}
        once: set[str] = set()
        for described in self.experiment.network.inputs:
            value = np.asarray(x[described.path], self.real)
            size, rest = described.size, int(np.prod(value.shape[1:], dtype=np.int64))
            if rest == size:
                made[described.path] = np.ascontiguousarray(value.reshape(value.shape[0], size))
                once.add(described.path)
            elif value.ndim > 1 and value.shape[1] == self.training.steps and rest == size * self.training.steps:
                timed = value.reshape(value.shape[0], self.training.steps, size)
                made[described.path] = np.ascontiguousarray(timed.transpose(1, 0, 2))
            else:
                shape = " x ".join(map(str, value.shape[1:]))
                wanted = " x ".join(map(str, described.shape))
                raise error(
                    "E753",
                    f"a sample is {shape}, and the input `{described.path}` is {wanted}",
                    described.span,
                    help=f"give samples of {wanted}, or of {self.training.steps} steps of that",
                )
        return made, frozenset(once)

    def forward(self, x: Mapping[str, Values], *, keep: bool = False) -> dict[str, Values]:
        """The readouts of a batch by label."""
        given, once = self.inputs(x)
        batch = next(iter(x.values())).shape[0]
        made = self.engine(once, keep or (once, True) in self._engines).forward(given, keep=keep, sample=self.samples)
        if keep:
            self.samples += batch
        return made

    def rates(self, x: Mapping[str, Values]) -> dict[str, float]:
        """Spikes per neuron and step of every population that fires, on one batch."""
        given, once = self.inputs(x)
        key = (once, False)
        if key not in self._monitors:
            steps = self.training.steps
            readouts = [
                Readout(events.owner, events.owner, name, (1.0 / steps,) * steps)
                for name, events in self.plan.lists.items()
                if events.event == "spike" and events.owner in self.layers.cells
            ]
            self._monitors[key] = self._engine(readouts, once, False) if readouts else None
        monitor = self._monitors[key]
        if monitor is None:
            return {}
        return {path: float(value.mean()) for path, value in monitor.forward(given, keep=False).items()}

    def compare(self, readouts: Mapping[str, Values], columns: Mapping[str, Values], gradient: bool = True) -> Outcome:
        """The loss of what came out."""
        weights = {
            f"{path}.{name}": self.values[self._weight_array(path, name)] for path, name in self.loss.weight_names()
        }
        return self.loss(readouts, columns, weights, gradient=gradient)

    def _weight_array(self, path: str, variable: str) -> str:
        return next(a.name for a in self.plan.arrays.values() if a.owner == path and a.variable == variable)

    def learn(self, x: Mapping[str, Values], columns: Mapping[str, Values]) -> Outcome:
        """Forward, loss and backward of one batch: ``gradients`` are those of the mean loss."""
        given, once = self.inputs(x)
        batch = next(iter(x.values())).shape[0]
        engine = self.engine(once, True)
        readouts = engine.forward(given, sample=self.samples)
        self.samples += batch
        outcome = self.compare(readouts, columns)
        made = engine.backward(outcome.adjoints)
        self._coefficients.back(self.values, made)
        for array in self._own:
            self._gradient_views[array][...] = np.asarray(made[array]).reshape(self._gradient_views[array].shape)
        for label, adjoint in outcome.weights.items():
            path, _, variable = label.rpartition(".")
            array = self._weight_array(path, variable)
            if array in self._gradient_views:
                self._gradient_views[array] += np.asarray(adjoint).reshape(self._gradient_views[array].shape)
        return outcome


class _Margin:
    """What names mean in a surrogate: there is one, the margin."""

    def __init__(self, margin: k.Expr) -> None:
        self.margin = margin

    def variable(self, node: e.Variable) -> k.Expr:
        return self.margin

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a surrogate asks for {name}")


def _bounds(item: Any) -> tuple[float | None, float | None]:
    """The closed interval that an optimizer keeps a parameter in; open ends give way by a little."""
    from snnlang.model.evaluate import evaluate

    if item.bounds is None:
        return None, None
    low, high = evaluate(item.bounds.low), evaluate(item.bounds.high)
    ends: list[float | None] = []
    for value, closed, sign in ((low, item.bounds.low_closed, 1.0), (high, item.bounds.high_closed, -1.0)):
        if value is None or not np.isfinite(value):
            ends.append(None)
        else:
            ends.append(float(value) if closed else float(value) + sign * 1e-6 * max(1.0, abs(float(value))))
    return ends[0], ends[1]
