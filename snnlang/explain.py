"""What a model means and how it will run, in words: the texts of ``snn explain FILE`` and ``snn show``.

Everything printed is read from the same stages that run; nothing is described twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from snnlang.diagnostics import error

if TYPE_CHECKING:
    from snnlang.model.elaborate import Overrides
    from snnlang.model.model import Neuron, Program, Synapse


_PLACES = {
    "scalar": "one value",
    "pre": "once per pre neuron",
    "post": "once per post neuron",
    "synapse": "once per synapse",
    "summed": "summed per post neuron",
}


def show_stage(
    program: Program,
    stage: str,
    overrides: Overrides,
    *,
    model: str | None = None,
    experiment: str | None = None,
    latex: bool = False,
) -> str:
    """Text of a stage. ``model`` picks one neuron or synapse; stages ``plan``, ``numpy``, ``c`` and ``cuda`` are of an experiment."""
    match stage:
        case "tree":
            return repr(program.file)
        case "model":
            return "\n\n".join(_model_text(item) for item in _chosen(program, model))
        case "system" | "step":
            return _systems(program, stage, overrides, model, latex)
        case "plan" | "numpy" | "c" | "cuda":
            from snnlang.compile import compile_experiment, math_of

            if stage == "cuda" and overrides.target is None:
                overrides = replace(overrides, target="cuda")  # its precision where nothing is said
            chosen, plan = compile_experiment(program, experiment, overrides)
            if stage == "cuda":
                from snnlang.codegen.target_cuda import emit as emit_cuda

                return emit_cuda(plan).text
            if stage == "plan":
                from snnlang.codegen.plan_text import plan_text

                return plan_text(plan)
            if stage == "c":
                from snnlang.codegen.target_c import emit as emit_c

                return emit_c(plan, math=math_of(chosen, overrides)).text
            from snnlang.codegen.target_numpy import emit

            return emit(plan).text
        case _:
            stages = "tree, model, system, step, plan, numpy, c, cuda, forward or backward"
            raise error("E712", f"there is no stage `{stage}`", help=f"use {stages}")


def _own_models(program: Program) -> list[Neuron | Synapse]:
    from snnlang.syntax import tree

    names = [item.name for item in program.file.items if isinstance(item, tree.Model)]
    found: dict[str, Neuron | Synapse] = {**program.scope.neurons, **program.scope.synapses}
    return [found[name] for name in names if name in found]


def _chosen(program: Program, name: str | None) -> list[Neuron | Synapse]:
    models: dict[str, Neuron | Synapse] = {**program.scope.neurons, **program.scope.synapses}
    if name is None:
        return _own_models(program) or list(models.values())
    if name not in models:
        from snnlang.model.suggest import help_for

        raise error("E713", f"this file knows no neuron or synapse `{name}`", help=help_for(name, models))
    return [models[name]]


def _model_text(model: Neuron | Synapse) -> str:
    from snnlang.dynamics.text import to_text
    from snnlang.model.model import Neuron

    kind = "neuron" if isinstance(model, Neuron) else "synapse"
    lines = [f"{kind} {model.name}" + (f" ({' < '.join(model.bases)})" if model.bases else "")]
    if model.doc:
        lines.append(f"    {model.doc}")
    for param in model.params:
        value = "required" if param.default is None else to_text(param.default)
        lines.append(f"    param {param.name} [{param.unit}] = {value}" + (f"  {param.doc}" if param.doc else ""))
    for item in model.inputs:
        lines.append(
            f"    {item.adjective + ' ' if item.adjective else ''}input {item.name} [{item.unit}] = {to_text(item.default)}"
        )
    for state in model.states:
        role = "weight" if state.weight else ("port state" if state.port else "state")
        lines.append(f"    {role} {state.name} [{state.unit}] = {to_text(state.initial)}  ({state.kind})")
    for definition in model.definitions:
        lines.append(f"    {definition.name} [{definition.unit}] = {to_text(definition.value)}")
    for equation in model.differentials:
        lines.append(f"    {to_text(equation.left)} = {to_text(equation.right)}")
    for difference in model.differences:
        lines.append(f"    {difference.variable}[n] = {to_text(difference.value)}")
    if isinstance(model, Neuron):
        for event in model.events:
            lines.append(
                f"    event {event.name} {event.kind}" + (f" {to_text(event.condition)}" if event.condition else "")
            )
        if model.output is not None:
            lines.append(f"    output {to_text(model.output)}")
    else:
        for trace in model.traces:
            lines.append(f"    trace {trace.name} on {trace.trigger.kind} decay {to_text(trace.decay)}")
        for deliver in model.delivers:
            lines.append(f"    deliver {to_text(deliver.value)}")
    for handler in model.handlers:
        lines.append(f"    on {handler.trigger.kind} {handler.trigger.event}: {len(handler.body)} statements")
    return "\n".join(lines)


def _systems(program: Program, stage: str, overrides: Overrides, model: str | None, latex: bool) -> str:
    from snnlang.dynamics.equations import derive
    from snnlang.dynamics.integrate import discretize
    from snnlang.dynamics.latex import equations_latex, step_latex
    from snnlang.dynamics.text import step_text, system_text
    from snnlang.model.model import Neuron

    neurons = [item for item in _chosen(program, model) if isinstance(item, Neuron)]
    if not neurons:
        raise error(
            "E714", "there is no neuron to derive equations of", help="name one with --model, or use --stage model"
        )
    method = str(overrides.method or "auto")
    parts = []
    for neuron in neurons:
        system = derive(neuron, (), neuron.name)
        if stage == "system":
            text = equations_latex(system) if latex else system_text(system)
        else:
            step = discretize(system, method)
            text = step_latex(step) if latex else step_text(step)
        parts.append(text if latex else f"{neuron.name}\n{text}")
    return "\n\n".join(parts)


def explain_experiment(program: Program, overrides: Overrides, *, experiment: str | None = None) -> str:
    """Order of a step, method of every population, where synaptic variables live and why, delays, sizes and memory."""
    if not program.experiments:
        return _explain_models(program, overrides)
    from snnlang.codegen.c_tiling import described
    from snnlang.codegen.lower import lower
    from snnlang.compile import derive_network, precision_of, target_of
    from snnlang.dynamics.summary import summary
    from snnlang.model.elaborate import elaborate
    from snnlang.model.memory import estimate_memory

    chosen = elaborate(program, experiment, overrides)
    derived = derive_network(chosen)
    plan = lower(chosen, derived, precision_of(chosen, overrides))
    target = target_of(chosen, overrides)
    lines = [
        f"{chosen.name}: network {chosen.network.name}, dt = {chosen.dt:g} ms, duration = {chosen.duration:g} ms, "
        f"seed = {chosen.seed}, target {target}",
        "",
        "One step n leads from t_n to t_n+1; what happens in it happens at t_n+1:",
        "  1. arrivals: spikes whose time plus delay is t_n+1 are handled, inputs are summed",
        "  2. advance: continuous states are integrated with inputs held, then jumps are added; difference equations",
        "  3. events are tested, handlers run; then post handlers, trace jumps, recording",
    ]
    lines += [f"  {line}" for line in plan.explanation]
    lines += ["", "Populations"]
    for population in chosen.network.populations:
        system, step = derived.populations[population.path]
        shape = " x ".join(map(str, population.shape))
        lines.append(f"  {population.path}: {population.model.name}, {shape} neurons")
        if step.updates:
            order = "" if step.order is None else f" (order {step.order:g})"
            lines.append(f"    method {step.method}{order}: {step.explanation}")
        lines += [f"    {line}" for line in summary(system, step)]
    if chosen.network.projections:
        lines += ["", "Connections"]
    for projection in chosen.network.projections:
        result = derived.projections[projection.path]
        name = result.synapse.name if projection.synapse is not None else "plain"
        lines.append(f"  {projection.path}: {projection.pattern.kind}, {name} synapse, {_delay_text(projection)}")
        lines += [f"    {placed.name}, {_PLACES[placed.where]}: {placed.reason}" for placed in result.placement.placed]
    blocks = described(plan) if target in ("auto", "c") else ""
    needed = estimate_memory(chosen, plan.precision, target)
    where = " of this machine, besides that of the device" if target == "cuda" else ""
    lines += ["", f"Memory: about {_bytes(needed)}{where}" if needed else f"Memory: next to nothing{where}"]
    lines += [blocks] if blocks else []
    return "\n".join(lines)


def _explain_models(program: Program, overrides: Overrides) -> str:
    from snnlang.dynamics.equations import derive
    from snnlang.dynamics.integrate import discretize
    from snnlang.dynamics.text import step_text, system_text
    from snnlang.model.model import Neuron

    parts = []
    for item in _own_models(program):
        if not isinstance(item, Neuron):
            parts.append(_model_text(item))
            continue
        system = derive(item, (), item.name)
        step = discretize(system, str(overrides.method or "auto"))
        parts.append(f"{item.name}\n{system_text(system)}\n\nOne step\n{step_text(step)}")
    return "\n\n".join(parts) if parts else "this file declares no model and no experiment"


def _delay_text(projection: Any) -> str:
    from snnlang.codegen.lower_expression import constant_value
    from snnlang.model.network import ArrayValue

    if projection.delay is None:
        return "no delay"
    if isinstance(projection.delay, ArrayValue):
        return "a delay per synapse"
    value = constant_value(projection.delay)
    return "a delay per synapse" if value is None else f"delay {value:g} ms"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
