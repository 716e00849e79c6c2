"""Runs a network forwards and backwards over batches: layers through all their steps, connections as products, no tape.

The forward pass keeps what :mod:`snnlang.codegen.passes` says and what weights need (the signals that were sent). Time can be cut into
segments: then only the states between segments are kept, and each segment is computed once more when the backward pass reaches it.
Shapes: inputs (batch, size) that stay the same in every step, or (steps, batch, size); readouts (steps, batch, size), or, of a weighted sum
over the steps, (batch, size).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.adjoint import BAR
from snnlang.codegen.learning_plan import Layer, Link
from snnlang.codegen.passes_layout import Slot
from snnlang.runtime.engine_cells import CellRun, Readout, indices, prepare
from snnlang.runtime.engine_forward import Forward
from snnlang.runtime.pass_runner import blocks

Values = NDArray[Any]


class Engine(Forward):
    """Forward and backward passes of one network.

    ``once`` names the network inputs that are the same in every step. After :meth:`backward`, ``gradients`` holds the sums over the batch,
    by name of the array, with the shapes of ``values``. Those of ``late`` weights may be left as ``pending`` products, if asked for:
    :meth:`settle` makes them, at the latest before the next pass.
    """

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
                    self._turn_cycle(layer, first, last)
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

    def _turn_cycle(self, layer: Layer, first: int, last: int) -> None:
        """A cycle back through the steps of a segment in one call."""
        cycle = self._cycles[layer.cells[0]]
        runs = [self._runs[path] for path in layer.cells]
        slots: list[list[Values]] = []
        partial: list[tuple[CellRun, str, Values]] = []
        for run in runs:
            for output in run.adjoint_modes:
                self._clear(run.path, output)
            given, own = self._backward_slots(run, run.cell.size)
            partial += [(run, name, value) for name, value in own]
            slots.append(given)
        links: list[tuple[Values, Values, Values, int, int]] = []
        for link in layer.links:
            matrix = self.wiring.products[link.name].matrix(self._weight(link))  # type: ignore[attr-defined]
            arrived = self._input_bar(link.target, self._runs[link.after])
            target = self._bar(link.before, link.source)[self._deepest :]
            links.append((arrived, matrix.T, target, self._runs[link.after].cell.size, link.lag))
        self._call_cycle(f"{cycle.name}_backward", runs, slots, links, first, last)
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

    def _leave_network(self, link: Link, run: CellRun, first: int, count: int) -> None:
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

    def _turn(self, run: CellRun, origin: int, first: int, last: int) -> None:
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
        prepared = prepare(slots, given, batch, size)
        if not partial:
            self._prepared[name] = prepared
            if self._copies(run):
                self._copied.add(name)
        self._runner.run(name, prepared, batch, size, first, last, origin, self._sample)
        for parameter, value in partial:
            self._add_parameter(run, parameter, value)

    def _backward_slots(self, run: CellRun, size: int) -> tuple[list[Values], list[tuple[str, Values]]]:
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

    def _add_parameter(self, run: CellRun, name: str, value: Values) -> None:
        total = self.gradients[name]
        parameter = next(p for p in run.cell.parameters if p.array == name)
        if parameter.index is None:
            total += value.sum()
        elif total.size == value.size:
            total += value.reshape(total.shape)
        else:
            group = self._fixed(indices(parameter.index, run.cell.size))
            total += self.xp.bincount(group, value, total.size).reshape(total.shape).astype(total.dtype)

    def _backward_slot(self, run: CellRun, slot: Slot) -> Values:
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

    def _arrived(self, link: Link, run: CellRun, still: bool, count: int) -> Values:
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

    def _weigh_bias(self, link: Link, adjoint: Values, scale: float) -> None:
        """Add to the gradient of a bias, from adjoints (batch, neurons): neurons of a channel have one number."""
        gradient = self.gradients[link.weight]
        total = adjoint.sum(0)
        total = total if link.places == 1 else total.reshape(-1, link.places).sum(1)
        gradient += total.reshape(gradient.shape) * self.real.type(scale)
