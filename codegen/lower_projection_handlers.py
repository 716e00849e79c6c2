"""Lower the statements of a synapse's handlers to kernels over the synapses that an event reaches.

The kernels of a handler are cut only where its statements change level (pre, post, synapse), so that written order is kept.
"""

from __future__ import annotations

from collections.abc import Callable

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import Assembly, as_bool, as_real, launch, load, negate, real
from snnlang.codegen.lower_expression import constant_value, lower_expression
from snnlang.codegen.lower_population_handlers import source_of, statement_expressions
from snnlang.codegen.lower_population_names import PopulationState
from snnlang.codegen.lower_projection import assigned_in
from snnlang.codegen.lower_projection_names import POST, SHARED, SYNAPSE, Level, ProjectionState, SynapseMeaning
from snnlang.codegen.plan import PlanNode, SynapseReduce
from snnlang.diagnostics import error
from snnlang.model import expression as e
from snnlang.model import model as m


class ProjectionHandlers:
    """Builds the kernels of a projection's handlers."""

    def __init__(
        self,
        assembly: Assembly,
        state: ProjectionState,
        networks: dict[str, str],
        target_of: Callable[[ProjectionState, str], tuple[str, bool]],
    ) -> None:
        self.assembly = assembly
        self.state = state
        self.networks = networks
        self.target_of = target_of  # (projection, port) -> (array to accumulate into, whether it is an input)
        self.number = 0

    def name(self, what: str) -> str:
        self.number += 1
        return f"{self.state.path}_{what}_{self.number}"

    # --- levels -----------------------------------------------------------------------------------------------------

    def level(self, statement: m.Statement) -> Level:
        state = self.state
        match statement:
            case m.Assign(name=name, scope="self"):
                where = state.where(name)
                return where if where in ("pre", "post") else "synapse"  # type: ignore[return-value]
            case m.If(branches=branches):
                levels = {self.level(inner) for _, body in branches for inner in body}
                return levels.pop() if len(levels) == 1 else "synapse"
            case _:
                return "synapse"

    def groups(self, body: tuple[m.Statement, ...]) -> list[tuple[Level, list[m.Statement]]]:
        """Consecutive statements of one level; a reduction starts a group of its own, so that it sees what came before."""
        result: list[tuple[Level, list[m.Statement]]] = []
        for statement in body:
            level = self.level(statement)
            reduces = any(
                isinstance(node, e.SynapseReduction)
                for value in statement_expressions((statement,))
                for node in e.walk(value)
            )
            if result and result[-1][0] == level and not reduces:
                result[-1][1].append(statement)
            else:
                result.append((level, [statement]))
        return result

    # --- statements -------------------------------------------------------------------------------------------------

    def handler(
        self, what: str, body: tuple[m.Statement, ...], domains: dict[Level, k.Domain], late: bool
    ) -> list[PlanNode]:
        """The kernels of a handler; ``domains`` says what each level visits."""
        nodes: list[PlanNode] = []
        for level, statements in self.groups(body):
            meaning = SynapseMeaning(self.assembly, self.state, self.networks, level, late=late)
            for value in statement_expressions(tuple(statements)):
                for node in e.walk(value):
                    if isinstance(node, e.SynapseReduction) and node not in meaning.reductions:
                        nodes.extend(self.reduce(node, meaning, late))
            kernel_body = [lowered for statement in statements for lowered in self.statement(statement, meaning)]
            kernel_body.extend(self.clamp(statements, meaning))
            if kernel_body:
                nodes.append(
                    launch(
                        self.name(what),
                        f"{self.state.path}: {what.replace('_', ' ')}",
                        domains[level],
                        kernel_body,
                        self.state.projection.span,
                    )
                )
        return nodes

    def reduce(self, node: e.SynapseReduction, meaning: SynapseMeaning, late: bool) -> list[PlanNode]:
        """``sum(w, per post)`` over all synapses, on the values of this moment."""
        assembly, state = self.assembly, self.state
        size = state.pre_size if node.per == "pre" else state.post.size
        result = assembly.add_array(f"{state.path}.{node.operation}_per_{node.per}", (size,), role="scratch")
        nodes: list[PlanNode] = []
        source: str | None = None
        if node.operation != "count":
            operand = node.operand
            stored = self.stored(operand)
            if stored is not None:
                source = stored
            else:
                source = assembly.add_array(
                    f"{state.path}.{node.operation}_of", (), role="scratch", connectivity=state.connectivity
                )
                inner = SynapseMeaning(assembly, state, self.networks, "synapse", late=late)
                nodes.append(
                    launch(
                        self.name("reduced"),
                        f"{state.path}: what is reduced",
                        k.Synapses(state.connectivity),
                        [k.Store(source, SYNAPSE, as_real(lower_expression(operand, inner)))],
                    )
                )
        nodes.append(SynapseReduce(node.operation, result, source, state.connectivity, node.per))  # type: ignore[arg-type]
        meaning.reductions[node] = result
        return nodes

    def stored(self, operand: e.Expr) -> str | None:
        """The per-synapse array that already holds what is to be reduced."""
        if not isinstance(operand, e.Variable) or operand.scope != "self":
            return None
        array = self.state.arrays.get(operand.name)
        if array is None:
            return None
        entry = self.assembly.arrays[array]
        return array if entry.connectivity == self.state.connectivity and not entry.shared else None

    def statement(self, statement: m.Statement, meaning: SynapseMeaning) -> list[k.Statement]:
        match statement:
            case m.Assign():
                return self.assign(statement, meaning)
            case m.Deliver(value=value, port=port):
                return self.deliver(value, port, meaning, source_of(statement.span))
            case m.If(branches=branches):
                return self.branches(branches, meaning)
            case m.Remove() | m.Create() | m.ForVacant():
                raise error(
                    "E791",
                    "synapses cannot be created or removed yet",
                    statement.span,
                    "parsed and checked only",
                    help="take it away to simulate with a fixed structure",
                )
            case _:
                # the checker has refused statements of neurons in a synapse (E316)
                raise AssertionError(f"{statement} in a synapse")

    def branches(
        self, branches: tuple[tuple[e.Expr | None, tuple[m.Statement, ...]], ...], meaning: SynapseMeaning
    ) -> list[k.Statement]:
        condition, body = branches[0]
        inner = [lowered for statement in body for lowered in self.statement(statement, meaning)]
        if condition is None:
            return inner
        otherwise = self.branches(branches[1:], meaning) if len(branches) > 1 else []
        return [k.If(as_bool(lower_expression(condition, meaning)), tuple(inner), tuple(otherwise))]

    def assign(self, statement: m.Assign, meaning: SynapseMeaning) -> list[k.Statement]:
        assembly, state = self.assembly, self.state
        value = as_real(lower_expression(statement.value, meaning))
        source = source_of(statement.span)
        if statement.scope in ("pre", "post"):
            if statement.operator == "-=":
                value = k.Unary("-", value, "real")
            side = state.pre if statement.scope == "pre" else state.post
            assert isinstance(side, PopulationState)
            neuron = meaning.pre_index if statement.scope == "pre" else meaning.post_index
            direct = meaning.late or statement.name not in side.jumps
            array = side.arrays[statement.name] if direct else side.jumps[statement.name]
            return [k.Accumulate(array, neuron, value, source)]
        name = statement.name
        if name in state.attached:
            jump = state.post.jumps[state.attached[name]]
            if statement.operator == "-=":
                value = k.Unary("-", value, "real")
            return [k.Accumulate(jump, POST, value, source)]
        array = state.arrays[name]
        entry = assembly.arrays[array]
        if entry.shared and entry.connectivity is not None:
            if statement.operator not in ("+=", "-="):
                raise error(
                    "E727",
                    f"a shared weight can only be changed by += and -=, not {statement.operator}",
                    statement.span,
                    "one weight serves many synapses",
                    help="write the change as an increment",
                )
            value = k.Unary("-", value, "real") if statement.operator == "-=" else value
            return self.unless_frozen(name, [k.Accumulate(array, SHARED, value, source)])
        where = state.where(name)
        index: k.Expr | None = SYNAPSE
        if entry.connectivity is None:
            index = None if entry.shape == () else (meaning.pre_index if where == "pre" else meaning.post_index)
        old = load(assembly, array, index)
        if statement.operator != "=":
            value = k.Binary(statement.operator[0], old, value)  # type: ignore[arg-type]
        return self.unless_frozen(name, [k.Store(array, index, value, source)])

    def unless_frozen(self, name: str, statements: list[k.Statement]) -> list[k.Statement]:
        flag = self.state.frozen.get(name)
        if flag is None:
            return statements
        return [k.If(negate(load(self.assembly, flag, None)), tuple(statements))]

    def clamp(self, statements: list[m.Statement], meaning: SynapseMeaning) -> list[k.Statement]:
        """Bounds of what these statements assigned."""
        state = self.state
        assigned = assigned_in(tuple(statements))
        result: list[k.Statement] = []
        for variable in state.synapse.states:
            if variable.name in assigned and variable.bounds is not None and variable.name in state.arrays:
                result.extend(self.clamped(variable, meaning))
        return result

    def clamped(self, variable: m.State, meaning: SynapseMeaning) -> list[k.Statement]:
        assembly, state = self.assembly, self.state
        assert variable.bounds is not None
        array = state.arrays[variable.name]
        entry = assembly.arrays[array]
        if entry.shared and entry.connectivity is not None:
            return []
        index: k.Expr | None = SYNAPSE
        if entry.connectivity is None:
            index = (
                None
                if entry.shape == ()
                else (meaning.pre_index if state.where(variable.name) == "pre" else meaning.post_index)
            )
        low = as_real(lower_expression(variable.bounds.low, meaning))
        high = as_real(lower_expression(variable.bounds.high, meaning))
        return [k.Store(array, index, k.Call("clip", (load(assembly, array, index), low, high), "real"))]

    def scaled(self, value: k.Expr, meaning: SynapseMeaning) -> k.Expr:
        """Times the connection's gain; a mean over a window divides by its size."""
        projection = self.state.projection
        if projection.pattern.kind == "avg_pool":
            height, width = projection.pattern.options["kernel"]
            value = k.Binary("*", real(1.0 / (height * width)), value)
        if projection.gain is None:
            return value
        number = constant_value(projection.gain)
        factor = (
            k.Const(number, "real", True) if number is not None else as_real(lower_expression(projection.gain, meaning))
        )
        return k.Binary("*", factor, value)

    def deliver(self, value: e.Expr, port: str | None, meaning: SynapseMeaning, source: str) -> list[k.Statement]:
        state = self.state
        amount = self.scaled(as_real(lower_expression(value, meaning)), meaning)
        array, _ = self.target_of(state, port or state.projection.post.port)
        return [self.put(array, meaning.post_index, amount, source)]

    def put(self, array: str, index: k.Expr, amount: k.Expr, source: str) -> k.Statement:
        if self.state.max_pool:
            return k.Store(array, index, amount, source)
        return k.Accumulate(array, index, amount, source)
