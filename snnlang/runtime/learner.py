"""A network that learns: an elaborated ``train`` block with its parameters in one array, ready to go forwards and backwards.

It holds the engines (one for each form in which data may come), the loss, and the names under which a user knows the parameters:
``h.beta`` of a population, ``image->h.x.w`` and ``image->h.x.bias`` of connections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.codegen.derivative import number, over, plus, power, times
from snnlang.codegen.late_links import late_links, late_refusal
from snnlang.codegen.learning_plan import LearningPlan, Link, learning_plan
from snnlang.codegen.lower_expression import lower_expression
from snnlang.codegen.plan import Connectivity, Launch, Plan, PlanNode
from snnlang.codegen.random import bases, key_of, uniforms
from snnlang.codegen.slopes import Coefficients
from snnlang.diagnostics import SnnError, Span, error
from snnlang.frozen import dataclass
from snnlang.model import expression as e
from snnlang.model.batch_norm import LEARNT, MEASURED, channels
from snnlang.model.learning import mixes_samples
from snnlang.model.model import Param, State
from snnlang.model.network import BatchNorm, Experiment, Projection
from snnlang.runtime import aligned
from snnlang.runtime.batch_norm import Stage, alone
from snnlang.runtime.device_numpy import NumpyDevice
from snnlang.runtime.engine_cells import Readout, Wiring
from snnlang.runtime.frozen_numbers import settle, untrained
from snnlang.runtime.learning_arrays import Arrays, HostArrays, downloaded
from snnlang.runtime.learning_engine import Engine
from snnlang.runtime.losses import LossFunction, Outcome, joined
from snnlang.runtime.native_lists import NativeLists
from snnlang.runtime.native_products import Native
from snnlang.runtime.optimizers import Optimizer
from snnlang.runtime.product_of import fan_in, product_of
from snnlang.runtime.products import Dropped, OneToOne, Product, Sparse, Transposed
from snnlang.runtime.trained_synapses import trained_of_synapses

Values = NDArray[Any]
_ATAN = 2.0
#: Bytes that a batch keeps from which on its samples go in parts, and how many go together at least: fewer would not fill the products.
WORTH_PARTS, LEAST_TOGETHER = 8 << 20, 64


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
        target: Literal["c", "numpy", "cuda"] = "c",
        threads: int = 1,
        arrays: Arrays | None = None,
        readouts: Sequence[Readout] = (),
    ) -> None:
        assert experiment.training is not None
        self.experiment = experiment
        self.training = experiment.training
        self.target, self.threads = target, threads
        self.arrays: Arrays = arrays or HostArrays(target, threads)
        network = experiment.network
        self._of_synapses = trained_of_synapses(network, plan, frozenset(self.training.freeze))
        self.layers: LearningPlan = learning_plan(
            plan,
            tuple(population.path for population in network.populations),
            tuple(i.path for i in network.inputs),
            frozenset(one.array for one in self._of_synapses),
        )
        self.plan = plan = self.layers.plan
        self.real = np.dtype(np.float32 if plan.precision == "single" else np.float64)
        self._device = NumpyDevice(replace(plan, step=(), trial_end=(), recorders=()))
        self._device.setup()
        self._device.coefficients()
        self._device.trial_start()
        self.layers = late_links(self.layers, lambda name: np.asarray(self._device.read(name)))
        self.values: dict[str, Values] = {name: self._read(name) for name in plan.arrays}
        self.initial = dict(self.values)
        self.products: dict[str, Product] = {}
        self.stages: dict[str, Stage] = {}  # batch normalisations by link
        self._choose()
        self.loss = LossFunction(self.training.loss, self.training.steps, plan.dt, self._classes())
        self.readouts = self._readouts(readouts)
        self._engines: dict[tuple[frozenset[str], bool], Engine] = {}
        self._monitors: dict[tuple[frozenset[str], bool], Engine | None] = {}
        self.samples = 0
        self.settled = 0  # how often untrained numbers were changed: engines from before have the old ones

    # --- parameters ---------------------------------------------------------------------------------------------------

    def _read(self, name: str) -> Values:
        value = np.array(self._device.read(name))
        return value.astype(self.real) if value.dtype.kind == "f" else value

    def _choose(self) -> None:
        """What is trained, laid out in one array: weights, biases, then the parameters of neurons."""
        plan, projections = self.plan, {p.path: p for p in self.experiment.network.projections}
        frozen = set(self.training.freeze)
        native = Native(plan.precision, self.threads) if self.target == "c" else None
        lists = NativeLists(plan.precision, self.threads) if self.target == "c" else None
        chosen: list[tuple[str, str, float | None, float | None]] = []
        kept: dict[str, str] = {}  # frozen weights and biases: arrays by name
        for link in self.layers.links:
            if link.kind == "bias":
                owner, variable = plan.arrays[link.weight].owner, "bias"
                self.products[link.name] = None  # type: ignore[assignment]
            else:
                connectivity = plan.connectivities[link.connectivity]
                tied = projections[connectivity.owner].tied if connectivity.owner in projections else None
                if tied is not None:  # the weight is another connection's, which trains it
                    product = self._tied(link, connectivity, tied[1])
                    self.products[link.name] = self._dropped(product, connectivity, projections)
                    continue
                product, shape = product_of(link, connectivity, plan, self._device, native, lists)
                self.products[link.name] = self._dropped(product, connectivity, projections)
                owner, variable = connectivity.owner, "w"
                projection = projections.get(owner)
                if projection is not None and projection.batch_norm is not None:
                    if link.late is not None:
                        raise late_refusal(link, "batch_norm over synapses whose delays differ")
                    chosen += self._normalised(link, projection, projection.batch_norm, frozen)
                    kept.update({f"{owner}.{name}": f"{owner}.{name}" for name in LEARNT if (owner, name) in frozen})
                if not link.weight:
                    self._all_one(link, shape)
                    continue
                self._expand(link, shape)
                if not self.products[link.name].trained:
                    continue
                if projection is not None and projection.weight is None and projection.synapse is None:
                    if projection.pattern.kind in ("one_to_one", "avg_pool", "max_pool", "flatten"):
                        continue
                    self._draw(link, owner, fan_in(connectivity, self.values[link.weight].size))
            name = plan.arrays[link.weight].variable or variable
            if (owner, variable) in frozen or (owner, name) in frozen:
                kept[f"{owner}.{name}"] = link.weight
                continue
            if any(array == link.weight for _, array, _, _ in chosen):
                continue
            chosen.append((f"{owner}.{name}", link.weight, *self._weight_bounds(owner, name)))
        if native is not None:
            native.begin()
        weights = frozenset(array for _, array, _, _ in chosen)
        for population in self.experiment.network.populations:
            items: list[Param | State] = [*population.model.params, *population.model.states]
            for item in items:
                described = self.array_of(population.path, item.name)
                if item.trainable and described is not None and (population.path, item.name) not in frozen:
                    low, high = _bounds(item)
                    chosen.append((f"{population.path}.{item.name}", described, low, high))
        for more in self._of_synapses:
            low, high = (more.low, more.high) if more.param is None else _bounds(more.param)
            chosen.append((more.name, more.array, low, high))
        own = frozenset(array for _, array, _, _ in chosen) - weights
        self._coefficients = Coefficients(plan, own)
        self.trained: tuple[Trained, ...] = ()
        size = 0
        for name, array, low, high in chosen:
            made = Trained(name, array, size, self.values[array].shape, low, high)
            self.trained = (*self.trained, made)
            size = made.stop
        self.parameters = aligned.zeros(size, self.real)
        self._gradients = aligned.lazy(size, self.real)
        self._last: Engine | None = None  # whose backward pass came last
        self._gradient_views: dict[str, Values] = {}
        for one in self.trained:
            view = self.parameters[one.start : one.stop].reshape(one.shape)
            view[...] = self.values[one.array]
            self.values[one.array] = view
            self._gradient_views[one.array] = self._gradients[one.start : one.stop].reshape(one.shape)
        cells = {q.array for cell in self.layers.cells.values() for q in cell.parameters}
        self._trained_weights = weights
        self._trained_parameters = self._coefficients.reached & cells
        carried = {c.array for cell in self.layers.cells.values() for c in cell.carried}
        late = {link.source for link in self.layers.links if link.lag and link.source in plan.arrays}
        self._starting = sorted(carried | late)
        self._trained_states = self._coefficients.reached & frozenset(self._starting)
        self._own = own
        for one in self.trained:
            if one.array in own and not self._coefficients.reached_from(one.array) & (cells | set(self._starting)):
                raise self._without_gradient(one)
        self._again: NumpyDevice | None = None
        self.untrained = untrained(self, kept)
        if self.arrays.apart:
            self._go_up()

    def _without_gradient(self, one: Trained) -> SnnError:
        """E786: nothing that has a derivative is made of a trained parameter."""
        path, _, name = one.name.rpartition(".")
        found = [p for p in self.experiment.network.populations if p.path == path]
        items: list[Param | State] = []
        for population in found:
            items += [*population.model.params, *population.model.states]
        item = next((item for item in items if item.name == name), None)
        return error(
            "E786",
            f"`{name}` of `{path}` cannot be trained: no number that has a derivative is made of it",
            self.training.span if item is None else item.span,
            "it is trainable",
            help=f"take `trainable` away, or write `freeze {one.name}` in the `train` block",
        )

    def _go_up(self) -> None:
        """Take all numbers to where they are computed with; views of the one array of parameters stay views."""
        up = self.arrays.up
        with self.arrays.said():
            self.initial = {name: up(value) for name, value in self.initial.items()}
            self.values = {name: up(value) for name, value in self.values.items()}
            self.parameters, self._gradients = up(self.parameters), up(self._gradients)
            for one in self.trained:
                self.values[one.array] = self.parameters[one.start : one.stop].reshape(one.shape)
                self._gradient_views[one.array] = self._gradients[one.start : one.stop].reshape(one.shape)
            for name, product in self.products.items():
                if product is not None:
                    self.products[name] = self.arrays.product(name, product)

    def _normalised(
        self, link: Link, projection: Projection, rule: BatchNorm, frozen: set[tuple[str, str]]
    ) -> list[tuple[str, str, float | None, float | None]]:
        """The batch normalisation of a connection: its numbers, and which of them are trained."""
        if rule.over_time and any(link in layer.links for layer in self.layers.layers):
            raise error(
                "E777",
                f"batch_norm over time of `{projection.path}`, which is on a cycle",
                rule.span,
                "needs all steps before the first one goes on",
                help=(
                    "leave `over = time` out: then each step is normalised by itself",
                    "or put it behind a connection outside of the cycle",
                ),
            )
        count = channels(projection)
        names = [f"{projection.path}.{variable}" for variable in (*LEARNT, *MEASURED)]
        for name, start in zip(names, (1.0, 0.0, 0.0, 1.0), strict=True):
            self.values[name] = np.full(count, start, self.real)
        gain, shift, mean, variance = names
        self.stages[link.name] = Stage(
            projection.path, rule, count, projection.post.size // count, gain, shift, mean, variance
        )
        return [
            (name, name, None, None)
            for name, variable in zip(names, LEARNT)
            if (projection.path, variable) not in frozen
        ]

    def refuse_one_sample(self, shape: tuple[int, ...]) -> None:
        """Raise E778 where a batch of one sample of this shape leaves a batch normalisation with one number."""
        sizes = {described.path: described.size for described in self.experiment.network.inputs}
        once = frozenset(path for path, size in sizes.items() if size == int(np.prod(shape, dtype=np.int64)))
        for link, stage in self.stages.items():
            several = stage.rule.over_time and self.training.steps > 1 and not self.engine(once, True).is_still(link)
            if stage.places == 1 and not several:
                raise alone(stage)

    def _dropped(self, product: Product, c: Connectivity, projections: Mapping[str, Projection]) -> Product:
        """The product with the dropout of its connection."""
        projection = projections.get(c.owner)
        if projection is None or not any(projection.dropout):
            return product
        sizes = (c.pre_size, c.post_size)
        return Dropped(product, c.owner, self.experiment.seed, projection.dropout, sizes, self.real)

    def masks(self, batch: int | None, sample: int) -> None:
        """Draw the masks of dropouts for ``batch`` samples from this one on; None: leave nothing out."""
        for product in self.products.values():
            if isinstance(product, Dropped):
                if batch is None:
                    product.clear()
                else:
                    product.draw(sample, batch)

    def _tied(self, link: Link, own: Connectivity, transposed: bool) -> Product:
        if link.late is not None:
            raise late_refusal(link, "weights of another connection, and delays that differ")
        if not transposed or own.kind == "one_to_one":
            return product_of(link, own, self.plan, self._device)[0]
        other = replace(
            own, pre_part=own.post_part, post_part=own.pre_part, pre_size=own.post_size, post_size=own.pre_size
        )
        return Transposed(product_of(link, other, self.plan, self._device)[0])

    def _draw(self, link: Link, owner: str, fan: float) -> None:
        """Weights that nobody gave begin uniform within 1/sqrt(fan_in) of 0 (LeCun et al. 1998), a draw of their own for each seed."""
        value = self.values[link.weight]
        draws = uniforms(bases(key_of(self.experiment.seed, owner, "w"), value.size), 0)
        bound = 1.0 / np.sqrt(max(fan, 1.0)) / abs(link.scale or 1.0)
        value[...] = ((2.0 * draws - 1.0) * bound).reshape(value.shape)

    def _all_one(self, link: Link, shape: tuple[int, ...]) -> None:
        """What a synapse delivers without its weight goes over a matrix of ones."""
        product = self.products[link.name]
        if not shape or isinstance(product, OneToOne) or (isinstance(product, Sparse) and product.shared is None):
            return  # these take one number for all
        name = f"{link.connectivity} all one"
        self.values[name] = np.ones(shape, self.real)

        def put(links: tuple[Link, ...]) -> tuple[Link, ...]:
            return tuple(replace(one, weight=name) if one.name == link.name else one for one in links)

        layers = tuple(replace(layer, links=put(layer.links)) for layer in self.layers.layers)
        self.layers = replace(self.layers, links=put(self.layers.links), layers=layers)

    def _expand(self, link: Link, shape: tuple[int, ...]) -> None:
        """One weight of its own for every synapse, even where all begin with the same."""
        value = self.values[link.weight]
        if value.size == 1 and shape:
            self.values[link.weight] = np.full(shape, value.reshape(-1)[0], self.real)
        elif shape:
            self.values[link.weight] = np.ascontiguousarray(value, self.real).reshape(shape)

    def array_of(self, path: str, variable: str) -> str | None:
        """The plan's array of a parameter or of the initial value of a state."""
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
                self.arrays.xp.clip(view, one.low, one.high, out=view)
        self.refresh()

    def refresh(self) -> None:
        """Compute coefficients and initial states anew after parameters of neurons changed."""
        if not self._own:
            return
        device = self._again = self._again or self._device_of_coefficients(self._own)
        for array in self._own:
            device.write(array, self.arrays.down(self.values[array]))
        device.coefficients()
        device.trial_start()
        for array in (self._coefficients.reached | self._coefficients.whole) - self._own:
            self.values[array][...] = self._up(device.read(array), self.values[array].dtype)
        for array in sorted(self._trained_states):
            self.initial[array] = self._up(np.array(device.read(array)), self.initial[array].dtype)

    def _up(self, value: Any, type: Any) -> Values:
        return self.arrays.up(np.asarray(value, type))

    def _device_of_coefficients(self, own: frozenset[str]) -> NumpyDevice:
        """What computes coefficients and initial states from parameters, and leaves ``own`` themselves as they are."""
        nodes = []
        for node in self.plan.coefficients:
            if isinstance(node, Launch) and isinstance(node.kernel.domain, k.Single | k.Each):
                written = [s for s in k.walk_statements(node.kernel.body) if isinstance(s, k.Store | k.Accumulate)]
                if all(isinstance(s, k.Store) for s in written) and not {s.array for s in written} <= own:
                    nodes.append(node)
        arrays = {name: array for name, array in self.plan.arrays.items() if array.connectivity is None}
        plan = replace(
            self.plan,
            arrays=arrays,
            connectivities={},
            setup=(),
            coefficients=tuple(nodes),
            trial_start=tuple(node for node in self.plan.trial_start if not _over_synapses(node)),
            step=(),
            trial_end=(),
            recorders=(),
        )
        device = NumpyDevice(plan)
        for name in arrays:
            device.memory.arrays[name][...] = self._device.memory.arrays[name]
        return device

    def named(self) -> dict[str, Values]:
        """Every trained array by its name, as views; on a device its arrays."""
        return {one.name: self.parameters[one.start : one.stop].reshape(one.shape) for one in self.trained}

    def measured(self) -> dict[str, Values]:
        """The running statistics of batch normalisations by their names, likewise: kept with what is trained."""
        return {name: self.values[name] for stage in self.stages.values() for name in (stage.mean, stage.variance)}

    def held(self) -> dict[str, Values]:
        """All of it on the host, and what is frozen: what is written there counts after :meth:`put`."""
        frozen = {one.name: self.values[one.array] for one in self.untrained if one.frozen}
        return downloaded(self.arrays, {**self.named(), **self.measured(), **frozen})

    def snapshot(self) -> dict[str, Values]:
        """What is trained and measured, copied where it lies, for :meth:`restore`."""
        return {"": self.parameters.copy(), **{name: value.copy() for name, value in self.measured().items()}}

    def restore(self, snapshot: Mapping[str, Values]) -> None:
        """Go back to a snapshot."""
        self.parameters[...] = snapshot[""]
        for name, value in self.measured().items():
            value[...] = snapshot[name]
        self.refresh()

    def put(self, held: Mapping[str, Values]) -> None:
        """Take over what :meth:`held` gave, or more untrained numbers by name, and compute what depends on it."""
        if self.arrays.apart:
            for name, view in {**self.named(), **self.measured()}.items():
                view[...] = self.arrays.up(held[name])
        settled: set[str] = set()
        for one in self.untrained:
            if one.name in held:
                place = self.values[one.array]
                given = np.asarray(held[one.name], place.dtype).reshape(place.shape)
                if one.settles and not np.array_equal(self._device.read(one.array), given):
                    settled.add(one.array)
                    self._device.write(one.array, given)
                place[...] = self.arrays.up(given)
        if settled:
            self._again = None
            own = self._own | settled
            settle(self, own, self._device_of_coefficients(own), frozenset(self._starting))
        if any(one.name in held for one in self.untrained):
            self._engines.clear()  # what is trained is read in every batch, and other numbers when an engine is made
            self._monitors.clear()
            self.settled += 1
        self.refresh()

    @property
    def gradients(self) -> Values:
        """(n,): the gradient of the last batch. Whoever reads it makes what was left of it as a product."""
        if self._last is not None:
            self._last.settle()
        return self._gradients

    def finite(self) -> str | None:
        """The first trained array whose gradient is not finite; None where all are. Products are made only where what they are made of does
        not show that they are finite."""
        pending = {} if self._last is None else self._last.pending
        if not all(one.product.bounded(one.sent, one.arrived) for one in pending.values()):
            pending = {}
            self.gradients  # noqa: B018  makes all of it
        for one in self.trained:
            if one.array not in pending and not np.isfinite(self._gradients[one.start : one.stop].sum()):
                if not np.all(np.isfinite(self._gradients[one.start : one.stop])):
                    return one.name
        return None

    def update(self, optimizer: Optimizer, rate: float = 1.0, scale: float = 1.0) -> None:
        """One step of the optimizer of ``parameters`` against ``gradients``, then :meth:`bound`. What was left as a product is used as it
        is made: the same bits, and never a whole gradient."""
        last = self._last
        if last is None or not last.pending:
            optimizer.step(self.gradients, rate, scale)
            self.bound()
            return
        step = optimizer.begin(rate, scale)
        for one in self.trained:
            if one.array not in last.pending or not last.move(one.array, step, one.start):
                step(self._gradients[one.start : one.stop], one.start)
        self.bound()

    def norm(self) -> float:
        """The norm of all gradients together."""
        return float(self.arrays.xp.linalg.norm(self.gradients.astype(np.float64)))

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

    def readout(self, label: str) -> Readout:
        """What a name such as ``out.v``, ``h.spikes`` or ``out.v:mean`` reads; raises E751."""
        found = next((readout for readout in self.readouts if readout.label == label), None)
        if found is not None:
            return found
        name, colon, function = label.partition(":")
        path, _, variable = name.rpartition(".")
        if path not in self.layers.cells or (colon and function not in ("mean", "sum", "count", "end")):
            raise error(
                "E751",
                f"`{label}` names nothing that this network does",
                help="write `POPULATION.VARIABLE`, or `POPULATION.VARIABLE:mean` (sum, count, end); populations are "
                + ", ".join(f"`{known}`" for known in self.layers.cells),
            )
        output = self.output_of(path, "spike" if variable == "spikes" else variable)
        return Readout(label, path, output, self.loss.weights_of(function) if colon else None)

    def engine(self, once: frozenset[str], backward: bool) -> Engine:
        key = (once, backward)
        if key not in self._engines:
            self._engines[key] = self.make_engine(self.readouts, once, backward)
        return self._engines[key]

    def make_engine(self, readouts: Sequence[Readout], once: frozenset[str], backward: bool) -> Engine:
        """Passes of this network that end in ``readouts``; ``once`` names the inputs that are the same in every step."""
        wiring = Wiring(
            self.products,
            self.values,
            self.initial,
            self._trained_weights,
            self._trained_parameters,
            dict(self._gradient_views),
            self._trained_states,
            self.stages,
        )
        return Engine(
            self.layers,
            wiring,
            readouts,
            steps=self.training.steps,
            surrogate=self.surrogate(),
            once=once,
            segment=self.training.checkpoint,
            truncate=self.training.truncate,
            backward=backward,
            resets=self.training.through_reset,
            arrays=self.arrays,
            late=self._trained_weights - self._coefficients.reached,
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
            value = self._samples(x[described.path], described.span)
            size, rest = described.size, int(np.prod(value.shape[1:], dtype=np.int64))
            if rest == size:
                made[described.path] = self.arrays.batch(described.path, value.reshape(value.shape[0], size))
                once.add(described.path)
            elif value.ndim > 1 and value.shape[1] == self.training.steps and rest == size * self.training.steps:
                timed = value.reshape(value.shape[0], self.training.steps, size)
                made[described.path] = self.arrays.batch(described.path, timed.transpose(1, 0, 2))
            else:
                shape = " x ".join(map(str, value.shape[1:])) or "a single number"
                wanted = " x ".join(map(str, described.shape))
                if value.ndim > 2 and rest == size * value.shape[1]:
                    raise error(
                        "E753",
                        f"a sample is {value.shape[1]} steps of the input `{described.path}`, and `steps` is {self.training.steps}",
                        self.training.span,
                        help=(
                            f"write `steps = {value.shape[1]}` in the block",
                            f"or give as many: loaders of events take `steps = {self.training.steps}`",
                        ),
                    )
                raise error(
                    "E753",
                    f"a sample is {shape}, and the input `{described.path}` is {wanted}",
                    described.span,
                    help=f"give samples of {wanted}, or of {self.training.steps} steps of that",
                )
        return made, frozenset(once)

    def _samples(self, value: Any, span: Span | None) -> Values:
        """Samples as an array of the network's precision; those on a device stay there."""
        if not on_device(value):
            return np.asarray(value, self.real)
        made: Values = self._on_device(value, span).astype(self.real, copy=False)
        return made

    def _on_device(self, value: Any, span: Span | None) -> Any:
        """An array of a device as one of this network's device."""
        if not self.arrays.apart:
            raise error(
                "E768",
                f"the samples lie on a CUDA device, and this network computes on target {self.target}",
                span,
                help="give NumPy arrays (`x.get()` of CuPy, `x.cpu()` of PyTorch), or load the network with target cuda",
            )
        return self.arrays.xp.asarray(value)

    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of a sample of each input of the network."""
        return {described.path: described.shape for described in self.experiment.network.inputs}

    def fetched(self, value: Any) -> Values:
        """Data on the host, from wherever it lies; E628 for what makes no array."""
        span = self.training.span
        if on_device(value):
            return self.arrays.down(self._on_device(value, span))
        try:
            return np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as problem:  # rows that differ in length; tensors with a history
            raise error(
                "E628",
                f"what is given is no array: {str(problem).splitlines()[0]}",
                span,
                help="give one array with a row for each sample; of a tensor that is differentiated, `x.detach()`",
            ) from None

    def forward(self, x: Mapping[str, Values], *, keep: bool = False) -> dict[str, Values]:
        """The readouts of a batch by label, on the host."""
        with self.arrays.said():
            given, once = self.inputs(x)
            batch = next(iter(x.values())).shape[0]
            engine = self.engine(once, keep or (once, True) in self._engines)
            self.masks(batch if keep else None, self.samples)
            made = downloaded(self.arrays, engine.forward(given, keep=keep, sample=self.samples, training=keep))
        if keep:
            self.samples += batch
        return made

    def rates(self, x: Mapping[str, Values]) -> dict[str, float]:
        """Spikes per neuron and step of every population that fires, on one batch."""
        given, once = self.inputs(x)
        self.masks(None, 0)
        key = (once, False)
        if key not in self._monitors:
            steps = self.training.steps
            readouts = [
                Readout(events.owner, events.owner, name, (1.0 / steps,) * steps)
                for name, events in self.plan.lists.items()
                if events.event == "spike" and events.owner in self.layers.cells
            ]
            self._monitors[key] = self.make_engine(readouts, once, False) if readouts else None
        monitor = self._monitors[key]
        if monitor is None:
            return {}
        with self.arrays.said():
            return {path: float(value.mean()) for path, value in monitor.forward(given, keep=False).items()}

    def first_not_finite(self, x: Mapping[str, Values]) -> tuple[str, int] | None:
        """The variable of a population that is no number first, and the step (from 0); None where all are numbers."""
        given, once = self.inputs(x)
        readouts = [
            Readout(f"{path}.{self.plan.arrays[name].variable}", path, name)
            for path, cell in self.layers.cells.items()
            for name in cell.outputs
            if name in self.plan.arrays and self.plan.arrays[name].variable
        ]
        if not readouts:
            return None
        with self.arrays.said():
            made = downloaded(self.arrays, self.make_engine(readouts, once, False).forward(given, keep=False))
        found: list[tuple[int, int, str]] = []
        for order, readout in enumerate(readouts):
            wrong = ~np.isfinite(made[readout.label]).all((1, 2))
            if wrong.any():
                found.append((int(wrong.argmax()), order, readout.label))
        if not found:
            return None
        step, _, label = min(found)
        return label, step

    def compare(self, readouts: Mapping[str, Values], columns: Mapping[str, Values], gradient: bool = True) -> Outcome:
        """The loss of what came out."""
        weights = {
            f"{path}.{name}": self.arrays.down(self.values[self._weight_array(path, name)])
            for path, name in self.loss.weight_names
        }
        return self.loss(readouts, columns, weights, gradient=gradient)

    def _weight_array(self, path: str, variable: str) -> str:
        return next(a.name for a in self.plan.arrays.values() if a.owner == path and a.variable == variable)

    def learn(self, x: Mapping[str, Values], columns: Mapping[str, Values]) -> Outcome:
        """Forward, loss and backward of one batch: ``gradients`` are those of the mean loss."""
        with self.arrays.said():
            given, once = self.inputs(x)
            batch = next(iter(x.values())).shape[0]
            engine = self.engine(once, True)
            outcomes = []
            for first, last in _shares(batch, self.micro_batch(engine, batch)):
                part = given
                if last - first < batch:
                    part = {name: v[first:last] if name in once else v[:, first:last] for name, v in given.items()}
                outcome = self._learn_from(
                    engine, part, {name: value[first:last] for name, value in columns.items()}, batch, first > 0
                )
                outcomes.append(outcome)
            given.clear()
            part.clear()
            engine.release()
        return joined(outcomes)

    def micro_batch(self, engine: Engine, batch: int) -> int:
        """How many samples of a batch go forwards and backwards together: what the block says, else a part of it where no sample looks at
        another one, and what all of them keep is far more than the gradient that is then added up. Cycles of populations share out
        samples themselves, and take longer in parts."""
        if self.training.micro_batch is not None:
            return min(self.training.micro_batch, batch)
        alone = not self.stages and mixes_samples(self.training.loss) is None and not engine.cyclic
        needed, enough = engine.memory(batch), max(WORTH_PARTS, 2 * self.parameters.nbytes)
        if self.arrays.apart or not alone or needed <= enough:
            return batch
        return min(batch, max(LEAST_TOGETHER, int(2 * batch * enough / needed)))

    def left(self, engine: Engine, batch: int) -> tuple[Trained, ...]:
        """Weights whose gradients are never stored in a training with batches of this size, unless somebody reads ``gradients``."""
        if self.training.clip is not None or self.loss.weight_names or self.micro_batch(engine, batch) < batch:
            return ()
        return tuple(one for one in self.trained if one.array in engine.products_left)

    def _learn_from(
        self, engine: Engine, given: Mapping[str, Values], columns: Mapping[str, Values], batch: int, add: bool
    ) -> Outcome:
        """Forward, loss and backward of some samples of a ``batch``, whose gradients are set or added to those of the samples before."""
        count = next(iter(columns.values())).shape[0]
        self.masks(count, self.samples)
        self._forget()
        readouts = downloaded(self.arrays, engine.forward(given, sample=self.samples, training=True))
        self.samples += count
        outcome = self.compare(readouts, columns)
        part = count / batch
        if part != 1:
            outcome = outcome.times(part)
        self.backward(engine, outcome.adjoints, add, whole=part == 1)
        if outcome.weights:
            engine.settle()
        for label, adjoint in outcome.weights.items():
            path, _, variable = label.rpartition(".")
            array = self._weight_array(path, variable)
            if array in self._gradient_views:
                view = self._gradient_views[array]
                view += self._up(adjoint, self.real).reshape(view.shape)
        return outcome

    def backward(self, engine: Engine, adjoints: Mapping[str, Values], add: bool = False, whole: bool = True) -> None:
        """Fill ``gradients`` from the derivatives of a loss by the readouts of the forward pass that ``engine`` went last, or with ``add``
        add to them. ``whole``: nothing will be added.

        From coefficients to the parameters that they are made of is little work, done on the host."""
        self._forget()
        self._last = engine
        before = {array: self._gradient_views[array].copy() for array in self._own} if add else {}
        made = engine.backward({label: self.arrays.up(value) for label, value in adjoints.items()}, defer=whole, add=add)
        if not self._own:
            return
        names = {q.array for cell, _, _ in self._coefficients.cells for q in cell.parameters}
        values = {name: self.arrays.down(self.values[name]) for name in sorted(names | self._own)}
        found = {name: self.arrays.down(value) for name, value in made.items() if name in self._coefficients.reached}
        self._coefficients.back(values, found)
        for array in self._own:
            view = self._gradient_views[array]
            view[...] = self._up(found[array], self.real).reshape(view.shape)
            if add:
                view += before[array]


    def _forget(self) -> None:
        """Products that nobody asked for are not made."""
        if self._last is not None:
            self._last.pending.clear()


def _shares(batch: int, most: int) -> list[tuple[int, int]]:
    """A batch in parts of at most so many samples: of one size, where less than twice as many parts make that so."""
    least = -(-batch // most)
    count = next((count for count in range(least, min(2 * least, batch)) if batch % count == 0), least)
    ends = [batch * number // count for number in range(count + 1)]
    return list(pairwise(ends))


def _over_synapses(node: PlanNode) -> bool:
    return isinstance(node, Launch) and isinstance(node.kernel.domain, k.Synapses)


def on_device(value: Any) -> bool:
    """Whether an array lies on a CUDA device: CuPy's, PyTorch's and others say so alike."""
    return not isinstance(value, np.ndarray) and hasattr(value, "__cuda_array_interface__")


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
