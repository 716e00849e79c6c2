"""How a network is gone through: which populations are folded, in which form each input comes and each output leaves, the passes of
cells, and the arrays that they work in, as far as they share them.

Engines are made in floors: this one, gradients that are left as products (:mod:`snnlang.runtime.engine_late`), the forward pass
(:mod:`snnlang.runtime.engine_forward`), the backward pass (:mod:`snnlang.runtime.learning_engine`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.codegen.adjoint import BAR
from snnlang.codegen.cell import Cell
from snnlang.codegen.learning_plan import LearningPlan, Link
from snnlang.codegen.passes import KEPT, OUT, passes
from snnlang.codegen.passes_layout import Mode, Modes, Slot, backward_slots, begun, forward_slots, recomputing
from snnlang.runtime.batch_norm import Normalisers
from snnlang.runtime.engine_cells import CellRun, Pending, Readout, Wiring, indices, without
from snnlang.runtime.learning_arrays import Arrays, HostArrays
from snnlang.runtime.linear_readouts import Trial, is_filter
from snnlang.runtime.pass_runner import INFER, LANES, Cycle, Pass, Prepared, Runner
from snnlang.runtime.products import Dense
from snnlang.runtime.shared_buffers import Shared, leaves_signal, shared

Values = NDArray[Any]
#: Bytes of what is kept of a block of neurons up to which a backward pass computes it again: they stay in the second-level cache.
_AGAIN = 1 << 17


class Layout:
    """What an engine knows before its first batch, and its arrays afterwards."""

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
        self._inputs: dict[str, Values] = {}
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
        self._runs = {path: CellRun(path, cell) for path, cell in learning.cells.items() if path not in self.folded}
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

    # --- linear readouts are folded -------------------------------------------------------------------------------------

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
            if not is_filter(cell, self.wiring.trained_parameters) or len(cell.inputs) != 1:
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
        silent = Trial(self, cell, readout.output)
        base = silent.run(self.steps, 0.0, start=True)
        response = silent.run(self.steps, 1.0, start=False)[:, 0]
        weights = np.asarray(readout.weights, np.float64)
        input_weights = np.array([float(weights[t:] @ response[: self.steps - t]) for t in range(self.steps)])
        return input_weights, weights @ base

    # --- who needs what -------------------------------------------------------------------------------------------------

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
        self._runs[path].want(output, mode, None if weights is None else np.asarray(weights, self.real))

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
            inference = without(run.passes.forward, KEPT)
            every.append(Pass(f"{name}{INFER}", inference, run.infer_slots, False, None, cell.size))
            if backward:
                run.forward_slots, run.backward_slots = slots, backward_slots(run.passes, modes)
                if fresh:
                    run.backward_slots = begun(run.backward_slots)
                forward, before = run.passes.forward, None
                if again:
                    run.backward_slots = recomputing(slots, run.backward_slots)
                    run.forward_slots, forward, before = run.infer_slots, inference, without(forward, OUT)
                every.append(Pass(f"{name}_forward", forward, run.forward_slots, False, None, cell.size))
                back = run.passes.backward
                every.append(Pass(f"{name}_backward", back, run.backward_slots, True, before, cell.size))
        offset = float(self.plan.time_offset)
        self._cycles = self._whole_cycles()
        cycles = tuple(self._cycles.values())
        return self.arrays.runner(every, self.plan.precision, self.plan.streams, self.plan.dt, offset, cycles)

    def _in_one_call(self, run: CellRun) -> bool:
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

    def recomputes(self, run: CellRun) -> bool:
        """Whether the backward pass of a cell computes what it needs of the steps once more, in the cache, instead of reading it from
        memory: where nothing that arrives differs between steps."""
        kept = [name for name in run.passes.kept if name not in run.cell.inputs]
        room = self.steps * LANES * self.real.itemsize * len(kept)
        constant = all("each" not in modes for modes in run.input_modes.values())
        return self._in_one_call(run) and constant and 0 < room <= _AGAIN

    def _whole_cycles(self) -> dict[str, Cycle]:
        """Cycles that are called as wholes, by their first population."""
        found: dict[str, Cycle] = {}
        for layer in self._layers:
            if layer.links and all(
                self.arrays.fuses(self.wiring.products[link.name]) and link.name not in self._norms
                for link in layer.links
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
        rows += sum(
            self.steps * self._runs[r.population].cell.size for r in self.readouts if r.label in self._collected
        )
        return rows * batch * self.real.itemsize + self._norms.bytes(self.segment, batch)

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

    # --- arrays ---------------------------------------------------------------------------------------------------------

    def _initial(self, run: CellRun, name: str) -> Values:
        """The number that a state begins with in every sample; adjoints begin with 0."""
        carried = next((c for c in run.cell.carried if c.name == name), None)
        type = np.int32 if carried is not None and carried.type == "int" else self.real
        made = self._buffer(f"initial {name}", 1, type=type)
        initial = None if carried is None else self.wiring.initial.get(carried.array)
        made[...] = 0 if initial is None else np.reshape(initial, -1)[-1]
        return made

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

    def _kept(self, run: CellRun, array: str) -> Values:
        place = self._shared[run.path].kept.get(array)
        if place is not None:
            return self._input(place, "each", run.cell.size)
        # names within a step are the neuron's own: populations of one neuron and size must not meet in one array
        return self._buffer(f"{run.path}/{array}", self.segment, self._batch, run.cell.size)

    def _input(self, target: str, mode: Mode, size: int) -> Values:
        steps = (self.segment,) if mode == "each" else ()
        return self._buffer(f"{target}@{mode}", *steps, self._batch, size)

    @property
    def runs(self) -> Mapping[str, CellRun]:
        """The populations that go through passes, those of :attr:`folded` left out."""
        return self._runs

    def in_place(self, run: CellRun) -> dict[str, str]:
        """What is kept of each step, or sent, with the input in whose place it lies."""
        return {**self._shared[run.path].kept, **self._shared[run.path].sent}

    def cycle_of(self, path: str) -> Cycle | None:
        """The cycle of populations that a population is part of, where one call takes all of it through the steps."""
        cells = next((layer.cells for layer in self._layers if path in layer.cells), (path,))
        return self._cycles.get(cells[0])

    def buffer_bytes(self) -> int:
        """Bytes of all arrays that the passes so far asked for."""
        return sum(buffer.nbytes for buffer in self._buffers.values()) + self._norms.held()

    def is_still(self, name: str) -> bool:
        """Whether a connection delivers the same in every step."""
        link = next(link for link in self._links if link.name == name)
        return self._source_form(link) == "once" and not link.lag

    def _segments(self) -> list[tuple[int, int]]:
        return [(first, min(self.steps, first + self.segment)) for first in range(0, self.steps, self.segment)]

    def _state(self, run: CellRun, name: str) -> Values:
        type = next(np.int32 if c.type == "int" else self.real for c in run.cell.carried if c.name == name)
        return self._buffer(f"state {name}", self._batch, run.cell.size, type=type)

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

    def _step_weights(self, run: CellRun, output: str) -> Values:
        """What each step counts in the sum of an output. A cell that is the same in every step has one turn for all steps of a segment,
        the first, which counts for all of them."""
        weights = run.weights[output]
        if run.still:
            turns = np.zeros_like(weights)
            for first, last in self._segments():
                turns[first] = weights[first:last].sum()
            weights = turns
        return self._fixed(weights)

    def _copies(self, run: CellRun) -> bool:
        """Whether passes of a cell are given copies of parameters (:meth:`_parameter`)."""
        return any(
            (p.index is not None and self.wiring.values[p.array].size != run.cell.size)
            or (p.type == "int" and self.wiring.values[p.array].dtype != np.int32)
            for p in run.cell.parameters
        )

    def _parameter(self, run: CellRun, slot: Slot) -> Values:
        value = self.wiring.values[slot.array]
        index = next(p.index for p in run.cell.parameters if p.array == slot.array)
        if slot.type == "int" and value.dtype != np.int32:
            value = value.astype(np.int32)
        if index is None or value.size == run.cell.size:
            return value
        return value.reshape(-1)[self._fixed(indices(index, run.cell.size))]

    def _bar(self, path: str, output: str) -> Values:
        """The adjoints of what was sent: in the place of what was sent, where nobody reads that again."""
        if (path, output) in self._spent:
            return self._signal(path, output)
        size = self._runs[path].cell.size
        return self._buffer(f"{path}/{output}{BAR}", self._deepest + self.segment, self._batch, size)

    def _input_bar(self, target: str, run: CellRun) -> Values:
        """The adjoints of what arrived in every step, likewise."""
        if target in self._used_up:
            return self._input(target, "each", run.cell.size)
        return self._buffer(f"{target}@each{BAR}", self.segment, self._batch, run.cell.size)


def _differ(values: Values) -> bool:
    """Whether an array holds more than one number, bit for bit."""
    held = values.tobytes()
    return held != held[: values.itemsize] * values.size
