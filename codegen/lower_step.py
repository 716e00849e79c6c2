"""Lower the step of a whole network: the turns of its populations, each behind what feeds it, then the last phase.

What only inputs and parameters change is computed before the loop. Loops of projections without delay are repeated until they settle.
"""

from __future__ import annotations

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import I, launch, load, real
from snnlang.codegen.lower_network import Lowering
from snnlang.codegen.lower_population_names import PopulationState
from snnlang.codegen.lower_population_turn import PopulationStep
from snnlang.codegen.lower_projection import assigned_names
from snnlang.codegen.lower_projection_names import ProjectionState
from snnlang.codegen.lower_stimulus import at_nodes, drive_nodes, given_events, synapse_input_nodes
from snnlang.codegen.lower_trial import lower_scheduled_handlers
from snnlang.codegen.plan import ClearList, Fill, Launch, PlanNode, Settle
from snnlang.model import expression as e
from snnlang.model.network import NetworkInput
from snnlang.model.weights import bias_size


def lower_step(low: Lowering) -> list[PlanNode]:
    assembly = low.assembly
    nodes: list[PlanNode] = []
    nodes += at_nodes(assembly, low.experiment, low.populations, low.projections, low.networks)
    nodes += synapse_input_nodes(assembly, low.experiment, low.populations, low.projections, low.networks)
    done: set[str] = set()
    for path in low.order:
        if path in done:
            continue
        if path in low.groups:
            members = [name for name in low.order if low.groups.get(name) == low.groups[path]]
            nodes += _settle_turn(low, members)
            done.update(members)
        else:
            nodes += _turn(low, low.populations[path])
            done.add(path)
    for state in low.projections.values():
        for event, list_name in state.bound_lists.items():
            if (state.path, event) in low.given:
                array = low.given[state.path, event]
                nodes.append(ClearList(list_name))
                nodes.append(
                    launch(
                        f"{state.path}_{event}_given",
                        f"{event} of {state.path}",
                        k.Each(state.post.size),
                        [k.If(k.Compare(">", load(assembly, array, I), real(0.0)), (k.Append(list_name),), rare=True)],
                    )
                )
    for state in low.projections.values():
        nodes += low.kernels[state.path].finish()
    for population in low.populations.values():
        nodes += lower_scheduled_handlers(assembly, population, low.networks)
    return nodes


def _feeds(low: Lowering, state: PopulationState, skip: set[str]) -> tuple[list[PlanNode], list[PlanNode]]:
    """Nodes that fill a population's inputs and jumps: those of every step, and those that only inputs and parameters change."""
    assembly = low.assembly
    moving: list[PlanNode] = []
    still: list[PlanNode] = []
    moving_inputs: set[str] = set()
    still_nodes: list[tuple[str, list[PlanNode]]] = []
    for projection in low.projections.values():
        if projection.post is not state or projection.path in skip:
            continue
        kernels = low.kernels[projection.path]
        port = projection.projection.post.port
        if _is_constant(low, projection):
            still_nodes.append((port, kernels.continuous()))
            still_nodes.append((port, kernels.advance()))
        else:
            turn = kernels.turn()
            moving += turn
            ports = {node_port for node_port in low.fed[state.path] if _writes(turn, state.arrays[node_port])}
            moving_inputs |= ports
        if projection.projection.bias:
            given = projection.projection.biases
            count = bias_size(projection.projection, state.size)
            array = assembly.add_array(
                f"{projection.path}.bias",
                (count,),
                role="weight",
                data=None if given is None else given.array.reshape(-1),
                owner=projection.path,
                variable="bias",
            )
            still_nodes.append(
                (
                    port,
                    [
                        launch(
                            f"{array}_added",
                            f"bias of {projection.path}",
                            k.Each(state.size),
                            [k.Accumulate(state.arrays[port], I, load(assembly, array, _channel(state.size // count)))],
                        )
                    ],
                )
            )
    for name, drive, constant in drive_nodes(assembly, low.experiment, state, low.networks):
        if constant:
            still_nodes.append((name, drive))
        else:
            moving += drive
            moving_inputs.add(name)
    if any(projection.path in skip for projection in low.projections.values() if projection.post is state):
        moving_inputs |= {
            p.projection.post.port for p in low.projections.values() if p.post is state and p.path in skip
        }
    fills: list[PlanNode] = []
    for port in sorted(low.fed[state.path]):
        if port in moving_inputs:
            fills.append(Fill(state.arrays[port], 0.0))
        else:
            still.append(Fill(state.arrays[port], 0.0))
    for port, nodes in still_nodes:
        if port in moving_inputs:
            moving += nodes
        else:
            still += nodes
    return fills + moving, still


def _channel(places: int) -> k.Expr:
    """The channel of neuron ``i``, where a channel has so many neurons."""
    return I if places == 1 else k.Binary("/", I, k.Const(places, "int"), "int")


def _writes(nodes: list[PlanNode], array: str) -> bool:
    for node in nodes:
        if isinstance(node, Launch):
            for statement in k.walk_statements(node.kernel.body):
                if isinstance(statement, (k.Accumulate, k.Store)) and statement.array == array:
                    return True
    return False


def _is_constant(low: Lowering, state: ProjectionState) -> bool:
    """Whether what a projection delivers changes only with the network's inputs."""
    if (
        not isinstance(state.pre, NetworkInput)
        or state.synapse.handlers
        or state.synapse.differences
        or state.synapse.differentials
    ):
        return False
    if any(d.kind == "network_input" and d.path == state.pre.path for d in low.experiment.drives):
        return False
    if any(a.path == state.path for a in low.experiment.ats):
        return False
    names = {
        node.name
        for d in state.synapse.delivers
        for node in e.walk(d.value)
        if isinstance(node, e.Variable) and node.scope == "post"
    }
    return (
        not names
        and not assigned_names(state.synapse)
        and not state.synapse.inputs
        and not any(
            isinstance(node, e.Random) or (isinstance(node, e.Variable) and node.name == "t")
            for d in state.synapse.delivers
            for node in e.walk(d.value)
        )
    )


def _turn(low: Lowering, state: PopulationState) -> list[PlanNode]:
    """One population's turn: arrivals, advance, events."""
    moving, still = _feeds(low, state, set())
    low.assembly.coefficients.extend(still)
    nodes = moving
    nodes += given_events(low.assembly, low.experiment, state, low.given)
    nodes += PopulationStep(low.assembly, state, low.networks).build()
    return nodes


def _settle_turn(low: Lowering, members: list[str]) -> list[PlanNode]:
    """Populations on a loop without delay: event tests are repeated until they stay the same, then all take their turn once."""
    assembly = low.assembly
    inside = {path for path in low.settled if low.projections[path].post.path in members}
    limit = max((low.projections[path].projection.settle or 1) for path in inside)
    nodes: list[PlanNode] = []
    bases: dict[str, list[tuple[str, str]]] = {}
    for name in members:
        state = low.populations[name]
        moving, still = _feeds(low, state, inside)
        assembly.coefficients.extend(still)
        nodes += moving + given_events(assembly, low.experiment, state, low.given)
        ports = sorted(
            {low.projections[path].projection.post.port for path in inside if low.projections[path].post is state}
        )
        bases[name] = []
        for port in ports:
            array = state.arrays.get(port) if port in low.fed[name] else state.jumps[port]
            assert array is not None
            base = assembly.add_array(f"{name}.{port}_outside", (state.size,), role="scratch")
            bases[name].append((array, base))
            nodes.append(
                launch(
                    f"{name}_{port}_outside",
                    f"{port} of {name} from outside the loop",
                    k.Each(state.size),
                    [k.Store(base, I, load(assembly, array, I))],
                )
            )
        nodes += PopulationStep(assembly, state, low.networks, probe=True).build()
    body: list[PlanNode] = []
    for name in members:
        state = low.populations[name]
        for array, base in bases[name]:
            body.append(
                launch(
                    f"{name}_again",
                    f"{name}: inputs of this repetition",
                    k.Each(state.size),
                    [k.Store(array, I, load(assembly, base, I))],
                )
            )
        for path in sorted(inside):
            if low.projections[path].post is state:
                body += low.kernels[path].turn()
        body += PopulationStep(assembly, state, low.networks, probe=True).build()
    watched = next(low.projections[path].projection.pre.path for path in low.projections if path in inside)
    event = next(iter(low.populations[watched].lists.values()))
    nodes.append(Settle(event, limit, tuple(body)))
    for name in members:
        nodes += PopulationStep(assembly, low.populations[name], low.networks).build()
    return nodes
