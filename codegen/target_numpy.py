"""A plan as the text of a Python module that uses NumPy alone and can be read.

``run(memory, first, count)`` holds the time loop and everything in it; ``setup``, ``coefficients``, ``trial_start``
and ``trial_end`` hold theirs. ``memory`` has the dictionaries ``arrays`` (a ring has a first axis of its depth),
``lists`` (one array of indices per step kept), ``queues``, ``synapses`` (:class:`snnlang.codegen.patterns.Built`),
``keys`` of random streams and ``records``. An array that a kernel replaces as a whole is bound anew and handed back
at the end, so a function that is interrupted leaves the arrays of its start. Sizes are in the text; parameters and
seeds are not.
"""

from __future__ import annotations

from snnlang.codegen import plan as p
from snnlang.codegen.numpy_block import Block
from snnlang.codegen.numpy_kernel import KernelPrinter
from snnlang.codegen.numpy_names import Identifiers, Names, append_sites, stored_arrays
from snnlang.codegen.numpy_text import Writer
from snnlang.frozen import dataclass

#: The functions of a module and the arguments that follow ``memory``.
SECTIONS = {"setup": "step", "coefficients": "step", "trial_start": "step", "run": "first, count", "trial_end": "step"}


@dataclass(frozen=True, slots=True)
class Code:
    """The text of a module; ``name`` is the plan's. ``support`` and ``random`` are the functions that the text calls."""

    name: str
    text: str
    body: str
    support: frozenset[str]
    random: frozenset[str]


def emit(plan: p.Plan) -> Code:
    """The module of a plan."""
    identifiers = Identifiers(plan)
    support: set[str] = set()
    random: set[str] = set()
    sections = {
        "setup": plan.setup,
        "coefficients": plan.coefficients,
        "trial_start": plan.trial_start,
        "run": plan.step,
        "trial_end": plan.trial_end,
    }
    functions = [_Section(plan, identifiers, support, random, nodes).function(name) for name, nodes in sections.items()]
    body = "\n\n\n".join(functions) + "\n"
    head = [f'"""{plan.name}: {_summary(plan)}"""', "", "import numpy as np", ""]
    if random:
        head.append(f"from snnlang.codegen.random import {', '.join(sorted(random))}")
    if support:
        head.append(f"from snnlang.codegen.whole_array import {', '.join(sorted(support))}")
    text = "\n".join(head).rstrip("\n") + "\n\n\n" + body
    return Code(plan.name, text, body, frozenset(support), frozenset(random))


def standalone(plan: p.Plan, steps: int | None = None, initial: bool = False) -> dict[str, str]:
    """File name -> text of a module that needs neither snnlang nor anything but NumPy: :mod:`snnlang.codegen.standalone_numpy`."""
    from snnlang.codegen import standalone_numpy

    return standalone_numpy.standalone(plan, steps, initial)


def _summary(plan: p.Plan) -> str:
    precision = "" if plan.precision == "double" else ", single precision"
    return f"dt = {plan.dt!r} ms{precision}. Written by snn; units are ms, mV, pA, nS, pF, GOhm."


class _Section:
    """Prints one function of the module."""

    def __init__(
        self, plan: p.Plan, identifiers: Identifiers, support: set[str], random: set[str], nodes: tuple[p.PlanNode, ...]
    ) -> None:
        self.plan, self.nodes = plan, nodes
        self.names = Names(plan, identifiers, support, random, stored_arrays(nodes))
        self.sites = append_sites(nodes)
        self.printer = KernelPrinter(self.names, Writer(self.names, plan.precision == "single"), self.sites)

    def function(self, name: str) -> str:
        """The text of the function."""
        running = name == "run"
        loop = Block("for step in range(first, first + count):" if running else "")
        self._nodes(self.nodes, loop, running)
        after = Block()
        if running:
            self._recorders(loop, after)
        if "t" in self.names.used:
            offset = self.plan.time_offset
            loop.body.insert(0, f"t = (step + {offset})*dt" if offset else "t = step*dt")
            self.names.used.add("dt")
        preamble = [f"dt = {self.plan.dt!r}"] if "dt" in self.names.used else []
        preamble += [f"{made} = {text}" for made, text in self.names.preamble.items()]
        ending = [f"{place} = {made}" for made, place in self.names.rebound.items() if loop.binds(made)]
        used = " ".join([*preamble, *ending, *loop.lines(1), *after.lines(1)])
        unpack = [
            f"{word} = memory.{word}"
            for word in ("arrays", "lists", "queues", "synapses", "keys", "records")
            if f"{word}[" in used
        ]
        lines = [f"def {name}(memory, {SECTIONS[name]}):"]
        body = (
            [f"    {line}" for line in unpack + preamble]
            + loop.lines(1)
            + after.lines(1)
            + [f"    {line}" for line in ending]
        )
        return "\n".join(lines + (body or ["    pass"]))

    # --- nodes --------------------------------------------------------------------------------------------------------

    def _nodes(self, nodes: tuple[p.PlanNode, ...], out: Block, running: bool) -> None:
        for node in nodes:
            self._node(node, out, running)

    def _node(self, node: p.PlanNode, out: Block, running: bool) -> None:
        names = self.names
        match node:
            case p.Launch(kernel=kernel):
                self.printer.kernel(kernel, out)
            case p.Fill(array=array, value=value, lag=lag):
                target = self.printer.write.ring(array, str(lag))
                kind = self.plan.arrays[array].type
                literal = (
                    repr(bool(value))
                    if kind == "bool"
                    else repr(int(value))
                    if kind == "int"
                    else repr(float(value)).replace("inf", "np.inf")
                )
                out.line(f"{target} = {literal}" if target.endswith("]") else f"{target}[...] = {literal}")
            case p.ClearList(list=name):
                names.support.add("NONE")
                slot = names.slot(name)
                out.line(f"{slot} = NONE")
                self.printer.cleared[name] = (out, len(out.body) - 1)
            case p.Enqueue(queue=queue, connectivity=connectivity):
                self._enqueue(node, self.plan.connectivities[connectivity], out)
            case p.ClearQueue(queue=queue):
                names.used.add("step")
                out.line(f"{names.queue(queue)}[step % {self.plan.queues[queue].depth}] = []")
            case p.Reduce():
                self._reduce(node, out)
            case p.SynapseReduce(operation=operation, result=result, source=source, connectivity=connectivity, per=per):
                names.support.add("reduce_synapses")
                values = "None" if source is None else self.printer.write.ring(source, "")
                target = self.printer.write.ring(result, "")
                out.line(f'reduce_synapses("{operation}", synapses["{connectivity}"], "{per}", {values}, {target})')
            case p.Every(period=period, body=body):
                names.used.add("step")
                self._nodes(body, out.block(f"if (step + 1) % {period} == 0:"), running)
            case p.AtStep(step=step, body=body):
                names.used.add("step")
                self._nodes(body, out.block(f"if step == {step}:"), running)
            case p.Settle(list=name, limit=limit, body=body):
                slot = names.slot(name)
                inner = out.block(f"for _ in range({limit}):")
                inner.line(f"before = {slot}")
                self._nodes(body, inner, running)
                inner.block(f"if np.array_equal({slot}, before):").line("break")
            case p.Schedule(list=name, steps=steps, indices=indices):
                self._schedule(name, steps, indices, out, running)

    def _enqueue(self, node: p.Enqueue, c: p.Connectivity, out: Block) -> None:
        names, side = self.names, node.side
        names.used.add("step")
        names.support.add("enqueue")
        inner, items = self.printer.items(node.list, node.lag, out)
        reached = f"{names.identifiers.connectivities[c.name]}_leaving"
        if c.kind == "sparse" and side == "pre":
            names.support.add("spans")
            inner.line(f"{reached} = spans({names.built(c.name, 'row_start', 'start')}, {items})")
        elif c.kind == "sparse":
            names.support.add("rows_of")
            start, incoming = (
                names.built(c.name, "column_start", "column_start"),
                names.built(c.name, "column_synapse", "incoming"),
            )
            inner.line(f"{reached} = rows_of({incoming}, {start}, {items})")
        else:
            names.support.add("reached_by")
            inner.line(f'{reached} = reached_by(synapses["{c.name}"], "{side}", {items})')
        delays = f"{names.array(node.delays)}[{reached}]"
        if self.plan.arrays[node.delays].connectivity is None:
            delays = f"np.full({reached}.size, {names.array(node.delays)})"
        inner.line(
            f"enqueue({names.queue(node.queue)}, step, {reached}, {f'np.maximum({delays} - {node.lag}, 0)' if node.lag else delays})"
        )

    def _reduce(self, node: p.Reduce, out: Block) -> None:
        names = self.names
        source = self.printer.write.ring(node.source, "")
        if node.groups is None and node.operation != "rank":
            target = self.printer.write.ring(node.result, "")
            target = target if target.endswith("]") else f"{target}[...]"
            out.line(f"{target} = {source}.{node.operation}()")
            return
        names.support.add("reduce_groups")
        groups = "None" if node.groups is None else names.array(node.groups)
        out.line(f'reduce_groups("{node.operation}", {source}, {groups}, {self.printer.write.ring(node.result, "")})')

    def _schedule(self, name: str, steps: str, indices: str, out: Block, running: bool) -> None:
        names = self.names
        names.used.add("step")
        names.support.add("ascending")
        slot, base = names.slot(name), names.identifiers.lists[name]
        when = names.array(steps)
        if running:
            begin = names.fetch(
                names.identifiers.derived(base, "begin"),
                f"np.searchsorted({when}, np.arange(first, first + count + 1)).tolist()",
            )
            given = f"{names.array(indices)}[{begin}[step - first]:{begin}[step - first + 1]]"
        else:
            given = f"{names.array(indices)}[{when} == step]"
        if self.sites[name] > 1:
            names.support.add("merged")
            out.line(f"{slot} = merged({slot}, ascending({given}))")
        else:
            out.line(f"{slot} = ascending({given})")

    # --- recorders ----------------------------------------------------------------------------------------------------

    def _recorders(self, loop: Block, after: Block) -> None:
        names = self.names
        for recorder in self.plan.recorders:
            record = names.identifiers.records[recorder.label]
            match recorder:
                case p.EventRecorder(label=label, list=name, indices=indices):
                    names.used.add("step")
                    names.fetch(record, f'records["{label}"]')
                    slot = names.slot(name)
                    if indices is None:
                        loop.block(f"if {slot}.size:").line(f"{record}.append((step, {slot}))")
                    else:
                        wanted = names.fetch(names.identifiers.derived(record, "chosen"), f'memory.chosen["{label}"]')
                        loop.block(f"if {slot}.size:").line(f"{record}.append((step, {slot}[{wanted}[{slot}]]))")
                case p.ValueRecorder(label=label, array=array, indices=indices, every=every):
                    self._value_recorder(record, label, array, indices is not None, every, loop, after)

    def _value_recorder(
        self, record: str, label: str, array: str, part: bool, every: int, loop: Block, after: Block
    ) -> None:
        names = self.names
        names.used.add("step")
        described = self.plan.arrays[array]
        value = (
            self.printer.write.ring(array, "")
            if described.shape or described.connectivity or not names.constant(array)
            else names.scalar(array)
        )
        wanted = names.fetch(names.identifiers.derived(record, "chosen"), f'memory.chosen["{label}"]') if part else ""
        source = f"{value}[{wanted}]" if part else value
        length = (
            f"{wanted}.size,"
            if part
            else f"*{names.array(array)}.shape{'[1:]' if described.depth > 1 else ''}"
            if (described.shape or described.connectivity)
            else ""
        )
        dtype = f', arrays["{array}"].dtype'
        rows = "count" if every == 1 else f"(first + count)//{every} - first//{every}"
        names.fetch(record, f"np.empty(({rows}, {length}){dtype})" if length else f"np.empty({rows}{dtype})")
        if every == 1:
            loop.line(f"{record}[step - first] = {source}")
            steps = "np.arange(first, first + count)"
        else:
            loop.block(f"if (step + 1) % {every} == 0:").line(
                f"{record}[(step + 1)//{every} - first//{every} - 1] = {source}"
            )
            steps = f"np.arange(first//{every} + 1, (first + count)//{every} + 1)*{every} - 1"
        after.line(f'records["{label}"].append(({steps}, {record}))')
