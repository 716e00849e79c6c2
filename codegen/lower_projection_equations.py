"""Lower what a synapse computes in every step: its equations and traces, and deliveries that no event starts.

States that were folded into the target are advanced there, not here.
"""

from __future__ import annotations

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import I, as_real, launch, load
from snnlang.codegen.lower_expression import lower_expression
from snnlang.codegen.lower_population_handlers import source_of
from snnlang.codegen.lower_projection_handlers import ProjectionHandlers
from snnlang.codegen.lower_projection_names import PRE, SYNAPSE, Level, SynapseMeaning
from snnlang.codegen.plan import PlanNode, SynapseReduce
from snnlang.dynamics.system import Step
from snnlang.model import expression as e
from snnlang.model import model as m


class ProjectionEquations(ProjectionHandlers):
    """Adds the kernels of a projection's equations, traces and continuous deliveries."""

    def all_domains(self) -> dict[Level, k.Domain]:
        state = self.state
        return {
            "pre": k.Each(state.pre_size),
            "post": k.Each(state.post.size),
            "synapse": k.Synapses(state.connectivity),
        }

    def advance(self) -> list[PlanNode]:
        """Synaptic states and traces that are not integrated with the target go to t_{n+1}."""
        state, assembly = self.state, self.assembly
        nodes: list[PlanNode] = []
        if state.advance is not None:
            by_level: dict[Level, list[tuple[str, e.Expr, str]]] = {"pre": [], "post": [], "synapse": []}
            for let in state.advance.updates:
                where = state.where(let.name)
                by_level[where if where in ("pre", "post") else "synapse"].append((let.name, let.value, let.source))  # type: ignore[index]
            needed = {
                node.name for let in state.advance.body for node in e.walk(let.value) if isinstance(node, e.Variable)
            }
            for level, updates in by_level.items():
                if not updates:
                    continue
                meaning = SynapseMeaning(assembly, state, self.networks, level)
                meaning.draws = "xi"
                body: list[k.Statement] = []
                used = _closure([value for _, value, _ in updates], state.advance)
                for let in state.advance.body:
                    if let.name in used or (needed and let.name in used):
                        body.append(k.Let(let.name, as_real(lower_expression(let.value, meaning)), let.source))
                        meaning.extra[let.name] = k.Local(let.name)
                values = [(name, as_real(lower_expression(value, meaning)), source) for name, value, source in updates]
                single = len(values) == 1
                stores: list[k.Statement] = []
                for name, value, source in values:
                    array = state.arrays[name]
                    index: k.Expr | None = (
                        SYNAPSE
                        if assembly.arrays[array].connectivity
                        else (I if assembly.arrays[array].shape else None)
                    )
                    if name in state.frozen:
                        value = k.Choose(load(assembly, state.frozen[name], None), load(assembly, array, index), value)
                    if single:
                        stores.append(k.Store(array, index, value, source))
                    else:
                        body.append(k.Let(f"{name}_new", value, source))
                        stores.append(k.Store(array, index, k.Local(f"{name}_new")))
                body.extend(stores)
                for variable in state.synapse.states:
                    if variable.bounds is not None and any(variable.name == name for name, _, _ in updates):
                        body.extend(self.clamped(variable, meaning))
                for name, ring in state.rings.items():
                    if any(name == updated for updated, _, _ in updates):
                        body.append(k.Store(ring, I, load(assembly, state.arrays[name], I)))
                domain = self.all_domains()[level]
                nodes.append(
                    launch(
                        self.name("advance"), f"{state.path}: equations and traces", domain, body, state.projection.span
                    )
                )
        return nodes

    def differences(self) -> list[PlanNode]:
        """Difference equations of the synapse, in order of their graph: each where its variable lives, once for each neuron or synapse.

        Where they live at several places, what neurons have is computed first and taken over last, so that synapses see both."""
        ordered = _difference_order(self.state.synapse)
        if not ordered:
            return []
        by_level: dict[Level, list[m.Difference]] = {"pre": [], "post": [], "synapse": []}
        for equation in ordered:
            by_level[self._level_of(equation.variable)].append(equation)
        levels = [level for level, equations in by_level.items() if equations]
        if len(levels) == 1:
            meaning = SynapseMeaning(self.assembly, self.state, self.networks, levels[0])
            return [self._equations(levels[0], [*self._new(ordered, meaning), *self._taken(ordered, meaning)])]
        nodes: list[PlanNode] = []
        last: list[PlanNode] = []
        ahead: dict[str, str] = {}
        for level in levels:
            meaning = SynapseMeaning(self.assembly, self.state, self.networks, level)
            if level == "synapse":
                for name, array in ahead.items():
                    side = meaning.pre_index if self._level_of(name) == "pre" else meaning.post_index
                    meaning.extra[f"{name}[n]"] = load(self.assembly, array, side)
                equations = by_level[level]
                nodes.append(self._equations(level, [*self._new(equations, meaning), *self._taken(equations, meaning)]))
                continue
            body = self._new(by_level[level], meaning)
            size = self.state.pre_size if level == "pre" else self.state.post.size
            for equation in by_level[level]:
                name = equation.variable
                ahead[name] = self.assembly.add_array(f"{self.state.path}.{name}_next", (size,), role="scratch", owner=self.state.path)
                body.append(k.Store(ahead[name], I, meaning.extra[f"{name}[n]"]))
                meaning.extra[f"{name}[n]"] = load(self.assembly, ahead[name], I)
            nodes.append(self._equations(level, body))
            last.append(self._equations(level, self._taken(by_level[level], meaning)))
        return nodes + last

    def _level_of(self, name: str) -> Level:
        where = self.state.where(name)
        array = self.assembly.arrays[self.state.arrays[name]]
        return where if where in ("pre", "post") and array.connectivity is None else "synapse"  # type: ignore[return-value]

    def _equations(self, level: Level, body: list[k.Statement]) -> PlanNode:
        domain, span = self.all_domains()[level], self.state.projection.span
        return launch(self.name("equations"), f"{self.state.path}: difference equations", domain, body, span)

    def _new(self, equations: list[m.Difference], meaning: SynapseMeaning) -> list[k.Statement]:
        """The new values as names."""
        body: list[k.Statement] = []
        for equation in equations:
            value = as_real(lower_expression(equation.value, _Lagged(meaning)))
            local = k.Local(f"{equation.variable}_new")
            body.append(k.Let(local.name, value, source_of(equation.span)))
            meaning.extra[f"{equation.variable}[n]"] = local
        return body

    def _taken(self, equations: list[m.Difference], meaning: SynapseMeaning) -> list[k.Statement]:
        """The new values stored, within their bounds."""
        state, assembly = self.state, self.assembly
        body: list[k.Statement] = []
        for equation in equations:
            array = state.arrays[equation.variable]
            index: k.Expr = SYNAPSE
            if not assembly.arrays[array].connectivity:
                index = meaning.pre_index if self._level_of(equation.variable) == "pre" else meaning.post_index
            new = meaning.extra[f"{equation.variable}[n]"]
            if equation.variable in state.frozen:
                new = k.Choose(load(assembly, state.frozen[equation.variable], None), load(assembly, array, index), new)
            body.append(k.Store(array, index, new))
        for variable in state.synapse.states:
            if variable.bounds is not None and any(d.variable == variable.name for d in equations):
                body.extend(self.clamped(variable, meaning))
        return body

    def continuous(self) -> list[PlanNode]:
        """Bare delivers that were not folded into the target."""
        state = self.state
        if not state.continuous:
            return []
        meaning = SynapseMeaning(self.assembly, state, self.networks, "synapse")
        nodes: list[PlanNode] = []
        if state.max_pool:
            return self.pooled(meaning)
        nodes += self._begun(meaning)
        body: list[k.Statement] = []
        for deliver in state.continuous:
            body.extend(self.deliver(deliver.value, deliver.port, meaning, source_of(deliver.span)))
        nodes.append(
            launch(
                self.name("deliver"),
                f"{state.path}: continuous delivery",
                k.Synapses(state.connectivity),
                body,
                state.projection.span,
            )
        )
        return nodes

    def _begun(self, meaning: SynapseMeaning) -> list[PlanNode]:
        """Delays that differ: a delivery that comes before traces are advanced reads them as they began the step in which it was sent."""
        state, assembly = self.state, self.assembly
        if state.lag is not None or state.synapse.differences:
            return []
        nodes: list[PlanNode] = []
        for name, ring in state.rings.items():
            begun = assembly.add_array(
                f"{state.path}.{name}_begun", (state.pre_size,), role="history", depth=assembly.arrays[ring].depth
            )
            nodes.append(
                launch(
                    self.name("begun"),
                    f"{state.path}: {name} as the step begins",
                    k.Each(state.pre_size),
                    [k.Store(begun, I, load(assembly, state.arrays[name], I))],
                )
            )
            meaning.extra[name] = load(assembly, begun, PRE, load(assembly, state.delays, SYNAPSE))
        return nodes

    def pooled(self, meaning: SynapseMeaning) -> list[PlanNode]:
        """Maximum over a window of an analogue source."""
        state, assembly = self.state, self.assembly
        nodes: list[PlanNode] = []
        for deliver in state.continuous:
            source = assembly.add_array(f"{state.path}.pooled", (), role="scratch", connectivity=state.connectivity)
            amount = self.scaled(as_real(lower_expression(deliver.value, meaning)), meaning)
            nodes.append(
                launch(
                    self.name("window"),
                    f"{state.path}: values of the window",
                    k.Synapses(state.connectivity),
                    [k.Store(source, SYNAPSE, amount)],
                    state.projection.span,
                )
            )
            result = assembly.add_array(f"{state.path}.maximum", (state.post.size,), role="scratch")
            nodes.append(SynapseReduce("max", result, source, state.connectivity, "post"))
            array, _ = self.target_of(state, deliver.port or state.projection.post.port)
            nodes.append(
                launch(
                    self.name("deliver"),
                    f"{state.path}: maximum of the window",
                    k.Each(state.post.size),
                    [k.Accumulate(array, I, load(assembly, result, I))],
                    state.projection.span,
                )
            )
        return nodes


class _Lagged:
    """Meaning inside a synapse's difference equation: ``x[n]`` is the new value, ``x[n-1]`` the stored one."""

    def __init__(self, inner: SynapseMeaning) -> None:
        self.inner = inner

    def variable(self, node: e.Variable) -> k.Expr:
        if node.scope == "self" and node.lag == 0 and f"{node.name}[n]" in self.inner.extra:
            return self.inner.extra[f"{node.name}[n]"]
        for definition in self.inner.state.synapse.definitions:
            if node.scope == "self" and definition.name == node.name:
                return lower_expression(definition.value, self)
        return self.inner.variable(node)

    def occurs(self, node: e.Occurs) -> k.Expr:
        return self.inner.occurs(node)

    def since(self, node: e.Since) -> k.Expr:
        return self.inner.since(node)

    def position(self, node: e.Position) -> k.Expr:
        return self.inner.position(node)

    def crosses(self, node: e.Crosses) -> k.Expr:
        return self.inner.crosses(node)

    def reduction(self, node: e.PopulationReduction | e.SynapseReduction) -> k.Expr:
        return self.inner.reduction(node)

    def at_time(self, node: e.AtTime) -> k.Expr:
        return self.inner.at_time(node)

    def draw(self, distribution: str, number: int) -> k.Expr:
        return self.inner.draw(distribution, number)


def _difference_order(synapse: m.Synapse) -> list[m.Difference]:
    """Equations after those whose ``[n]`` they use."""
    by_name = {d.variable: d for d in synapse.differences}
    definitions = {d.name: d.value for d in synapse.definitions}
    done: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        stack = [by_name[name].value]
        while stack:
            value = stack.pop()
            for node in e.walk(value):
                if isinstance(node, e.Variable) and node.scope == "self" and node.lag in (0, None):
                    if node.name in definitions:
                        stack.append(definitions[node.name])
                    elif node.name in by_name and node.name != name:
                        visit(node.name)
        if name not in done:
            done.append(name)

    for name in by_name:
        visit(name)
    return [by_name[name] for name in done]


def _closure(values: list[e.Expr], step: Step) -> set[str]:
    """Names of the temporaries that values need, directly or through each other."""
    bodies = {let.name: let.value for let in step.body}
    used: set[str] = set()
    stack = list(values)
    while stack:
        for node in e.walk(stack.pop()):
            if isinstance(node, e.Variable) and node.name in bodies and node.name not in used:
                used.add(node.name)
                stack.append(bodies[node.name])
    return used
