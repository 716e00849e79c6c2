"""Lower the statements of a neuron's handlers: assignments, holds, emitted events, branches.

Statements keep their written order and see what stands in the arrays, not the values of the step in progress.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import (
    DT,
    FOR_EVER,
    STEP,
    TIME,
    Assembly,
    I,
    as_bool,
    as_real,
    launch,
    load,
    negate,
    real,
    whole,
)
from snnlang.codegen.lower_expression import constant_value, lower_expression
from snnlang.codegen.lower_population_names import PopulationMeaning, PopulationState
from snnlang.model import expression as e
from snnlang.model import model as m


def statement_expressions(body: tuple[m.Statement, ...]) -> Iterable[e.Expr]:
    """Every expression of a handler's body."""
    for statement in body:
        match statement:
            case m.Assign(value=value) | m.Deliver(value=value):
                yield value
            case m.Hold(duration=duration):
                yield duration
            case m.If(branches=branches):
                for condition, inner in branches:
                    if condition is not None:
                        yield condition
                    yield from statement_expressions(inner)
            case m.ForVacant(body=inner):
                yield from statement_expressions(inner)
            case _:
                pass


def every_statement(body: tuple[m.Statement, ...]) -> Iterable[m.Statement]:
    for statement in body:
        yield statement
        if isinstance(statement, m.If):
            for _, inner in statement.branches:
                yield from every_statement(inner)


def source_of(span: object) -> str:
    """The user's line, for a comment."""
    text = getattr(span, "text", "") or ""
    return " ".join(text.split())


class HandlerLowering:
    """Statements of a neuron's handlers to kernel statements."""

    def __init__(self, assembly: Assembly, state: PopulationState, meaning: PopulationMeaning) -> None:
        self.assembly = assembly
        self.state = state
        self.meaning = meaning

    def block(self, body: tuple[m.Statement, ...]) -> list[k.Statement]:
        statements: list[k.Statement] = []
        for statement in body:
            statements.extend(self.statement(statement))
        return statements

    def statement(self, statement: m.Statement) -> list[k.Statement]:
        meaning, state = self.meaning, self.state
        saved = meaning.use_fresh
        meaning.use_fresh = False
        try:
            match statement:
                case m.Assign():
                    return self.assign(statement)
                case m.Hold(variable=variable, duration=duration):
                    until = k.Binary("+", STEP, steps_of(duration, meaning), "int")
                    return [k.Store(state.holds[variable], I, until, source_of(statement.span))]
                case m.Emit(event=event):
                    return [k.Store(state.flags[event], I, k.Const(True, "bool"))]
                case m.If(branches=branches):
                    return self.branches(branches)
                case _:
                    # the checker has refused statements of synapses in a neuron (E316)
                    raise AssertionError(f"{statement} in a neuron")
        finally:
            meaning.use_fresh = saved

    def branches(self, branches: tuple[tuple[e.Expr | None, tuple[m.Statement, ...]], ...]) -> list[k.Statement]:
        condition, body = branches[0]
        if condition is None:
            return self.block(body)
        otherwise = self.branches(branches[1:]) if len(branches) > 1 else []
        test = as_bool(lower_expression(condition, self.meaning))
        return [k.If(test, tuple(self.block(body)), tuple(otherwise))]

    def assign(self, statement: m.Assign) -> list[k.Statement]:
        state = self.state
        array = state.arrays[statement.name]
        value = as_real(lower_expression(statement.value, self.meaning))
        old = load(self.assembly, array, I)
        if statement.operator != "=":
            value = k.Binary(statement.operator[0], old, value)  # type: ignore[arg-type]
        store = k.Store(array, I, value, source_of(statement.span))
        if statement.name in state.frozen:
            return [k.If(negate(load(self.assembly, state.frozen[statement.name], None)), (store,))]
        return [store]


def steps_of(duration: e.Expr, meaning: PopulationMeaning) -> k.Expr:
    """ceil(duration/dt) whole steps as an int; rounding noise below 1e-9 of a step does not make one more."""
    number = constant_value(duration)
    if number is not None:
        steps = FOR_EVER if number == float("inf") else max(0, int(np.ceil(number / meaning.assembly.dt - 1e-9)))
        return whole(min(steps, FOR_EVER))
    value = as_real(lower_expression(duration, meaning))
    steps_value = k.Call("ceil", (k.Binary("-", k.Binary("/", value, DT), real(1e-6)),), "real")
    steps_int = k.Call("int", (k.Call("min", (steps_value, real(float(FOR_EVER))), "real"),), "int")
    loads = [node for node in k.walk(steps_int) if isinstance(node, k.Load)]
    moving = any(isinstance(node, k.Draw) or node in (STEP, TIME) for node in k.walk(steps_int))
    assembly, state = meaning.assembly, meaning.state
    if moving or any(assembly.arrays[node.array].role not in ("param", "coefficient") for node in loads):
        return steps_int
    name = f"{loads[0].array}_steps" if len(loads) == 1 else f"{state.path}.hold_steps"
    key = f"steps of {steps_int!r}"
    if key not in state.arrays:
        varies = any(assembly.arrays[node.array].shape != () for node in loads)
        array = assembly.add_array(name, (state.size,) if varies else (), type="int", role="coefficient")
        state.arrays[key] = array
        assembly.coefficients.append(
            launch(
                f"{array}_value",
                f"whole steps of a hold of {state.path}",
                k.Each(state.size) if varies else k.Single(),
                [k.Store(array, I if varies else None, steps_int)],
            )
        )
    return load(assembly, state.arrays[key], I)


def emission_order(handlers: list[m.Handler]) -> list[m.Handler]:
    """Written order, except that the handlers of an emitted event follow everything that may emit it."""
    result = list(handlers)
    for position, handler in enumerate(handlers):
        emitted = {s.event for s in every_statement(handler.body) if isinstance(s, m.Emit)}
        for earlier in handlers[:position]:
            if earlier.trigger.event in emitted and earlier is not handler:
                result.remove(earlier)
                result.append(earlier)
    return result
