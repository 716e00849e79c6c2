"""Lower stimuli: drives of inputs and spikes, clamps, and assignments at a time."""

from __future__ import annotations

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import (
    DT,
    STEP,
    Assembly,
    I,
    as_real,
    launch,
    load,
    real,
    whole,
)
from snnlang.codegen.lower_expression import lower_expression
from snnlang.codegen.lower_population_handlers import source_of
from snnlang.codegen.lower_population_names import PopulationMeaning, PopulationState
from snnlang.codegen.lower_projection_names import SYNAPSE, ProjectionState, SynapseMeaning
from snnlang.codegen.plan import AtStep, ClearList, Fill, PlanNode, Schedule
from snnlang.diagnostics import error
from snnlang.model import expression as e
from snnlang.model.network import ArrayValue, DriveItem, Experiment


def clamp_expressions(experiment: Experiment) -> dict[str, dict[str, e.Expr]]:
    """Per population: event -> what replaces its test (it occurs where the value is above 0)."""
    result: dict[str, dict[str, e.Expr]] = {}
    for clamp in experiment.clamps:
        result.setdefault(clamp.path, {})[clamp.event] = clamp.value
    return result


def _depends_on_time(value: e.Expr) -> bool:
    return any(
        isinstance(node, (e.Random, e.Since, e.Occurs)) or (isinstance(node, e.Variable) and node.name == "t")
        for node in e.walk(value)
    )


def _target_index(
    assembly: Assembly, indices: np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None, size: int, what: str
) -> tuple[k.Expr, int]:
    """The index of the element driven, and how many there are."""
    if indices is None:
        return I, size
    data = assembly.add_array(
        f"{what}_indices", (len(indices),), type="int", role="data", data=np.asarray(indices, dtype=np.int64)
    )
    return load(assembly, data, I), len(indices)


def _sampled(assembly: Assembly, drive: DriveItem, count: int, what: str) -> tuple[k.Expr, bool]:
    """Value of a data array: constant per element, or a row per sample interval, the last one kept."""
    assert isinstance(drive.value, ArrayValue)
    numbers = np.asarray(drive.value.array, dtype=np.float64)
    if drive.sample_interval is None:
        flat = numbers.reshape(-1)
        data = assembly.add_array(
            f"{what}_data",
            (flat.size,) if flat.size > 1 else (),
            role="data",
            data=flat if flat.size > 1 else flat.reshape(()),
        )
        return load(assembly, data, I), True
    rows = numbers.shape[0]
    columns = int(np.prod(numbers.shape[1:], dtype=np.int64)) if numbers.ndim > 1 else 1
    assert columns in (1, count), what  # elaboration has compared the shapes (E616)
    data = assembly.add_array(f"{what}_data", (rows * columns,), role="data", data=numbers.reshape(-1))
    elapsed = k.Binary("*", k.Call("real", (STEP,), "real"), DT)
    row: k.Expr = k.Call(
        "int",
        (
            k.Call(
                "floor",
                (k.Binary("/", k.Binary("+", elapsed, k.Binary("*", DT, real(1e-6))), real(drive.sample_interval)),),
                "real",
            ),
        ),
        "int",
    )
    safe = k.Call("int", (k.Call("min", (k.Call("real", (row,), "real"), real(float(rows - 1))), "real"),), "int")
    index: k.Expr = safe if columns == 1 else k.Binary("+", k.Binary("*", safe, whole(columns), "int"), I, "int")
    return load(assembly, data, index), False


def drive_nodes(
    assembly: Assembly, experiment: Experiment, state: PopulationState, networks: dict[str, str]
) -> list[tuple[str, list[PlanNode], bool]]:
    """For each drive of an input of this population: its name, its nodes, and whether only parameters and network inputs change it."""
    result: list[tuple[str, list[PlanNode], bool]] = []
    for number, drive in enumerate(experiment.drives):
        if drive.kind != "input" or drive.path != state.path:
            continue
        what = f"{state.path}_{drive.name}_drive_{number + 1}" if number else f"{state.path}_{drive.name}_drive"
        index, count = _target_index(assembly, drive.indices, state.size, what)
        if isinstance(drive.value, ArrayValue):
            value, constant = _sampled(assembly, drive, count, what)
        else:
            meaning = PopulationMeaning(assembly, state, networks, index=index, draws=f"drive{number}.")
            value = k.given(as_real(lower_expression(drive.value, meaning)))
            constant = not _depends_on_time(drive.value) and not _reads_states(drive.value, state)
        node = launch(
            what,
            f"drive {state.path}.{drive.name}",
            k.Each(count),
            [k.Accumulate(state.arrays[drive.name], index, value, source_of(drive.span))],
            drive.span,
        )
        result.append((drive.name, [node], constant))
    return result


def _reads_states(value: e.Expr, state: PopulationState) -> bool:
    states = {variable.name for variable in state.system.states} | {d.name for d in state.system.definitions}
    return any(isinstance(node, e.Variable) and node.scope == "self" and node.name in states for node in e.walk(value))


def given_events(
    assembly: Assembly, experiment: Experiment, state: PopulationState, given: dict[tuple[str, str], str]
) -> list[PlanNode]:
    """Events from data: flags of this step, set from a schedule."""
    nodes: list[PlanNode] = []
    for drive in experiment.drives:
        if drive.kind != "events" or drive.path != state.path:
            continue
        event = drive.name or "spike"
        flag = given[state.path, event]
        assert isinstance(drive.value, ArrayValue)
        pairs = np.asarray(drive.value.array, dtype=np.float64).reshape(-1, 2)
        steps = np.rint(pairs[:, 0] / assembly.dt).astype(np.int64) - assembly.time_offset
        indices = pairs[:, 1].astype(np.int64)
        if drive.indices is not None:
            indices = np.asarray(drive.indices)[indices]
        order = np.lexsort((indices, steps))
        base = f"{state.path}_{event}_data"
        steps_array = assembly.add_array(f"{base}_steps", (len(steps),), type="int", role="data", data=steps[order])
        index_array = assembly.add_array(f"{base}_indices", (len(steps),), type="int", role="data", data=indices[order])
        list_name = assembly.add_list(base, state.size, "", "")
        nodes += [
            Fill(flag, 0.0),
            ClearList(list_name),
            Schedule(list_name, steps_array, index_array),
            launch(
                f"{base}_now",
                f"events of {state.path} from data",
                k.Listed(list_name),
                [k.Store(flag, I, k.Const(True, "bool"))],
            ),
        ]
    return nodes


def synapse_input_nodes(
    assembly: Assembly,
    experiment: Experiment,
    populations: dict[str, PopulationState],
    projections: dict[str, ProjectionState],
    networks: dict[str, str],
) -> list[PlanNode]:
    """Drives of network inputs and of synapses' broadcast and per-post inputs, at the start of a step."""
    nodes: list[PlanNode] = []
    any_population = next(iter(populations.values()))
    for number, drive in enumerate(experiment.drives):
        what = f"drive_{number + 1}"
        if drive.kind == "network_input":
            array = networks[drive.path]
            size = int(np.prod(assembly.arrays[array].shape, dtype=np.int64))
        elif drive.kind == "synapse_input":
            state = projections[drive.path]
            found = assembly.find(drive.path, drive.name)
            if found is None:
                raise error(
                    "E732",
                    f"`{drive.path}.{drive.name}` is bound at its connection already",
                    drive.span,
                    "cannot be driven too",
                    help="remove the binding at `connect`, or this drive",
                )
            array = found.name
            size = 1 if found.shape == () else state.post.size
        else:
            continue
        index, count = _target_index(assembly, drive.indices, size, what)
        if isinstance(drive.value, ArrayValue):
            value, _ = _sampled(assembly, drive, count, what)
        else:
            meaning = PopulationMeaning(assembly, any_population, networks, index=index, draws=f"drive{number}.")
            value = k.given(as_real(lower_expression(drive.value, meaning)))
        scalar = assembly.arrays[array].shape == ()
        nodes.append(
            launch(
                what,
                f"drive {drive.path}",
                k.Single() if scalar else k.Each(count),
                [k.Store(array, None if scalar else index, value, source_of(drive.span))],
                drive.span,
            )
        )
    return nodes


def at_nodes(
    assembly: Assembly,
    experiment: Experiment,
    populations: dict[str, PopulationState],
    projections: dict[str, ProjectionState],
    networks: dict[str, str],
) -> list[PlanNode]:
    """``at T: x += …`` happens at the start of the step that leads on from T."""
    nodes: list[PlanNode] = []
    for number, item in enumerate(experiment.ats):
        what = f"at_{number + 1}"
        step = round(item.time / assembly.dt)
        if item.path in populations:
            state = populations[item.path]
            index, count = _target_index(assembly, item.indices, state.size, what)
            meaning = PopulationMeaning(assembly, state, networks, index=index, draws=f"at{number}.")
            array = state.arrays[item.name]
            domain: k.Domain = k.Each(count)
            value = k.given(as_real(lower_expression(item.value, meaning)))
            place: k.Expr | None = index
        else:
            projection = projections[item.path]
            array = projection.arrays[item.name]
            entry = assembly.arrays[array]
            synapse_meaning = SynapseMeaning(assembly, projection, networks, "synapse")
            synapse_meaning.draws = f"at{number}."
            value = k.given(as_real(lower_expression(item.value, synapse_meaning)))
            if entry.connectivity is None:
                domain, place = k.Single(), None
            else:
                domain, place = k.Synapses(projection.connectivity), SYNAPSE
        if item.operator != "=":
            value = k.Binary(item.operator[0], load(assembly, array, place), value)  # type: ignore[arg-type]
        nodes.append(
            AtStep(
                step,
                (
                    launch(
                        what,
                        f"at {item.time:g} ms",
                        domain,
                        [k.Store(array, place, value, source_of(item.span))],
                        item.span,
                    ),
                ),
            )
        )
    return nodes
