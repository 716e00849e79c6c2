"""Runs a network forwards and backwards over batches: layers through all their steps, connections as products, no tape.

The forward pass keeps what :mod:`snnlang.codegen.passes` says and what weights need (the signals that were sent). Time can be cut into
segments: then only the states between segments are kept, and each segment is computed once more when the backward pass reaches it.
Shapes: inputs (batch, size) that stay the same in every step, or (steps, batch, size); readouts (steps, batch, size), or, of a weighted sum
over the steps, (batch, size).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.codegen.adjoint import BAR
from snnlang.codegen.cell import Cell
from snnlang.codegen.learning_plan import Layer, LearningPlan, Link
from snnlang.codegen.passes import KEPT, OUT, Passes, passes
from snnlang.codegen.passes_layout import Mode, Modes, Slot, backward_slots, begun, forward_slots, recomputing
from snnlang.frozen import dataclass, field
from snnlang.runtime import aligned
from snnlang.runtime.batch_norm import Normalisers, Stage
from snnlang.runtime.learning_arrays import Arrays, HostArrays
from snnlang.runtime.native_products import NativeDense
from snnlang.runtime.optimizers import Update
from snnlang.runtime.pass_runner import INFER, LANES, Cycle, CycleRunner, NumpyRunner, Pass, Prepared, Runner, blocks
from snnlang.runtime.products import Dense, Product
from snnlang.runtime.shared_buffers import Shared, leaves_signal, shared

Values = NDArray[Any]
_MODES: tuple[Mode, ...] = ("each", "sum")
#: Bytes of what is kept of a block of neurons up to which a backward pass computes it again: they stay in the second-level cache.
_AGAIN = 1 << 17
#: Bytes of a gradient that is worth leaving as a product.
WORTH_LATE = 1 << 17


@dataclass(frozen=True, slots=True)
class Readout:
    """What the loss sees of a population: ``output`` (an array or an event list of the plan) in every step, or, with ``weights``
    (steps,), its
    weighted sum over the steps."""

    label: str
    population: str
    output: str
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the engine is given beside the plan: how each link multiplies, the numbers of all arrays, which weights and parameters are
    trained, and where their gradients go (arrays of the same shapes; those that are not given are made). ``trained_states`` are
    states whose initial values are asked for, one for each neuron."""

    products: Mapping[str, Product]
    values: Mapping[str, Values]
    initial: Mapping[str, Values]
    trained_weights: frozenset[str]
    trained_parameters: frozenset[str]
    gradients: Mapping[str, Values]
    trained_states: frozenset[str] = frozenset()
    stages: Mapping[str, Stage] = field(default_factory=dict)  # batch normalisations by link


@dataclass(frozen=True, slots=True)
class Pending:
    """A weight's gradient that is still a product: ``product`` makes it from what was ``sent`` and the adjoints of what ``arrived``, whole
    in ``total`` or some rows at a time."""

    product: NativeDense
    sent: Values
    arrived: Values
    total: Values


class _CellRun:
    """One cell with its modes, passes and buffers."""

    def __init__(self, path: str, cell: Cell) -> None:
        self.path = path
        self.cell = cell
        self.input_modes: dict[str, tuple[Mode, ...]] = {name: () for name in cell.inputs}
        self.output_modes: dict[str, tuple[Mode, ...]] = {}
        self.adjoint_modes: dict[str, tuple[Mode, ...]] = {}
        self.weights: dict[str, Values] = {}  # output -> weights of its sum
        self.still = False
        self.passes: Passes
        self.forward_slots: tuple[Slot, ...] = ()
        self.infer_slots: tuple[Slot, ...] = ()
        self.backward_slots: tuple[Slot, ...] = ()

    @cached_property
    def flat(self) -> bool:
        """Whether neurons of all samples may be counted through: no parameter differs between them and nothing is drawn."""
        draws = any(isinstance(e, k.Draw) for let in self.cell.body for e in k.walk(let.value))
        index = any(isinstance(e, k.Local) and e.name == "i" for let in self.cell.body for e in k.walk(let.value))
        return not draws and not index and all(p.index is None for p in self.cell.parameters)


class Engine:
    """Forward and backward passes of one network.

    ``once`` names the network inputs that are the same in every step. After :meth:`backward`, ``gradients`` holds the sums over the batch,
    by name of the array, with the shapes of ``values``. Those of ``late`` weights may be left as ``pending`` products, if asked for:
    :meth:`settle` makes them, at the latest before the next pass.
    """

    def __init__(
        self,
        learning: LearningPlan,
        wiring: Wiring,
        readouts: Sequence[Readout],
        *,
        steps: int,
        surrogate: Callable[[k.Expr], k.Expr],
        once: frozenset[str] = frozenset(),
        target: Literal["c", "numpy"] = "c",
        threads: int = 1,
        segment: int | None = None,
        truncate: int | None = None,
        backward: bool = True,
        resets: bool = True,
        want_inputs: bool = False,
        arrays: Arrays | None = None,
        late: frozenset[str] = frozenset(),
    ) -> None:
        self.arrays: Arrays = arrays or HostArrays(target, threads)
        self.xp = self.arrays.xp
        self._constants: dict[bytes, Values] = {}
        self.resets = resets
        self.want_inputs = want_inputs
        self.input_gradients: dict[str, Values] = {}
        self.learning = learning
        self.plan = learning.plan
        self.wiring = wiring
        self.readouts = tuple(readouts)
        self.steps = steps
        self.segment = min(steps, segment or steps)
        if truncate is not None:
            self.segment = min(self.segment, truncate)
        self.truncate = truncate
        self.once = once
        self.real = np.dtype(np.float32 if self.plan.precision == "single" else np.float64)
        self.gradients: dict[str, Values] = {}
        self.late = late
        self.pending: dict[str, Pending] = {}
        self._norms = Normalisers(wiring.stages, wiring.values, self.arrays, self.real)
        self._until: int | None = None  # the layer after which a pass that only gathers statistics ends
        self._fresh = True  # the last segment is as the forward pass left it
        self._defers = self._adds = False
        self.products_seconds = 0.0
        self._links = self._folded()
        self._into: dict[str, list[Link]] = {}
        for link in self._links:
            self._into.setdefault(link.target, []).append(link)
        self._runs = {path: _CellRun(path, cell) for path, cell in learning.cells.items() if path not in self.folded}
        self._layers = [layer for layer in learning.layers if not set(layer.cells) & set(self.folded)]
        self._modes()
        self._begins: set[str] = set()  # cells whose states begin with one number and are left nowhere
        self._runner = self._make_runner(surrogate, backward)
        self._buffers: dict[tuple[str, tuple[int, ...]], Values] = {}
        self._batch = 0
        self._whole = self._written_whole()
        self._empty: set[str] = set()  # gradients that the next product fills instead of adding to them
        self._blank: set[tuple[str, str]] = set()  # the same of adjoints of what was sent
        self._reusable()
        self._prepared: dict[str, Prepared] = {}  # the arrays of a pass, as long as they stay where they are
        self._copied: set[str] = set()  # passes that are given copies, which are made anew in every batch

    def _written_whole(self) -> frozenset[str]:
        """Weights of one link alone, a matrix product: its gradient is written whole, and need not be cleared before."""
        used = [link.weight for link in self._links if link.weight]
        return frozenset(
            link.weight
            for link in self._links
            if link.kind != "bias"
            and isinstance(self.wiring.products[link.name], Dense)
            and used.count(link.weight) == 1
        )

    def _add_gradient(self, link: Link, sent: Values, arrived: Values) -> None:
        product, total = self.wiring.products[link.name], self.gradients[link.weight]
        if link.weight in self._empty and isinstance(product, Dense):
            self._empty.discard(link.weight)
            if self._defers and self._stays(product, link):
                self.pending[link.weight] = Pending(product, sent, arrived, total)
                return
            product.gradient(sent, arrived, total, False)
        else:
            product.gradient(sent, arrived, total)

    def _stays(self, product: Product, link: Link) -> TypeGuard[NativeDense]:
        """Whether both sides of the product of a weight's gradient, which is worth it, are there until the next pass: samples, and
        adjoints of all steps."""
        return (
            link.weight in self.late
            and type(product) is NativeDense
            and link.before in self.learning.inputs
            and link.after in self._runs
            and link.name not in self._norms
            and self.segment == self.steps
            and self.wiring.values[link.weight].nbytes >= WORTH_LATE
        )

    @property
    def products_left(self) -> frozenset[str]:
        """Weights whose gradients a pass may leave as products."""
        found = set()
        for link in self._links:
            if link.weight in self._whole and self._stays(self.wiring.products[link.name], link):
                found.add(link.weight)
        return frozenset(found)

    def settle(self) -> None:
        """Make the gradients that were left as products."""
        while self.pending:
            self._make(next(iter(self.pending)))

    def _make(self, name: str) -> None:
        one = self.pending.pop(name)
        with self.arrays.said():
            one.product.gradient(one.sent, one.arrived, one.total, False)

    def move(self, name: str, update: Update, first: int) -> bool:
        """Move a weight, parameters from the ``first`` on, against its pending gradient, which is made nowhere. False: it was made."""
        one = self.pending[name]
        if one.product.move(one.sent, one.arrived, update, first, self._spare):
            del self.pending[name]
            return True
        self._make(name)
        return False

    def _spare(self, least: int, most: int) -> Values:
        """Memory for about ``most`` numbers, ``least`` of them at any rate, that nobody reads before the next pass: what a buffer of
        the last one had, where there is one. The passes cannot go back once more then."""
        taken = [value for one in self.pending.values() for value in (one.sent, one.arrived)]
        free = [
            buffer
            for buffer in self._buffers.values()
            if buffer.dtype == self.real and buffer.size >= least and not any(np.may_share_memory(buffer, value) for value in taken)
        ]
        if not free:
            return aligned.empty(most, self.real)
        self._fresh = False
        return max(free, key=lambda buffer: buffer.size).reshape(-1)[:most]

    # --- linear readouts are folded -----------------------------------------------------------------------------------

    def _folded(self) -> tuple[Link, ...]:
        """Leave out populations that are read as a weighted sum of a linear filter: the filter becomes weights of the steps before."""
        self.folded: dict[
            str, tuple[Values, Values]
        ] = {}  # population -> (weights of the input's steps, what is there without any)
        if self.truncate is not None and self.truncate < self.steps:  # its own past is cut too
            return self.learning.links
        sends = {link.before for link in self.learning.links}
        shared: set[tuple[str, str]] = set()
        for readout in self.readouts:
            path = readout.population
            cell = self.learning.cells.get(path)
            alone = sum(r.population == path for r in self.readouts) == 1
            if cell is None or path in sends or not alone or readout.weights is None:
                continue
            if not _is_filter(cell, self.wiring.trained_parameters) or len(cell.inputs) != 1:
                continue
            if any(carried.array in self.wiring.trained_states for carried in cell.carried):
                continue
            links = [link for link in self.learning.links if link.after == path]
            taken = {(r.population, r.output) for r in self.readouts}
            if any(link.name in self._norms for link in links):
                continue
            if any(link.lag or link.pool or (link.before, link.source) in taken for link in links):
                continue
            if any((link.before, link.source) in shared for link in links if link.kind != "bias"):
                continue
            shared |= {(link.before, link.source) for link in links}
            self.folded[path] = self._filter(cell, readout)
        return self.learning.links

    def _filter(self, cell: Cell, readout: Readout) -> tuple[Values, Values]:
        """The weight of each step's input in the readout, and the readout without input, (size,)."""
        assert readout.weights is not None
        silent = _Trial(self, cell, readout.output)
        base = silent.run(self.steps, 0.0, start=True)
        response = silent.run(self.steps, 1.0, start=False)[:, 0]
        weights = np.asarray(readout.weights, np.float64)
        input_weights = np.array([float(weights[t:] @ response[: self.steps - t]) for t in range(self.steps)])
        return input_weights, weights @ base

    # --- who needs what -----------------------------------------------------------------------------------------------

    def _modes(self) -> None:
        """In which form each input comes and each output leaves."""
        self._form: dict[str, Mode] = {name: "once" if name in self.once else "each" for name in self.learning.inputs}
        self._collected: set[str] = set()
        read = {readout.population for readout in self.readouts}
        cyclic = {path for layer in self._layers if layer.links for path in layer.cells}
        for layer in self._layers:
            for path in layer.cells:
                run = self._runs[path]
                for name in run.cell.inputs:
                    forms = set()
                    for link in self._into.get(name, ()):
                        if link.kind == "bias":
                            continue
                        form = self._source_form(link)
                        forms.add("each" if link.lag else form)
                    if any(link.kind == "bias" for link in self._into.get(name, ())):
                        forms.add("once")
                    run.input_modes[name] = tuple(mode for mode in ("each", "once") if mode in forms)
                moves = any(
                    isinstance(e, k.Local) and e.name in ("step", "t")
                    for let in run.cell.body
                    for e in k.walk(let.value)
                )
                draws = any(isinstance(e, k.Draw) for let in run.cell.body for e in k.walk(let.value))
                run.still = (
                    run.cell.written is None
                    and not run.cell.carried
                    and not moves
                    and not draws
                    and path not in cyclic
                    and path not in read
                    and not any(link.before == path and link.lag for link in self._links)
                    and all(modes == ("once",) for modes in run.input_modes.values())
                )
        for link in self._links:
            if link.kind == "bias" or link.before not in self._runs:
                continue
            if link.after in self.folded:
                self._want(link.before, link.source, "sum", self.folded[link.after][0])
            else:
                self._want(link.before, link.source, "each")
        for readout in self.readouts:
            if readout.population in self.folded:
                continue
            weights = None if readout.weights is None else np.asarray(readout.weights)
            known = self._runs[readout.population].weights.get(readout.output)
            if weights is None or (known is not None and not np.array_equal(known, weights.astype(self.real))):
                self._want(readout.population, readout.output, "each")
                self._collected.add(readout.label)
            else:
                self._want(readout.population, readout.output, "sum", weights)
        self._deepest = max((link.lag for link in self._links), default=0)
        self.segment = max(self.segment, min(self._deepest, self.steps))

    def _want(self, path: str, output: str, mode: Mode, weights: Values | None = None) -> None:
        run = self._runs[path]
        if weights is not None:
            run.weights[output] = np.asarray(weights, self.real)
        found = {*run.output_modes.get(output, ()), mode}
        run.output_modes[output] = tuple(m for m in _MODES if m in found)
        run.adjoint_modes[output] = run.output_modes[output]

    def _source_form(self, link: Link) -> Mode:
        if link.before in self._runs:
            return "once" if self._runs[link.before].still else "each"
        if link.before in self.folded:
            return "each"
        return self._form[link.source]

    def _make_runner(self, surrogate: Callable[[k.Expr], k.Expr], backward: bool) -> Runner:
        every: list[Pass] = []
        for number, (path, run) in enumerate(self._runs.items()):
            cell = run.cell
            outputs = tuple(run.output_modes)
            trained = frozenset(p.array for p in cell.parameters) & self.wiring.trained_parameters
            constant = frozenset(name for name, modes in run.input_modes.items() if modes == ("once",))
            wanted = outputs if backward else ()
            run.passes = passes(cell, outputs, wanted, surrogate, trained, constant, self.resets or cell.connection)
            modes = Modes(dict(run.input_modes), dict(run.output_modes), dict(run.adjoint_modes))
            name = f"cell{number}_{path}".replace(".", "_").replace("->", "_to_").replace(" ", "_")
            name = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
            run.name = name  # type: ignore[attr-defined]
            fresh, again = self._in_one_call(run), self.recomputes(run)
            self._begins |= {path} if fresh else set()
            slots = begun(forward_slots(run.passes, modes)) if fresh else forward_slots(run.passes, modes)
            run.infer_slots = tuple(s for s in slots if not s.array.endswith(KEPT))
            inference = _without(run.passes.forward, KEPT)
            every.append(Pass(f"{name}{INFER}", inference, run.infer_slots, False))
            if backward:
                run.forward_slots, run.backward_slots = slots, backward_slots(run.passes, modes)
                if fresh:
                    run.backward_slots = begun(run.backward_slots)
                forward, before = run.passes.forward, None
                if again:
                    run.backward_slots = recomputing(slots, run.backward_slots)
                    run.forward_slots, forward, before = run.infer_slots, inference, _without(forward, OUT)
                every.append(Pass(f"{name}_forward", forward, run.forward_slots, False))
                every.append(Pass(f"{name}_backward", run.passes.backward, run.backward_slots, True, before))
        offset = float(self.plan.time_offset)
        self._cycles = self._whole_cycles()
        cycles = tuple(self._cycles.values())
        return self.arrays.runner(every, self.plan.precision, self.plan.streams, self.plan.dt, offset, cycles)

    def _in_one_call(self, run: _CellRun) -> bool:
        """Whether a cell goes through all steps in one call, from states that are one number each and that nobody reads afterwards."""
        cyclic = any(run.path in layer.cells for layer in self._layers if layer.links)
        if not self.arrays.overwrites or cyclic or self.segment < self.steps or self.truncate is not None:
            return False
        if run.passes.ends:  # a written backward pass reads them at the end of the sample
            return False
        for carried in run.cell.carried:
            initial = self.wiring.initial.get(carried.array)
            if carried.array in self.wiring.trained_states or (initial is not None and _differ(initial)):
                return False
        return bool(run.cell.carried)

    def recomputes(self, run: _CellRun) -> bool:
        """Whether the backward pass of a cell computes what it needs of the steps once more, in the cache, instead of reading it from
        memory: where nothing that arrives differs between steps."""
        kept = [name for name in run.passes.kept if name not in run.cell.inputs]
        room = self.steps * LANES * self.real.itemsize * len(kept)
        constant = all("each" not in modes for modes in run.input_modes.values())
        return self._in_one_call(run) and constant and 0 < room <= _AGAIN

    def _initial(self, run: _CellRun, name: str) -> Values:
        """The number that a state begins with in every sample; adjoints begin with 0."""
        carried = next((c for c in run.cell.carried if c.name == name), None)
        type = np.int32 if carried is not None and carried.type == "int" else self.real
        made = self._buffer(f"initial {name}", 1, type=type)
        initial = None if carried is None else self.wiring.initial.get(carried.array)
        made[...] = 0 if initial is None else np.reshape(initial, -1)[-1]
        return made

    def _whole_cycles(self) -> dict[str, Cycle]:
        """Cycles that are called as wholes, by their first population."""
        found: dict[str, Cycle] = {}
        for layer in self._layers:
            if layer.links and all(
                self.arrays.fuses(self.wiring.products[link.name]) and link.name not in self._norms for link in layer.links
            ):
                number = {path: place for place, path in enumerate(layer.cells)}
                names = tuple(self._runs[path].name for path in layer.cells)  # type: ignore[attr-defined]
                links = tuple((number[link.before], number[link.after]) for link in layer.links)
                found[layer.cells[0]] = Cycle(f"cycle{len(found)}", names, links)
        return found

    @property
    def cyclic(self) -> bool:
        """Whether populations send to each other."""
        return any(layer.links for layer in self._layers)

    def memory(self, batch: int) -> int:
        """About how many bytes a batch of so many samples takes beside parameters: states, arrivals, what was sent, what is kept, and
        the adjoints of all of them."""
        rows = 0
        for run in self._runs.values():
            each = self.segment * run.cell.size
            slots = (*(run.forward_slots or run.infer_slots), *run.backward_slots)
            rows += sum(each for slot in slots if slot.kind == "each" and slot.array not in run.cell.inputs)
            rows += 2 * sum(each if "each" in modes else run.cell.size for modes in run.input_modes.values())
            rows += sum(run.cell.size for slot in slots if slot.kind in ("carried", "once", "sum"))
        rows += sum(self.steps * self._runs[r.population].cell.size for r in self.readouts if r.label in self._collected)
        return rows * batch * self.real.itemsize + self._norms.bytes(self.segment, batch)

    # --- buffers ------------------------------------------------------------------------------------------------------

    def _buffer(self, name: str, *shape: int, zero: bool = False, type: Any = None) -> Values:
        key = (name, shape)
        found = self._buffers.get(key)
        if found is None:
            found = self._buffers[key] = self.arrays.zeros(shape, self.real if type is None else type)
        elif zero:
            found[...] = 0
        return found

    def _fixed(self, value: Values) -> Values:
        """A small array that never changes, where the engine computes."""
        if self.xp is np:
            return value
        key = str((value.dtype, value.shape)).encode() + value.tobytes()
        found = self._constants.get(key)
        if found is None:
            found = self._constants[key] = self.arrays.up(value)
        return found

    def _signal(self, path: str, output: str) -> Values:
        """(head + segment, batch, size): what was sent, behind the last steps of the segment before."""
        size = self._runs[path].cell.size
        place = self._shared[path].sent.get(output)
        if place is not None:
            return self._input(place, "each", size)
        return self._buffer(f"{path}/{output}", self._deepest + self.segment, self._batch, size)

    def _kept(self, run: _CellRun, array: str) -> Values:
        place = self._shared[run.path].kept.get(array)
        if place is not None:
            return self._input(place, "each", run.cell.size)
        # names within a step are the neuron's own: populations of one neuron and size must not meet in one array
        return self._buffer(f"{run.path}/{array}", self.segment, self._batch, run.cell.size)

    def _input(self, target: str, mode: Mode, size: int) -> Values:
        steps = (self.segment,) if mode == "each" else ()
        return self._buffer(f"{target}@{mode}", *steps, self._batch, size)

    @property
    def runs(self) -> Mapping[str, _CellRun]:
        """The populations that go through passes, those of :attr:`folded` left out."""
        return self._runs

    def in_place(self, run: _CellRun) -> dict[str, str]:
        """What is kept of each step, or sent, with the input in whose place it lies."""
        return {**self._shared[run.path].kept, **self._shared[run.path].sent}

    def cycle_of(self, path: str) -> Cycle | None:
        """The cycle of populations that a population is part of, where one call takes all of it through the steps."""
        cells = next((layer.cells for layer in self._layers if path in layer.cells), (path,))
        return self._cycles.get(cells[0])

    def buffer_bytes(self) -> int:
        """Bytes of all arrays that the passes so far asked for."""
        return sum(buffer.nbytes for buffer in self._buffers.values()) + self._norms.held()

    # --- forward ------------------------------------------------------------------------------------------------------

    def forward(
        self, inputs: Mapping[str, Values], *, keep: bool = True, sample: int = 0, training: bool = False
    ) -> dict[str, Values]:
        """All steps; the readouts by label. ``keep`` False: nothing is kept for a backward pass. ``sample`` numbers the first
        sample since training began, so that draws differ between batches. ``training``: batch normalisations use the statistics of
        this batch, and their running ones move on."""
        self.settle()
        batch = self._size_of(inputs)
        if batch != self._batch:
            self._buffers = {}
            self._prepared.clear()
            self._batch = batch
            self.arrays.require(self.memory(batch))
        for name in self._copied:
            self._prepared.pop(name, None)
        self._inputs, self._sample = {name: self._laid(name, value) for name, value in inputs.items()}, sample
        self._norms.begin(self.segment, batch, training)
        segments = self._segments()
        self._pooled = [] if len(segments) == 1 else self._norms.pooled(training, self._layers, self.is_still, self._links)
        for layer, names in self._pooled:
            self._gather_forward(layer, names)
        self._start()
        results: dict[str, Values] = {}
        for readout in self.readouts:
            if readout.population in self.folded:
                size = self.learning.cells[readout.population].size
                base = self.folded[readout.population][1].astype(self.real)
                results[readout.label] = self.xp.broadcast_to(self._fixed(base), (batch, size)).copy()
            elif readout.label in self._collected:
                size = self._runs[readout.population].cell.size
                results[readout.label] = self.xp.empty((self.steps, batch, size), self.real)
        self._states: list[dict[str, Values]] = []
        for number, (first, last) in enumerate(segments):
            if number:
                self._move_heads()
            final = number == len(segments) - 1
            if keep and len(segments) > 1:
                self._states.append({name: value.copy() for name, value in self._carried().items()})
            self._forward_segment(first, last, keep and final, results)
        if keep:
            self._keep_ends()
        for readout in self.readouts:
            if readout.population in self.folded:
                continue
            if readout.label not in self._collected:
                run = self._runs[readout.population]
                results[readout.label] = self._buffer(f"{run.path}/{readout.output}@sum", batch, run.cell.size).copy()
            elif readout.weights is not None:
                weights = self._fixed(np.asarray(readout.weights, self.real))
                results[readout.label] = self.xp.tensordot(weights, results[readout.label], 1)
        self._norms.finish()
        self._fresh = True
        return results

    def _gather_forward(self, layer: int, names: Sequence[str]) -> None:
        """All segments up to a layer, for statistics over time of what arrives there."""
        self._norms.gather(names, "forward")
        self._until = layer
        self._start()
        for number, (first, last) in enumerate(self._segments()):
            if number:
                self._move_heads()
            self._forward_segment(first, last, False, None)
        self._until = None
        self._norms.settle(names)

    def _laid(self, name: str, value: Values) -> Values:
        """Samples as their readers take them: in one piece, or, where all are dense connections of the target c, as they came, in
        which the steps of a sample mostly lie side by side."""
        if value.ndim == 3 and self.segment == self.steps and not self.want_inputs:
            links = [link for link in self._links if link.source == name]
            if all(
                link.kind != "bias"
                and isinstance(self.wiring.products[link.name], NativeDense)
                and not link.lag
                and link.name not in self._norms
                and link.after not in self.folded
                for link in links
            ):
                return value
        return self.xp.ascontiguousarray(value)  # type: ignore[no-any-return]

    def is_still(self, name: str) -> bool:
        """Whether a connection delivers the same in every step."""
        link = next(link for link in self._links if link.name == name)
        return self._source_form(link) == "once" and not link.lag

    def _keep_ends(self) -> None:
        """What a written backward pass reads of the end of a sample: segments that are computed again write over it."""
        for run in self._runs.values():
            for name in run.passes.ends:
                self._buffer(f"ended {name}", self._batch, run.cell.size)[...] = self._state(run, name)

    def _move_heads(self) -> None:
        """The last steps of a full segment stand before the next one."""
        if self._deepest:
            for run in self._runs.values():
                for output, modes in run.output_modes.items():
                    if "each" in modes:
                        signal = self._signal(run.path, output)
                        signal[: self._deepest] = signal[self.segment : self.segment + self._deepest].copy()

    def _size_of(self, inputs: Mapping[str, Values]) -> int:
        name = next(iter(self.learning.inputs))
        value = inputs[name]
        return int(value.shape[0] if name in self.once else value.shape[1])

    def _segments(self) -> list[tuple[int, int]]:
        return [(first, min(self.steps, first + self.segment)) for first in range(0, self.steps, self.segment)]

    def _carried(self) -> dict[str, Values]:
        """What goes from segment to segment: states, and the last steps of signals that arrive late."""
        result = {}
        for run in self._runs.values():
            for name in run.passes.carried if run.path not in self._begins else ():
                result[name] = self._state(run, name)
            if self._deepest:
                for output, modes in run.output_modes.items():
                    if "each" in modes:
                        result[f"{run.path}/{output}"] = self._signal(run.path, output)[: self._deepest]
        return result

    def _state(self, run: _CellRun, name: str) -> Values:
        type = next(np.int32 if c.type == "int" else self.real for c in run.cell.carried if c.name == name)
        return self._buffer(f"state {name}", self._batch, run.cell.size, type=type)

    def _start(self) -> None:
        for run in self._runs.values():
            for c in run.cell.carried if run.path not in self._begins else ():
                initial = self.wiring.initial.get(c.array)
                state = self._state(run, c.name)
                state[...] = 0 if initial is None else self.xp.asarray(initial).reshape(-1, run.cell.size)[-1]
            for output, modes in run.output_modes.items():
                if "each" in modes and self._deepest:  # what arrives late was there before the first step
                    initial = self.wiring.initial.get(output) if output in self.plan.arrays else None
                    head = self._signal(run.path, output)[: self._deepest]
                    head[...] = 0 if initial is None else self.xp.asarray(initial).reshape(-1, run.cell.size)[-1]
                if "sum" in modes:
                    self._buffer(f"{run.path}/{output}@sum", self._batch, run.cell.size, zero=True)

    def _forward_segment(self, first: int, last: int, keep: bool, results: dict[str, Values] | None) -> None:
        for number, layer in enumerate(self._layers):
            self._arrive(layer, first, last)
            if number == self._until:
                break
            if layer.links and layer.cells[0] in self._cycles:
                self._cycle(layer, first, last, "forward" if keep else "infer")
            elif layer.links:
                for step in range(first, last):
                    for path in layer.cells:
                        self._arrive_inside(layer, path, step - first)
                        self._cell(self._runs[path], first, step, step + 1, keep)
            else:
                for path in layer.cells:
                    self._cell(self._runs[path], first, first, last, keep)
        if results is None:
            return
        for readout in self.readouts:
            if readout.population in self.folded:
                continue
            if readout.label in self._collected:
                signal = self._signal(readout.population, readout.output)
                results[readout.label][first:last] = signal[self._deepest : self._deepest + last - first]
        if last == self.steps:
            self._read_folded(results)

    def _read_folded(self, results: dict[str, Values]) -> None:
        for readout in self.readouts:
            if readout.population not in self.folded:
                continue
            weights, _ = self.folded[readout.population]
            out = results[readout.label]
            for link in self._into_population(readout.population):
                if link.kind == "bias":
                    out += self._bias(link, link.scale * weights.sum())
                    continue
                sent = self._summed(link, weights)
                self.wiring.products[link.name].forward(sent, self._weight(link), out, True)

    def _summed(self, link: Link, weights: Values) -> Values:
        """What a link to a folded readout sends, weighted and summed over the steps."""
        if link.before in self._runs:
            run = self._runs[link.before]
            if (
                "sum" in run.output_modes[link.source]
                and np.array_equal(run.weights[link.source], weights.astype(self.real))
                and not link.lag
            ):
                return self._buffer(f"{run.path}/{link.source}@sum", self._batch, run.cell.size)
            raise AssertionError("a readout of a late or shared signal is not folded")
        value = self._inputs[link.source]
        if self._form[link.source] == "once":
            return value * self.real.type(weights.sum())  # type: ignore[no-any-return]
        made: Values = self.xp.tensordot(self._fixed(weights.astype(self.real)), value, 1)
        return made

    def _into_population(self, path: str) -> list[Link]:
        return [link for link in self._links if link.after == path]

    def _bias(self, link: Link, scale: float) -> Values:
        """``scale`` times a bias, one number for each neuron."""
        bias = self._weight(link) * self.real.type(scale)
        if link.places == 1:
            return bias
        made: Values = self.xp.empty((bias.size, link.places), self.real)
        made[...] = bias[:, None]
        return made.reshape(-1)

    def _weigh_bias(self, link: Link, adjoint: Values, scale: float) -> None:
        """Add to the gradient of a bias, from adjoints (batch, neurons): neurons of a channel have one number."""
        gradient = self.gradients[link.weight]
        total = adjoint.sum(0)
        total = total if link.places == 1 else total.reshape(-1, link.places).sum(1)
        gradient += total.reshape(gradient.shape) * self.real.type(scale)

    def _weight(self, link: Link) -> Values:
        return self.wiring.values[link.weight] if link.weight else self._fixed(np.ones(1, self.real))

    def _rows(self, link: Link, first: int, count: int) -> tuple[Values, bool]:
        """What a link sends in a segment: ((count, batch, size), False), or ((batch, size), True) when it is the same in every step."""
        if link.before in self._runs:
            run = self._runs[link.before]
            signal = self._signal(link.before, link.source)
            if run.still:
                return signal[self._deepest], not link.lag
            begin = self._deepest - link.lag
            return signal[begin : begin + count], False
        value = self._inputs[link.source]
        if self._form[link.source] == "once":
            return value, True
        return value[first : first + count], False

    def _arrive(self, layer: Layer, first: int, last: int) -> None:
        """Fill the inputs of a layer with what comes from outside of it."""
        count = last - first
        inside = {link.name for link in layer.links}
        for path in layer.cells:
            run = self._runs[path]
            for name, modes in run.input_modes.items():
                started: set[Mode] = set()
                for link in self._into.get(name, ()):
                    if link.name in inside:
                        continue
                    if link.kind == "bias":
                        once = self._input(name, "once", run.cell.size)
                        bias = self._bias(link, link.scale)
                        if "once" in started:
                            once += bias
                        else:
                            once[...] = bias
                        started.add("once")
                        continue
                    sent, still = self._rows(link, first, count)
                    mode: Mode = "once" if still else "each"
                    out = self._input(name, mode, run.cell.size)
                    rows = sent if sent.ndim == 3 and not sent.flags.c_contiguous else sent.reshape(-1, sent.shape[-1])
                    self._carry(link, rows, out[:count].reshape(-1, run.cell.size) if not still else out, mode in started)
                    started.add(mode)
                for mode in modes:
                    if mode not in started:
                        self._input(name, mode, run.cell.size)[...] = 0

    def _carry(self, link: Link, sent: Values, out: Values, add: bool, at: int = 0) -> None:
        """What a link delivers, from step ``at`` of the segment on."""
        product = self.wiring.products[link.name]
        if link.name in self._norms:
            self._norms.forward(link.name, product, sent, self._weight(link), out, add, at)
        else:
            product.forward(sent, self._weight(link), out, add)

    def _arrive_inside(self, layer: Layer, path: str, at: int) -> None:
        """What a population receives in one step from those of its own cycle that had their turn, or had it in steps before."""
        for link in layer.links:
            if link.after != path:
                continue
            signal = self._signal(link.before, link.source)
            out = self._input(link.target, "each", self._runs[link.after].cell.size)
            sent = signal[self._deepest + at - link.lag]
            self._carry(link, sent, out[at], True, at)

    def _cell(self, run: _CellRun, origin: int, first: int, last: int, keep: bool) -> None:
        """Call a cell's forward pass for some steps of the segment that begins at ``origin``."""
        slots = run.forward_slots if keep else run.infer_slots
        batch, size = (1, self._batch * run.cell.size) if run.flat else (self._batch, run.cell.size)
        if run.still:
            first, last = origin, origin + 1
        name = f"{run.name}_{'forward' if keep else 'infer'}"  # type: ignore[attr-defined]
        if name not in self._prepared:
            given: list[Values] = [self._forward_slot(run, slot, origin) for slot in slots]
            self._prepared[name] = _prepare(slots, given, batch, size)
            if self._copies(run):
                self._copied.add(name)
        self._runner.run(name, self._prepared[name], batch, size, first, last, origin, self._sample)

    def _forward_slot(self, run: _CellRun, slot: Slot, origin: int) -> Values:
        size = run.cell.size
        match slot.kind:
            case "carried":
                return self._state(run, slot.array)
            case "initial":
                return self._initial(run, slot.array)
            case "parameter":
                return self._parameter(run, slot)
            case "weights":
                return self._step_weights(run, slot.array.removesuffix(OUT))
            case "sum":
                return self._buffer(f"{run.path}/{slot.array.removesuffix(OUT)}@sum", self._batch, size)
            case "once":
                return self._input(slot.array, "once", size)
        if slot.array in run.cell.inputs:
            return self._input(slot.array, "each", size)
        if slot.array.endswith(OUT):
            return self._signal(run.path, slot.array.removesuffix(OUT))[self._deepest :]
        return self._kept(run, slot.array)

    def _step_weights(self, run: _CellRun, output: str) -> Values:
        """What each step counts in the sum of an output. A cell that is the same in every step has one turn for all steps of a segment,
        the first, which counts for all of them."""
        weights = run.weights[output]
        if run.still:
            turns = np.zeros_like(weights)
            for first, last in self._segments():
                turns[first] = weights[first:last].sum()
            weights = turns
        return self._fixed(weights)

    def _copies(self, run: _CellRun) -> bool:
        """Whether passes of a cell are given copies of parameters (:meth:`_parameter`)."""
        return any(
            (p.index is not None and self.wiring.values[p.array].size != run.cell.size)
            or (p.type == "int" and self.wiring.values[p.array].dtype != np.int32)
            for p in run.cell.parameters
        )

    def _parameter(self, run: _CellRun, slot: Slot) -> Values:
        value = self.wiring.values[slot.array]
        index = next(p.index for p in run.cell.parameters if p.array == slot.array)
        if slot.type == "int" and value.dtype != np.int32:
            value = value.astype(np.int32)
        if index is None or value.size == run.cell.size:
            return value
        return value.reshape(-1)[self._fixed(_indices(index, run.cell.size))]

    # --- backward -----------------------------------------------------------------------------------------------------

    def backward(self, adjoints: Mapping[str, Values], defer: bool = False, add: bool = False) -> dict[str, Values]:
        """From the derivative of the loss by each readout to that by each trained weight and parameter, summed over the batch.

        With ``want_inputs``, ``input_gradients`` then holds that by the network's inputs. With ``defer``, some gradients are left
        pending; with ``add``, those of weights are added to what is there.
        """
        self.settle()
        self._defers, self._adds = defer and not self.want_inputs and not add, add
        sums = {name: self._buffers[name].copy() for name in self._summed_outputs()} if self._pooled else {}
        for layer, names in reversed(self._pooled):
            self._norms.gather(names, "backward")
            self._until = layer
            self._go_back(adjoints)
            self._until = None
            self._norms.settle(names)
            for name, value in sums.items():  # segments that were computed again have added to them
                self._buffers[name][...] = value
        return self._go_back(adjoints)

    def _summed_outputs(self) -> list[tuple[str, tuple[int, ...]]]:
        """The buffers of outputs that are summed over the steps."""
        return [
            (f"{run.path}/{output}@sum", (self._batch, run.cell.size))
            for run in self._runs.values()
            for output, modes in run.output_modes.items()
            if "sum" in modes
        ]

    def _go_back(self, adjoints: Mapping[str, Values]) -> dict[str, Values]:
        """Once through all segments, from the last to the first."""
        self.gradients = {}
        self._empty.clear()
        for name in sorted(self.wiring.trained_weights | self.wiring.trained_parameters):
            given = self.wiring.gradients.get(name)
            self.gradients[name] = self.xp.zeros_like(self.wiring.values[name]) if given is None else given
            if self._adds and name in self.wiring.trained_weights:
                continue
            if name in self._whole:
                self._empty.add(name)
            else:
                self.gradients[name][...] = 0
        for run in self._runs.values():
            for carried in run.cell.carried:
                if carried.array in self.wiring.trained_states:
                    self.gradients[carried.array] = self.xp.zeros(run.cell.size, self.real)
            for output in run.output_modes:
                if output in self.wiring.trained_states:
                    self.gradients[output] = self.xp.zeros(run.cell.size, self.real)
        if self.want_inputs:
            self.input_gradients = {name: self.xp.zeros_like(self._inputs[name]) for name in self.learning.inputs}
        for run in self._runs.values():
            for name in run.passes.turned if run.path not in self._begins else ():
                self._buffer(f"turned {name}", self._batch, run.cell.size, zero=True)
            for output in run.output_modes:
                if "each" in run.adjoint_modes[output] and self._deepest:
                    self._bar(run.path, output)[...] = 0
                if "sum" in run.adjoint_modes[output]:
                    self._buffer(f"{run.path}/{output}@sum{BAR}", self._batch, run.cell.size, zero=True)
        for readout in self.readouts:
            if readout.population in self.folded:
                self._turn_folded(readout, adjoints[readout.label])
            elif readout.label not in self._collected:
                size = self._runs[readout.population].cell.size
                bars = self._buffer(f"{readout.population}/{readout.output}@sum{BAR}", self._batch, size)
                bars += adjoints[readout.label]
        segments = self._segments()
        for number in range(len(segments) - 1, -1, -1):
            first, last = segments[number]
            if number < len(segments) - 1 or not self._fresh:
                until, self._until = self._until, None
                if self._states:
                    for name, value in self._carried().items():
                        value[...] = self._states[number][name]
                else:
                    self._start()
                self._forward_segment(first, last, True, None)
                self._until = until
            self._backward_segment(first, last, adjoints)
            if number == 0:
                self._begin()
            self._fresh = len(segments) == 1 and not self._overwritten
            if self.truncate is not None:
                for run in self._runs.values():
                    for name in run.passes.turned:
                        self._buffer(f"turned {name}", self._batch, run.cell.size, zero=True)
        return self.gradients

    def release(self) -> None:
        """Let go of the samples of the last batch, so that those of the next can take their place in memory."""
        self._inputs = {}

    def _begin(self) -> None:
        """What is carried back to the beginning is the gradient of the initial states."""
        for run in self._runs.values():
            for carried in run.cell.carried:
                if carried.array in self.wiring.trained_states and carried.name in run.passes.turned:
                    self.gradients[carried.array] += self._buffer(
                        f"turned {carried.name}", self._batch, run.cell.size
                    ).sum(0)
            for output, modes in run.adjoint_modes.items():
                if output in self.wiring.trained_states and "each" in modes and self._deepest:
                    self.gradients[output] += self._bar(run.path, output)[: self._deepest].sum((0, 1))

    def _bar(self, path: str, output: str) -> Values:
        """The adjoints of what was sent: in the place of what was sent, where nobody reads that again."""
        if (path, output) in self._spent:
            return self._signal(path, output)
        size = self._runs[path].cell.size
        return self._buffer(f"{path}/{output}{BAR}", self._deepest + self.segment, self._batch, size)

    def _input_bar(self, target: str, run: _CellRun) -> Values:
        """The adjoints of what arrived in every step, likewise."""
        if target in self._used_up:
            return self._input(target, "each", run.cell.size)
        return self._buffer(f"{target}@each{BAR}", self.segment, self._batch, run.cell.size)

    def _reusable(self) -> None:
        """Which signals and inputs the backward pass does not read: their adjoints need no memory of their own."""
        again = {path: {slot.array for slot in run.backward_slots} for path, run in self._runs.items()}
        read = {(readout.population, readout.output) for readout in self.readouts}
        self._used_up = frozenset(
            name for path, run in self._runs.items() for name in run.cell.inputs if name not in again[path]
        )
        sent: dict[tuple[str, str], list[Link]] = {}
        for link in self._links:
            sent.setdefault((link.before, link.source), []).append(link)
        inside = {link.name for layer in self._layers for link in layer.links}
        self._spent = frozenset(
            (path, output)
            for path, run in self._runs.items()
            for output in run.output_modes
            if not self._deepest
            and not run.still
            and (path, output) not in read
            and output + OUT not in again[path]
            and all(self._leaves(link, sent[path, output], inside) for link in sent.get((path, output), ()))
        )
        cyclic = {path for layer in self._layers if layer.links for path in layer.cells}
        self._shared: dict[str, Shared] = {}
        for path, run in self._runs.items():
            free, outputs = [], []
            if self.arrays.overwrites:
                free = [name for name, modes in run.input_modes.items() if "each" in modes and name in self._used_up]
            if not self._deepest and path not in cyclic and not run.still:
                outputs = [output for output, modes in run.output_modes.items() if "each" in modes]
            self._shared[path] = shared(run.passes, free, outputs)
        #: whether a backward pass leaves adjoints where another one would look for what the forward pass left
        self._overwritten = bool(self._spent) or any(one.kept or one.sent for one in self._shared.values())

    def _leaves(self, link: Link, others: Sequence[Link], inside: set[str]) -> bool:
        product = self.wiring.products[link.name] if link.kind != "bias" else None
        alone = len(others) == 1 and link.name not in inside and self.arrays.overwrites
        return leaves_signal(product, link.weight in self.wiring.trained_weights, alone)

    def _turn_folded(self, readout: Readout, adjoint: Values) -> None:
        weights, _ = self.folded[readout.population]
        adjoint = self.xp.ascontiguousarray(adjoint, self.real)
        for link in self._into_population(readout.population):
            if self.want_inputs and link.kind != "bias" and link.before in self.learning.inputs:
                self._leave_folded(link, weights, adjoint)
            if link.kind == "bias":
                if link.weight in self.gradients:
                    self._weigh_bias(link, adjoint, link.scale * weights.sum())
                continue
            product = self.wiring.products[link.name]
            if link.weight in self.gradients:
                self._add_gradient(link, self._summed(link, weights), adjoint)
            if link.before in self._runs:
                run = self._runs[link.before]
                target = self._buffer(f"{run.path}/{link.source}@sum{BAR}", self._batch, run.cell.size)
                product.transpose(adjoint, self._weight(link), target, True, None)

    def _backward_segment(self, first: int, last: int, adjoints: Mapping[str, Values]) -> None:
        head, count = self._deepest, last - first
        for path, run in self._runs.items():
            for output, modes in run.adjoint_modes.items():
                if "each" not in modes:
                    continue
                if not head:
                    self._blank.add((path, output))
                    continue
                bars = self._bar(path, output)
                late = bars[:head].copy()
                bars[...] = 0
                if last < self.steps and self.truncate is None:  # what arrived in the segment after
                    bars[count : count + head] = late
        for readout in self.readouts:
            if readout.label not in self._collected:
                continue
            self._clear(readout.population, readout.output)
            bars = self._bar(readout.population, readout.output)
            adjoint = adjoints[readout.label]
            if readout.weights is None:
                bars[head : head + count] += adjoint[first:last]
            else:
                weights = self._fixed(np.asarray(readout.weights, self.real))[first:last]
                bars[head : head + count] += weights[:, None, None] * adjoint
        for number in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[number]
            for path in layer.cells:
                for name, modes in self._runs[path].input_modes.items():
                    if "once" in modes:
                        self._buffer(f"{name}@once{BAR}", self._batch, self._runs[path].cell.size, zero=True)
            if layer.links:
                if layer.cells[0] in self._cycles:
                    self._cycle(layer, first, last, "backward")
                else:
                    self._turn_steps(layer, first, last)
                for link in layer.links:
                    self._weigh(link, first, count)
            else:
                for path in layer.cells:
                    self._turn(self._runs[path], first, first, last)
            self._leave(layer, first, count)
            if number == self._until:
                break

    def _turn_steps(self, layer: Layer, first: int, last: int) -> None:
        for step in range(last - 1, first - 1, -1):
            for path in reversed(layer.cells):
                self._turn(self._runs[path], first, step, step + 1)
                for link in layer.links:
                    if link.after == path:
                        self._turn_inside(link, step - first)

    def _cycle(self, layer: Layer, first: int, last: int, turn: Literal["infer", "forward", "backward"]) -> None:
        """A cycle through the steps of a segment in one call."""
        cycle, back = self._cycles[layer.cells[0]], turn == "backward"
        runs = [self._runs[path] for path in layer.cells]
        slots: list[list[Values]] = []
        partial: list[tuple[_CellRun, str, Values]] = []
        for run in runs:
            if back:
                for output in run.adjoint_modes:
                    self._clear(run.path, output)
                given, own = self._backward_slots(run, run.cell.size)
                partial += [(run, name, value) for name, value in own]
            else:
                wanted = run.forward_slots if turn == "forward" else run.infer_slots
                given = [self._forward_slot(run, slot, first) for slot in wanted]
            slots.append(given)
        links: list[tuple[Values, Values, Values, int, int]] = []
        head = self._deepest
        for link in layer.links:
            before, after = self._runs[link.before].cell.size, self._runs[link.after].cell.size
            matrix = self.wiring.products[link.name].matrix(self._weight(link))  # type: ignore[attr-defined]
            if back:
                arrived = self._input_bar(link.target, self._runs[link.after])
                links.append((arrived, matrix.T, self._bar(link.before, link.source)[head:], after, link.lag))
            else:
                signal = self._signal(link.before, link.source)[head:]
                links.append((signal, matrix, self._input(link.target, "each", after), before, link.lag))
        sizes = [run.cell.size for run in runs]
        runner = cast(CycleRunner, self._runner)
        runner.cycle(f"{cycle.name}_{turn}", slots, sizes, links, self._batch, first, last, first, self._sample)
        for run, name, value in partial:
            self._add_parameter(run, name, value)

    def _clear(self, path: str, output: str) -> None:
        """Adjoints that nothing was written to yet are 0."""
        if (path, output) in self._blank:
            self._blank.discard((path, output))
            self._bar(path, output)[...] = 0

    def _leave_folded(self, link: Link, weights: Values, adjoint: Values) -> None:
        """The same for an input that goes straight into a folded readout."""
        made = self.xp.zeros((self._batch, self._inputs[link.source].shape[-1]), self.real)
        self.wiring.products[link.name].transpose(adjoint, self._weight(link), made, True, None)
        if self._form[link.source] == "once":
            self.input_gradients[link.source] += made * self.real.type(weights.sum())
        else:
            self.input_gradients[link.source] += self._fixed(weights.astype(self.real))[:, None, None] * made

    def _leave_network(self, link: Link, run: _CellRun, first: int, count: int) -> None:
        """What the loss says about the network's input."""
        product, given = self.wiring.products[link.name], self._inputs[link.source]
        total = self.input_gradients[link.source]
        if self._form[link.source] == "once":
            product.transpose(self._arrived(link, run, True, count), self._weight(link), total, True, given)
            return
        rows = self._arrived(link, run, False, count)
        target = total[first : first + count].reshape(rows.shape[0], -1)
        sent = given[first : first + count].reshape(rows.shape[0], -1)
        product.transpose(rows, self._weight(link), target, True, sent)

    def _turn(self, run: _CellRun, origin: int, first: int, last: int) -> None:
        for output in run.adjoint_modes:
            self._clear(run.path, output)
        slots, name = run.backward_slots, f"{run.name}_backward"  # type: ignore[attr-defined]
        batch, size = (1, self._batch * run.cell.size) if run.flat else (self._batch, run.cell.size)
        if run.still:
            first, last = origin, origin + 1
        if name in self._prepared:
            self._runner.run(name, self._prepared[name], batch, size, first, last, origin, self._sample)
            return
        given, partial = self._backward_slots(run, size)
        prepared = _prepare(slots, given, batch, size)
        if not partial:
            self._prepared[name] = prepared
            if self._copies(run):
                self._copied.add(name)
        self._runner.run(name, prepared, batch, size, first, last, origin, self._sample)
        for parameter, value in partial:
            self._add_parameter(run, parameter, value)

    def _backward_slots(self, run: _CellRun, size: int) -> tuple[list[Values], list[tuple[str, Values]]]:
        """The arrays of a backward pass, and those of them in which the gradients of parameters are summed."""
        partial: list[tuple[str, Values]] = []
        given: list[Values] = []
        for slot in run.backward_slots:
            if slot.kind == "gradient":
                value = self.xp.zeros(
                    blocks(size) if slot.single else run.cell.size, np.float64 if slot.single else self.real
                )
                partial.append((slot.array.removesuffix(BAR), value))
                given.append(value)
            else:
                given.append(self._backward_slot(run, slot))
        return given, partial

    def _add_parameter(self, run: _CellRun, name: str, value: Values) -> None:
        total = self.gradients[name]
        parameter = next(p for p in run.cell.parameters if p.array == name)
        if parameter.index is None:
            total += value.sum()
        elif total.size == value.size:
            total += value.reshape(total.shape)
        else:
            group = self._fixed(_indices(parameter.index, run.cell.size))
            total += self.xp.bincount(group, value, total.size).reshape(total.shape).astype(total.dtype)

    def _backward_slot(self, run: _CellRun, slot: Slot) -> Values:
        size = run.cell.size
        plain = slot.array.removesuffix(BAR)
        match slot.kind:
            case "carried":
                return self._buffer(f"turned {plain}", self._batch, size)
            case "initial":
                return self._initial(run, slot.array)
            case "again":
                return self._buffer("none", 0)
            case "parameter":
                return self._parameter(run, slot)
            case "weights":
                return self._step_weights(run, plain)
            case "sum":
                return self._buffer(f"{run.path}/{plain}@sum{BAR}", self._batch, size)
            case "once":
                if slot.array in run.passes.ends:
                    return self._buffer(f"ended {slot.array}", self._batch, size)
                if slot.array.endswith(BAR):
                    return self._buffer(f"{plain}@once{BAR}", self._batch, size)
                return self._input(slot.array, "once", size)
        if slot.array in run.cell.inputs:
            return self._input(slot.array, "each", size)
        if slot.array.endswith(BAR):
            if plain in run.cell.inputs:
                return self._input_bar(plain, run)
            return self._bar(run.path, plain)[self._deepest :]
        return self._kept(run, slot.array)

    def _turn_inside(self, link: Link, at: int) -> None:
        arrived = self._input_bar(link.target, self._runs[link.after])[at]
        if link.name in self._norms:
            arrived = self._norms.turn(link.name, arrived, self.gradients, at)
        self._clear(link.before, link.source)
        target = self._bar(link.before, link.source)[self._deepest + at - link.lag]
        sent = self._signal(link.before, link.source)[self._deepest + at - link.lag]
        self.wiring.products[link.name].transpose(arrived, self._weight(link), target, True, sent)

    def _weigh(self, link: Link, first: int, count: int) -> None:
        """The gradient of a link's weight from all steps of a segment."""
        if link.weight not in self.gradients:
            return
        size = self._runs[link.after].cell.size
        if link.kind == "bias":
            self._weigh_bias(link, self._buffer(f"{link.target}@once{BAR}", self._batch, size), link.scale)
            return
        sent, still = self._rows(link, first, count)
        rows = self._arrived(link, self._runs[link.after], still, count)
        self._add_gradient(link, sent if not sent.flags.c_contiguous else sent.reshape(rows.shape[0], -1), rows)

    def _arrived(self, link: Link, run: _CellRun, still: bool, count: int) -> Values:
        """The adjoint of what a link delivered, (rows, size)."""
        size = run.cell.size
        if link.name in self._norms:
            return self._norms.turned(link.name, self._batch if still else count * self._batch)
        if still:
            return self._buffer(f"{link.target}@once{BAR}", self._batch, size)
        return self._input_bar(link.target, run)[:count].reshape(-1, size)

    def _leave(self, layer: Layer, first: int, count: int) -> None:
        """From the adjoints of a layer's inputs to those of weights and of what was sent from outside."""
        inside = {link.name for link in layer.links}
        for path in layer.cells:
            run = self._runs[path]
            for name in run.cell.inputs:
                for link in self._into.get(name, ()):
                    if link.name in inside:
                        continue
                    if link.name in self._norms:
                        still = self._rows(link, first, count)[1]
                        bars = self._buffer(f"{name}@once{BAR}", self._batch, run.cell.size)
                        bars = bars if still else self._input_bar(name, run)[:count].reshape(-1, run.cell.size)
                        self._norms.turn(link.name, bars, self.gradients)
                    self._weigh(link, first, count)
                    if self.want_inputs and link.kind != "bias" and link.before in self.learning.inputs:
                        self._leave_network(link, run, first, count)
                    if link.kind == "bias" or link.before not in self._runs:
                        continue
                    source = self._runs[link.before]
                    product = self.wiring.products[link.name]
                    if source.still and not link.lag:
                        arrived = self._arrived(link, run, True, count)
                        self._clear(link.before, link.source)
                        product.transpose(
                            arrived,
                            self._weight(link),
                            self._bar(link.before, link.source)[self._deepest],
                            True,
                            self._signal(link.before, link.source)[self._deepest],
                        )
                        continue
                    begin = self._deepest - link.lag
                    target = self._bar(link.before, link.source)[begin : begin + count]
                    rows = self._arrived(link, run, False, count)
                    sent = self._signal(link.before, link.source)[begin : begin + count].reshape(rows.shape[0], -1)
                    add = (link.before, link.source) not in self._blank
                    self._blank.discard((link.before, link.source))
                    product.transpose(rows, self._weight(link), target.reshape(rows.shape[0], -1), add, sent)


def _prepare(slots: Sequence[Slot], given: Sequence[Values], batch: int, size: int) -> Prepared:
    """The arrays in the shapes that a pass of ``batch`` samples of ``size`` neurons wants."""
    shaped: list[Values] = []
    for slot, value in zip(slots, given):
        if slot.kind in ("carried", "once", "sum"):
            shaped.append(value.reshape(batch, size))
        elif slot.kind == "each":
            shaped.append(value.reshape(value.shape[0], batch, size))
        else:
            shaped.append(value)
    return Prepared(shaped)


def _is_filter(cell: Cell, trained: frozenset[str]) -> bool:
    """Whether a cell is linear in its input and its past, the same in every step, without events and without anything to train."""
    if cell.written is not None:
        return False
    if cell.tests or trained & {p.array for p in cell.parameters} or any(p.index is not None for p in cell.parameters):
        return False
    moving = {c.name for c in cell.carried} | set(cell.inputs)
    values = {let.name: let.value for let in cell.body}

    def degree(expr: k.Expr) -> int:
        """0: fixed, 1: linear, 2: anything else."""
        match expr:
            case k.Const():
                return 0
            case k.Local(name=name):
                if name in ("step", "t", "i"):
                    return 2
                return 1 if name in moving else degree(values[name]) if name in values else 0
            case k.Unary(operator="-", operand=operand):
                return degree(operand)
            case k.Binary(operator="+" | "-", left=left, right=right):
                return max(degree(left), degree(right))
            case k.Binary(operator="*", left=left, right=right):
                return degree(left) + degree(right)
            case k.Binary(operator="/", left=left, right=right):
                return degree(left) + 2 * degree(right)
        return 2 if any(degree(operand) for operand in k.operands(expr)) or isinstance(expr, k.Draw) else 0

    return all(c.type == "real" and degree(c.after) <= 1 for c in cell.carried) and all(
        degree(value) <= 1 for value in cell.outputs.values()
    )


class _Trial:
    """A cell alone, with one number as the input of its first step: for the response of a linear filter."""

    def __init__(self, engine: Engine, cell: Cell, output: str) -> None:
        self.engine, self.cell, self.output = engine, cell, output

    def run(self, steps: int, pulse: float, start: bool) -> Values:
        """(steps, size) of the output: from the initial states without input, or from zero with a pulse, the constant part taken away."""
        zero = self._run(steps, 0.0, False)
        return self._run(steps, 0.0, True) if start else self._run(steps, pulse, False) - zero

    def _run(self, steps: int, pulse: float, start: bool) -> Values:
        cell, wiring, down = self.cell, self.engine.wiring, self.engine.arrays.down
        made = passes(cell, (self.output,), (), lambda margin: margin, frozenset())
        name = cell.inputs[0]
        modes = Modes({name: ("each",)}, {self.output: ("each",)}, {})
        slots = forward_slots(made, modes)
        plan = self.engine.plan
        runner = NumpyRunner(
            [Pass("trial", made.forward, slots, False)], "double", {}, plan.dt, float(plan.time_offset)
        )
        given: list[Values] = []
        out = np.zeros((steps, 1, cell.size))
        for slot in slots:
            if slot.kind == "carried":
                array = next(c.array for c in cell.carried if c.name == slot.array)
                initial = wiring.initial.get(array)
                state = np.zeros((1, cell.size))
                if start and initial is not None:
                    state[...] = down(initial).reshape(-1, cell.size)[-1]
                given.append(state)
            elif slot.kind == "parameter":
                given.append(np.asarray(down(wiring.values[slot.array]), np.float64))
            elif slot.array == name:
                values = np.zeros((steps, 1, cell.size))
                values[0] = pulse
                given.append(values)
            else:
                given.append(out)
        runner.run("trial", given, 1, cell.size, 0, steps)
        return out[:, 0]


def _differ(values: Values) -> bool:
    """Whether an array holds more than one number, bit for bit."""
    held = values.tobytes()
    return held != held[: values.itemsize] * values.size


def _without(kernel: k.Kernel, suffix: str) -> k.Kernel:
    from dataclasses import replace

    from snnlang.codegen.simplify import simplify_kernel

    body = tuple(s for s in kernel.body if not (isinstance(s, k.Store) and s.array.endswith(suffix)))
    return simplify_kernel(replace(kernel, name=kernel.name + "_alone", body=body))


def _indices(index: k.Expr, size: int) -> Values:
    """The numbers of an index expression of ``i`` for every neuron."""

    def value(expr: k.Expr) -> Values:
        match expr:
            case k.Const(value=number):
                return np.asarray(int(number))
            case k.Local(name="i"):
                return np.arange(size)
            case k.Binary(operator=operator, left=left, right=right):
                a, b = value(left), value(right)
                return {"+": a + b, "-": a - b, "*": a * b, "/": a // np.maximum(b, 1), "%": a % np.maximum(b, 1)}[
                    operator
                ]
        raise AssertionError(f"{index} is no index of a parameter")

    return np.broadcast_to(value(index), (size,))
