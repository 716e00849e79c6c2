"""Lower one population's turn to kernels, cut where ``all.*`` needs a barrier.

The order inside is the language's: held flags, advance, jumps, difference equations and event tests as their graph says, then stores,
handlers in written order, clocks, bounds, and what others will read later (outputs, histories, values that travel with spikes).
"""

from __future__ import annotations

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import DT, STEP, Assembly, I, as_bool, as_real, both, launch, load, real, whole
from snnlang.codegen.lower_expression import lower_expression
from snnlang.codegen.lower_gaps import gap_steps
from snnlang.codegen.lower_population_handlers import HandlerLowering, emission_order, source_of, statement_expressions
from snnlang.codegen.lower_population_names import PopulationMeaning, PopulationState
from snnlang.codegen.lower_written import WrittenLowering
from snnlang.codegen.plan import ClearList, Fill, Learned, PlanNode, Reduce
from snnlang.dynamics.system import Node
from snnlang.model import expression as e
from snnlang.model import model as m


class PopulationStep:
    """Builds the kernels of one population's turn, cutting them where a population-wide reduction needs a barrier."""

    def __init__(
        self, assembly: Assembly, state: PopulationState, networks: dict[str, str], *, probe: bool = False
    ) -> None:
        self.assembly = assembly
        self.state = state
        self.networks = networks
        self.probe = probe  # only the event tests: nothing is stored but the list
        self.meaning = PopulationMeaning(assembly, state, networks)
        self.nodes: list[PlanNode] = []
        self.body: list[k.Statement] = []
        self.number = 0
        self.pending: list[str] = []  # names whose fresh value stands in a local of this kernel

    # --- pieces -----------------------------------------------------------------------------------------------------

    def let(self, name: str, value: k.Expr, source: str = "") -> k.Local:
        unique = f"{name}"
        self.body.append(k.Let(unique, value, source, value.type))
        return k.Local(unique, value.type)

    def close(self) -> None:
        """End the kernel being built."""
        if self.body:
            suffix = "" if self.number == 0 else f"_{self.number + 1}"
            title = f"{self.state.path}: {self.state.population.model.name}" + (" (event test)" if self.probe else "")
            kind = "probe" if self.probe else "step"
            self.nodes.append(
                launch(
                    f"{self.state.path}_{kind}{suffix}",
                    title,
                    k.Each(self.state.size),
                    self.body,
                    self.state.population.span,
                )
            )
            self.number += 1
        self.body = []

    def cut(self) -> None:
        """A barrier: values of this step go to arrays so that the next kernel can read them."""
        state, assembly = self.state, self.assembly
        for name in self.pending:
            local = self.meaning.fresh.get(name)
            if local is None:
                continue
            if name not in state.arrays:
                state.arrays[name] = assembly.add_array(
                    f"{state.path}.{name}", (state.size,), role="scratch", owner=state.path, variable=name
                )
            self.body.append(k.Store(state.arrays[name], I, local))
            self.meaning.fresh[name] = load(assembly, state.arrays[name], I)
        for event, value in list(self.meaning.events.items()):
            if isinstance(value, k.Local):
                if event not in state.flags:
                    state.flags[event] = assembly.add_array(
                        f"{state.path}.{event}_now", (state.size,), type="bool", role="scratch"
                    )
                self.body.append(k.Store(state.flags[event], I, value))
                self.meaning.events[event] = load(assembly, state.flags[event], I)
        self.pending = []
        self.close()

    def need_reductions(self, *values: e.Expr) -> None:
        """Compute the population-wide reductions of these expressions, behind a barrier."""
        wanted: list[e.PopulationReduction] = []
        for value in values:
            for node in e.walk(value):
                if (
                    isinstance(node, e.PopulationReduction)
                    and node not in self.meaning.reductions
                    and node not in wanted
                ):
                    wanted.append(node)
        # definitions may hide reductions
        for value in values:
            for node in e.walk(value):
                if isinstance(node, e.Variable) and node.scope == "self" and node.name not in self.meaning.fresh:
                    for definition in self.state.system.definitions:
                        if definition.name == node.name:
                            self.need_reductions(definition.value)
        wanted = [node for node in wanted if node not in self.meaning.reductions]
        if not wanted:
            return
        assembly, state = self.assembly, self.state
        sources: list[tuple[e.PopulationReduction, str]] = []
        for node in wanted:
            operand = as_real(lower_expression(node.operand, self.meaning))
            array = assembly.add_array(f"{state.path}.{node.operation}_of", (state.size,), role="scratch")
            self.body.append(k.Store(array, I, operand))
            sources.append((node, array))
        self.cut()
        for node, array in sources:
            groups, count = _groups(assembly, state, node.over)
            integer = node.operation in ("argmax", "argmin", "rank")
            shape = (state.size,) if node.operation == "rank" else ((count,) if groups else ())
            result = assembly.add_array(
                f"{state.path}.{node.operation}", shape, type="int" if integer else "real", role="scratch"
            )
            self.nodes.append(Reduce(node.operation, result, array, groups))  # type: ignore[arg-type]
            index: k.Expr | None = None
            if node.operation == "rank":
                index = I
            elif groups:
                index = load(assembly, groups, I)
            self.meaning.reductions[node] = as_real(load(assembly, result, index))

    # --- the turn ---------------------------------------------------------------------------------------------------

    def build(self) -> list[PlanNode]:
        state, assembly = self.state, self.assembly
        for list_name in state.lists.values():
            self.nodes.append(ClearList(list_name))
        self.keep_past()
        if not self.probe:
            for name, ring in state.seen.items():
                self.body.append(k.Store(ring, I, as_real(self.meaning.current(name))))
        for flag_event, flag in state.flags.items():
            event = next(x for x in state.system.events if x.name == flag_event)
            if event.kind == "emitted":
                self.body.append(k.Store(flag, I, k.Const(False, "bool")))
        self.advance()
        for node in state.system.nodes:
            self.node(node)
        if self.probe:
            self.append_only()
            self.close()
            return self.nodes
        written = None
        if assembly.learning and state.system.adjoint is not None:
            written = WrittenLowering(assembly, state, state.system.adjoint)
            self.body += written.after_equations(self.meaning)
        self.handlers()
        self.aftermath()
        if written is not None:
            self.meaning.use_fresh = False
            self.body += written.after_handlers(self.meaning)
            self.meaning.use_fresh = True
            assembly.written.append(written.finish())
        self.close()
        for jump in state.jumps.values():
            if assembly.arrays[jump].role == "scratch":
                self.nodes.append(Fill(jump, 0.0))
        return self.nodes

    def keep_past(self) -> None:
        """Name x[n-1] of states whose own array holds it, where a handler or later kernel would find it overwritten."""
        state = self.state
        for name in state.history_depth:
            if name not in state.history:
                self.meaning.fresh[f"{name}:1"] = self.let(f"{name}_before", load(self.assembly, state.arrays[name], I))

    def free(self, variable: str) -> k.Expr | None:
        """Condition that a variable is not held, or None when it never is."""
        hold = self.state.holds.get(variable)
        if hold is None:
            return None
        name = f"{variable}_free"
        if name not in self.meaning.fresh:
            value = k.Compare(">", STEP, load(self.assembly, hold, I))
            self.meaning.fresh[name] = self.let(name, value)
        return self.meaning.fresh[name]

    def settle_value(self, name: str, value: k.Expr) -> k.Expr:
        """A new value where the variable is neither held nor frozen, else the old one."""
        state = self.state
        free = self.free(name)
        old = load(self.assembly, state.arrays[name], I)
        if free is not None:
            value = k.Choose(free, value, old)
        if name in state.frozen:
            value = k.Choose(load(self.assembly, state.frozen[name], None), old, value)
        return value

    def advance(self) -> None:
        """Continuous states from t_n to t_{n+1}, then the collected jumps."""
        state, assembly, meaning = self.state, self.assembly, self.meaning
        self.need_reductions(*(let.value for let in (*state.step.body, *state.step.updates)))
        meaning.draws = "xi"
        for name, array in state.coefficients.items():
            meaning.extra[name] = load(assembly, array, I)
        for let in state.step.body:
            meaning.extra[let.name] = self.let(let.name, as_real(lower_expression(let.value, meaning)), let.source)
        updates: dict[str, tuple[k.Expr, str]] = {}
        for let in state.step.updates:
            updates[let.name] = (as_real(lower_expression(let.value, meaning)), let.source)
        meaning.draws = "random"
        meaning.extra.clear()
        difference = {d.variable for d in state.population.model.differences}
        for port, jump in state.jumps.items():
            if port in difference:
                continue
            base, source = updates.get(port, (load(assembly, state.arrays[port], I), ""))
            lag = whole(0) if assembly.arrays[jump].depth > 1 else None
            updates[port] = (k.Binary("+", base, load(assembly, jump, I, lag)), source)
        for name, (value, source) in updates.items():
            meaning.fresh[f"{name}+"] = self.let(f"{name}_new", self.settle_value(name, value), source)
        for name in updates:
            meaning.fresh[name] = meaning.fresh.pop(f"{name}+")
            self.pending.append(name)

    def node(self, node: Node) -> None:
        """A difference equation, a definition or an event test, in the order of the graph."""
        state, meaning = self.state, self.meaning
        if node.kind == "event":
            self.test(node)
            return
        assert node.value is not None
        self.need_reductions(node.value)
        value = as_real(lower_expression(node.value, meaning))
        if node.kind == "difference":
            jump = state.jumps.get(node.name)
            if jump is not None:
                lag = whole(0) if self.assembly.arrays[jump].depth > 1 else None
                value = k.Binary("+", value, load(self.assembly, jump, I, lag))
            value = self.settle_value(node.name, value)
        meaning.fresh[node.name] = self.let(
            f"{node.name}_new" if node.kind == "difference" else node.name, value, node.source
        )
        self.pending.append(node.name)

    def test(self, node: Node) -> None:
        state, meaning = self.state, self.meaning
        event = next(x for x in state.system.events if x.name == node.name)
        condition: k.Expr
        if node.name in state.clamp:
            self.need_reductions(state.clamp[node.name])
            condition = k.Compare(">", as_real(lower_expression(state.clamp[node.name], meaning)), real(0.0))
        elif event.kind == "emitted" or event.condition is None:
            return
        else:
            self.need_reductions(event.condition)
            condition = self.condition(event)
        if node.name in state.holds:
            free = self.free(node.name)
            assert free is not None
            condition = both(condition, free)
        meaning.events[node.name] = self.let(f"{node.name}_now", condition, node.source or source_of(event.span))
        if self.assembly.learning and not self.probe:
            self.learned(event, meaning.events[node.name])

    def learned(self, event: m.Event, happened: k.Expr) -> None:
        """For training: the truth of an event and what stands for its derivative, in arrays of their own."""
        state, assembly = self.state, self.assembly
        flag = assembly.add_array(f"{state.path}.{event.name}_flag", (state.size,), type="bool", role="scratch")
        self.body.append(k.Store(flag, I, happened))
        gradient = ""
        if event.gradient is not None:
            gradient = assembly.add_array(f"{state.path}.{event.name}_gradient", (state.size,), role="scratch")
            self.body.append(k.Store(gradient, I, as_real(lower_expression(event.gradient, self.meaning))))
        assembly.learned.append(Learned(state.path, event.name, state.lists[event.name], flag, gradient))

    def condition(self, event: m.Event) -> k.Expr:
        state, meaning, assembly = self.state, self.meaning, self.assembly
        assert event.condition is not None
        if event.kind == "when":
            return as_bool(lower_expression(event.condition, meaning))
        clock = f"next_{event.name}"
        if clock in state.arrays:
            return k.Compare("<=", load(assembly, state.arrays[clock], I), STEP)
        value = as_real(lower_expression(event.condition, meaning))
        if event.kind == "rate":
            value = k.Unary("-", k.Call("expm1", (k.Unary("-", k.Binary("*", value, DT), "real"),), "real"), "real")
        stream = state.streams.setdefault(event.name, "") or assembly.add_stream(state.path, event.name)
        state.streams[event.name] = stream
        return k.Compare("<", k.Draw("uniform", stream, I, STEP), value)

    def append_only(self) -> None:
        for event, value in self.meaning.events.items():
            self.body.append(k.If(value, (k.Append(self.state.lists[event]),), rare=True))

    def handlers(self) -> None:
        """Store what the step computed, then run the handlers of its events in written order."""
        state, assembly, meaning = self.state, self.assembly, self.meaning
        own = [h for h in state.system.handlers if h.trigger.kind == "own"]
        self.need_reductions(*(value for h in own for value in statement_expressions(h.body)))
        for name in self.pending:
            if name in state.arrays and name in meaning.fresh:
                definition = any(d.name == name for d in state.system.definitions)
                if not definition or name in state.visible:
                    self.body.append(k.Store(state.arrays[name], I, meaning.fresh[name]))
        lowering = HandlerLowering(assembly, state, meaning)
        happened: set[str] = set()
        for handler in emission_order(own):
            event = handler.trigger.event
            if event in meaning.events:
                condition = meaning.events[event]
            else:
                condition = load(assembly, state.flags[event], I)
            body: list[k.Statement] = []
            if event not in happened and event in meaning.events:
                body.append(k.Append(state.lists[event]))
                if f"next_{event}" in state.arrays:
                    body.append(self.next_gap(event))
            happened.add(event)
            body.extend(lowering.block(handler.body))
            self.body.append(k.If(condition, tuple(body), rare=True, source=f"on {event}:"))
        for event, list_name in state.lists.items():
            tail: list[k.Statement] = []
            if event in meaning.events and event not in happened:
                tail.append(k.Append(list_name))
                if f"next_{event}" in state.arrays:
                    tail.append(self.next_gap(event))
            elif event not in meaning.events and event in state.flags:
                tail.append(k.Append(list_name))
            if event in state.clocks:
                tail.append(k.Store(state.clocks[event], I, STEP))
            if tail:
                condition = meaning.events[event] if event in meaning.events else load(assembly, state.flags[event], I)
                self.body.append(k.If(condition, tuple(tail), rare=True))

    def next_gap(self, event: str) -> k.Statement:
        state = self.state
        return k.Store(
            state.arrays[f"next_{event}"],
            I,
            k.Binary(
                "+", k.Binary("+", STEP, whole(1), "int"), gap_steps(self.assembly, state, event, STEP, event), "int"
            ),
        )

    def aftermath(self) -> None:
        """Bounds, crossings, outputs, histories and travelling values, on what the handlers left."""
        state, assembly, meaning = self.state, self.assembly, self.meaning
        meaning.use_fresh = False
        final = meaning
        for variable in state.system.states:
            if variable.bounds is not None:
                array = state.arrays[variable.name]
                low = as_real(lower_expression(variable.bounds.low, final))
                high = as_real(lower_expression(variable.bounds.high, final))
                self.body.append(k.Store(array, I, k.Call("clip", (load(assembly, array, I), low, high), "real")))
        if state.system.output is not None:
            self.need_reductions(state.system.output)
        for crossing, array in state.crossings.items():
            left = as_real(lower_expression(crossing.left, final))
            right = as_real(lower_expression(crossing.right, final))
            self.body.append(k.Store(array, I, k.Binary("-", left, right)))
        if state.output:
            state.arrays.pop("output", None)
            self.body.append(
                k.Store(state.output, I, final.output(), source_of(getattr(state.system.output, "span", None)))
            )
            state.arrays["output"] = state.output
        for name in sorted(state.visible):
            if (
                name in state.arrays
                and any(d.name == name for d in state.system.definitions)
                and name not in meaning.fresh
            ):
                array = state.arrays.pop(name)
                self.body.append(k.Store(array, I, as_real(final.current(name))))
                state.arrays[name] = array
        for name, array in state.history.items():
            ring = assembly.arrays[array].depth > 1
            if name in state.lists:
                value: k.Expr = meaning.events[name] if name in meaning.events else load(assembly, state.flags[name], I)
            elif name in meaning.fresh and name not in state.arrays:
                value = meaning.fresh[name]
            else:
                value = as_real(final.current(name))
            self.body.append(k.Store(array, I, value, lag=whole(0) if ring else None))
        for name, array in state.sent.items():
            if name in meaning.events or name in state.flags:
                occurred = meaning.events[name] if name in meaning.events else load(assembly, state.flags[name], I)
                self.body.append(k.Store(array, I, occurred))
                continue
            source = (
                as_real(final.current(name))
                if name not in meaning.fresh or name in state.arrays
                else meaning.fresh[name]
            )
            self.body.append(k.Store(array, I, source))
        for total_array, total in state.totals.values():
            self.body.append(k.Store(total_array, I, as_real(lower_expression(total, final))))
        for response in state.system.responses:
            happened = (
                meaning.events[response.event]
                if response.event in meaning.events
                else load(assembly, state.flags[response.event], I)
            )
            target = state.arrays[response.name]
            jump: k.Expr = real(response.jump)
            if not response.replace:
                jump = k.Binary("+", load(assembly, target, I), jump)
            self.body.append(k.If(happened, (k.Store(target, I, jump),), rare=True))
        meaning.use_fresh = True


def _groups(assembly: Assembly, state: PopulationState, over: tuple[int, ...] | None) -> tuple[str | None, int]:
    """The int array of group numbers when a reduction runs over some axes only."""
    shape = state.population.shape
    if over is None or set(over) == set(range(len(shape))):
        return None, 1
    kept = [axis for axis in range(len(shape)) if axis not in over]
    coordinates = np.indices(shape).reshape(len(shape), -1)
    numbers = np.zeros(state.size, dtype=np.int64)
    for axis in kept:
        numbers = numbers * shape[axis] + coordinates[axis]
    key = f"groups over {over}"
    if key not in state.arrays:
        state.arrays[key] = assembly.add_array(
            f"{state.path}.groups", (state.size,), type="int", role="data", data=numbers
        )
    return state.arrays[key], int(np.prod([shape[axis] for axis in kept], dtype=np.int64))
