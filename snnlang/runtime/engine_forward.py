"""The forward pass of an engine: what arrives, the cells through the steps of a segment, readouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.learning_plan import Layer, Link
from snnlang.codegen.passes import OUT
from snnlang.codegen.passes_layout import Mode, Slot
from snnlang.runtime.engine_cells import CellRun, prepare
from snnlang.runtime.engine_late import LateGradients
from snnlang.runtime.native_products import NativeDense
from snnlang.runtime.pass_runner import CycleRunner

Values = NDArray[Any]


class Forward(LateGradients):
    """Through all steps; what a backward pass needs stays in the arrays."""

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
        self._pooled = (
            [] if len(segments) == 1 else self._norms.pooled(training, self._layers, self.is_still, self._links)
        )
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
                    self._carry(
                        link, rows, out[:count].reshape(-1, run.cell.size) if not still else out, mode in started
                    )
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

    def _cycle(self, layer: Layer, first: int, last: int, turn: Literal["infer", "forward"]) -> None:
        """A cycle through the steps of a segment in one call."""
        cycle = self._cycles[layer.cells[0]]
        runs = [self._runs[path] for path in layer.cells]
        slots: list[list[Values]] = []
        for run in runs:
            wanted = run.forward_slots if turn == "forward" else run.infer_slots
            slots.append([self._forward_slot(run, slot, first) for slot in wanted])
        links: list[tuple[Values, Values, Values, int, int]] = []
        for link in layer.links:
            matrix = self.wiring.products[link.name].matrix(self._weight(link))  # type: ignore[attr-defined]
            signal = self._signal(link.before, link.source)[self._deepest :]
            out = self._input(link.target, "each", self._runs[link.after].cell.size)
            links.append((signal, matrix, out, self._runs[link.before].cell.size, link.lag))
        self._call_cycle(f"{cycle.name}_{turn}", runs, slots, links, first, last)

    def _call_cycle(
        self,
        name: str,
        runs: Sequence[CellRun],
        slots: Sequence[Sequence[Values]],
        links: Sequence[tuple[Values, Values, Values, int, int]],
        first: int,
        last: int,
    ) -> None:
        sizes = [run.cell.size for run in runs]
        runner = cast(CycleRunner, self._runner)
        runner.cycle(name, slots, sizes, links, self._batch, first, last, first, self._sample)

    def _cell(self, run: CellRun, origin: int, first: int, last: int, keep: bool) -> None:
        """Call a cell's forward pass for some steps of the segment that begins at ``origin``."""
        slots = run.forward_slots if keep else run.infer_slots
        batch, size = (1, self._batch * run.cell.size) if run.flat else (self._batch, run.cell.size)
        if run.still:
            first, last = origin, origin + 1
        name = f"{run.name}_{'forward' if keep else 'infer'}"  # type: ignore[attr-defined]
        if name not in self._prepared:
            given: list[Values] = [self._forward_slot(run, slot, origin) for slot in slots]
            self._prepared[name] = prepare(slots, given, batch, size)
            if self._copies(run):
                self._copied.add(name)
        self._runner.run(name, self._prepared[name], batch, size, first, last, origin, self._sample)

    def _forward_slot(self, run: CellRun, slot: Slot, origin: int) -> Values:
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
