"""Lower what a population does outside its turn: initial values at the start of a trial, ``on trial_end``, ``on every T``.

Transient states start anew at every trial, persistent ones once.
"""

from __future__ import annotations

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import Assembly, I, as_real, launch, load, whole
from snnlang.codegen.lower_expression import lower_expression
from snnlang.codegen.lower_population import array_of, in_dependency_order
from snnlang.codegen.lower_population_handlers import HandlerLowering, statement_expressions
from snnlang.codegen.lower_population_names import PopulationMeaning, PopulationState
from snnlang.codegen.lower_population_turn import PopulationStep
from snnlang.codegen.plan import Every, PlanNode
from snnlang.diagnostics import SnnError, error
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.evaluate import evaluate
from snnlang.model.network import ArrayValue


def lower_trial_start(assembly: Assembly, state: PopulationState, networks: dict[str, str]) -> None:
    """Kernels that put states to their initial values: transient ones at every trial, persistent ones once."""
    path, size = state.path, state.size
    given = state.population.arguments
    values: dict[str, e.Expr] = {}
    transient: list[k.Statement] = []
    lasting: list[k.Statement] = []
    by_name = {variable.name: variable for variable in state.system.states}
    for variable in state.system.states:
        value = given.get(variable.name, variable.initial)
        if isinstance(value, ArrayValue):
            numbers = array_of(value, size, f"`{variable.name}` of `{path}`")
            data = assembly.add_array(
                f"{path}.{variable.name}_initial",
                (size,) if numbers.size > 1 else (),
                role="data",
                data=numbers if numbers.size > 1 else numbers.reshape(()),
            )
            begin: k.Expr = load(assembly, data, I)
            if assembly.learning and variable.trainable:
                begin = _trained_start(assembly, state, variable.name, begin)
            statement = k.Store(state.arrays[variable.name], I, begin)
            (lasting if variable.persistent else transient).append(statement)
        else:
            values[variable.name] = value
    definitions = {d.name: d.value for d in state.system.definitions}
    order = in_dependency_order({**definitions, **values})
    meaning = PopulationMeaning(assembly, state, networks, counter=whole(0))
    for name in order:
        if name not in values:
            continue
        meaning.draws = f"{name}."
        kernel_value = as_real(lower_expression(values[name], meaning))
        if assembly.learning and by_name[name].trainable:
            kernel_value = _trained_start(assembly, state, name, kernel_value)
        target = lasting if by_name[name].persistent else transient
        target.append(k.Store(state.arrays[name], I, kernel_value))
    after = PopulationMeaning(assembly, state, networks)
    after.events = {name: k.Const(False, "bool") for name in state.lists}
    for crossing, array in state.crossings.items():
        difference = k.Binary(
            "-", as_real(lower_expression(crossing.left, after)), as_real(lower_expression(crossing.right, after))
        )
        transient.append(k.Store(array, I, difference))
    for name, array in state.history.items():
        if name in state.lists:
            continue
        initial = after.current(name)
        depth = assembly.arrays[array].depth
        for lag in range(depth if depth > 1 else 1):
            transient.append(k.Store(array, I, as_real(initial), lag=whole(lag) if depth > 1 else None))
    for rings in (state.sent, state.seen):
        for name, array in rings.items():
            if name in state.lists:
                continue
            initial = after.current(name)
            depth = assembly.arrays[array].depth
            for lag in range(depth if depth > 1 else 1):
                transient.append(k.Store(array, I, as_real(initial), lag=whole(lag) if depth > 1 else None))
    if state.output:
        after.state.arrays.pop("output", None)
        transient.append(k.Store(state.output, I, after.output()))
        state.arrays["output"] = state.output
    for name in sorted(state.visible):
        if name in state.arrays and any(d.name == name for d in state.system.definitions):
            array = state.arrays.pop(name)
            transient.append(k.Store(array, I, as_real(after.current(name))))
            state.arrays[name] = array
    if lasting:
        assembly.setup.append(launch(f"{path}_persistent", f"persistent states of {path}", k.Each(size), lasting))
    if transient:
        assembly.trial_start.append(launch(f"{path}_initial", f"initial states of {path}", k.Each(size), transient))
    for handler in state.system.handlers:
        if handler.trigger.kind == "trial_start":
            body = HandlerLowering(assembly, state, PopulationMeaning(assembly, state, networks)).block(handler.body)
            assembly.trial_start.append(
                launch(f"{path}_trial_start", f"on trial_start of {path}", k.Each(size), body, handler.span)
            )


def _trained_start(assembly: Assembly, state: PopulationState, name: str, value: k.Expr) -> k.Expr:
    """The initial value of a ``trainable`` state: a number of its own for each neuron, which begins as it is written."""
    start = assembly.add_array(
        f"{state.path}.{name}_start", (state.size,), role="param", owner=state.path, variable=name
    )
    node = launch(f"{start}_value", f"start of {name} of {state.path}", k.Each(state.size), [k.Store(start, I, value)])
    assembly.coefficients.append(node)
    return load(assembly, start, I)


def lower_scheduled_handlers(assembly: Assembly, state: PopulationState, networks: dict[str, str]) -> list[PlanNode]:
    """``on every T`` of a neuron; ``on trial_end`` goes to the plan's end of trial."""
    nodes: list[PlanNode] = []
    path, size = state.path, state.size
    for handler in state.system.handlers:
        if handler.trigger.kind not in ("every", "trial_end"):
            continue
        step = PopulationStep(assembly, state, networks)
        step.need_reductions(*statement_expressions(handler.body))
        step.body.extend(HandlerLowering(assembly, state, step.meaning).block(handler.body))
        for variable in state.system.states:
            if variable.bounds is not None:
                array = state.arrays[variable.name]
                low = as_real(lower_expression(variable.bounds.low, step.meaning))
                high = as_real(lower_expression(variable.bounds.high, step.meaning))
                step.body.append(k.Store(array, I, k.Call("clip", (load(assembly, array, I), low, high), "real")))
        step.nodes.append(
            launch(
                f"{path}_on_{handler.trigger.kind}",
                f"on {handler.trigger.kind} of {path}",
                k.Each(size),
                step.body,
                handler.span,
            )
        )
        if handler.trigger.kind == "trial_end":
            assembly.trial_end.extend(step.nodes)
        else:
            nodes.append(Every(period_steps(handler.trigger, assembly, state.arrays), tuple(step.nodes)))
    return nodes


def period_steps(trigger: m.Trigger, assembly: Assembly, arrays: dict[str, str]) -> int:
    """The period of ``on every T`` in whole steps, at least one."""
    assert trigger.period is not None
    values: dict[str, float] = {}
    for name, array in arrays.items():
        data = assembly.arrays[array].data
        if data is not None and data.shape == ():
            values[name] = float(data)
    value = evaluate(trigger.period, {**values, "dt": assembly.dt})
    if value is None:
        raise SnnError(
            *error(
                "E725",
                "the period of `on every` must be the same for all and known before the run",
                getattr(trigger.period, "span", None),
                "not a constant",
                help="give it as a number with a unit, or as a parameter with one value",
            ).diagnostics
        )
    return max(1, round(float(value) / assembly.dt))
