"""Events of constant rate: the gap to the next event is drawn once, instead of a number in every step.

Exact for a rate that only parameters determine; any other rate is tested step by step.
"""

from __future__ import annotations

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import DT, FOR_EVER, STEP, Assembly, I, as_real, launch, load, real
from snnlang.codegen.lower_expression import lower_expression
from snnlang.codegen.lower_population_names import PopulationMeaning, PopulationState
from snnlang.model import expression as e


def gap_steps(assembly: Assembly, state: PopulationState, event: str, counter: k.Expr, draw: str) -> k.Expr:
    """Whole steps without an event before the next one: a geometric gap, floor(-log(1 - u)/(rate*dt))."""
    if draw not in state.streams:
        state.streams[draw] = assembly.add_stream(state.path, draw)
    rate = load(assembly, state.arrays[f"hazard_{event}"], I)
    uniform = k.Draw("uniform", state.streams[draw], I, counter)
    gap = k.Binary("/", k.Unary("-", k.Call("log1p", (k.Unary("-", uniform, "real"),), "real"), "real"), rate)
    bounded = k.Choose(
        k.Compare(">", rate, real(0.0)),
        k.Call("min", (gap, real(float(FOR_EVER // 2))), "real"),
        real(float(FOR_EVER // 2)),
    )
    return k.Call("int", (bounded,), "int")


def prepare_gaps(assembly: Assembly, state: PopulationState, networks: dict[str, str]) -> None:
    """Events of constant rate draw the gap to the next event instead of a number per step."""
    params = set(state.system.params) | {param.name for param in state.population.model.params}
    for event in state.system.events:
        if event.kind != "rate" or event.condition is None or event.name in state.clamp:
            continue
        definitions = {d.name: d.value for d in state.system.definitions}
        if not _only_params(event.condition, params, definitions):
            continue
        if event.name in state.holds:
            continue
        path = state.path
        meaning = PopulationMeaning(assembly, state, networks)
        hazard = k.Binary("*", as_real(lower_expression(event.condition, meaning)), DT)
        varies = any(isinstance(node, k.Load) and assembly.arrays[node.array].shape != () for node in k.walk(hazard))
        array = assembly.add_array(f"{path}.hazard_{event.name}", (state.size,) if varies else (), role="coefficient")
        state.arrays[f"hazard_{event.name}"] = array
        assembly.coefficients.append(
            launch(
                f"{array}_value",
                f"rate of {event.name} of {path} per step",
                k.Each(state.size) if varies else k.Single(),
                [k.Store(array, I if varies else None, hazard)],
            )
        )
        clock = assembly.add_array(f"{path}.next_{event.name}", (state.size,), type="int", role="state")
        state.arrays[f"next_{event.name}"] = clock
        start = k.Binary("+", STEP, gap_steps(assembly, state, event.name, STEP, f"{event.name}.start"), "int")
        assembly.coefficients.append(
            launch(
                f"{path}_first_{event.name}",
                f"first {event.name} of {path}",
                k.Each(state.size),
                [k.Store(clock, I, start)],
            )
        )


def _only_params(value: e.Expr, params: set[str], definitions: dict[str, e.Expr]) -> bool:
    for node in e.walk(value):
        match node:
            case e.Variable(name=name, scope="self"):
                if name in definitions:
                    if not _only_params(definitions[name], params, definitions):
                        return False
                elif name not in params and name != "index":
                    return False
            case (
                e.Constant()
                | e.Unary()
                | e.Binary()
                | e.Call()
                | e.Select()
                | e.Comparison()
                | e.Logical()
                | e.Position()
            ):
                pass
            case _:
                return False
    return True
