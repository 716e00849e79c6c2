"""The user's names for what a plan holds: ``E.v`` is the array that is variable ``v`` of population ``E``.

Also says which arrays a step writes: those that it never writes are inputs and parameters that Python may set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snnlang.codegen.kernel import Accumulate, Store, walk_statements
from snnlang.codegen.plan import Array, AtStep, Every, Fill, Launch, Plan, PlanNode, Reduce, Settle, SynapseReduce
from snnlang.diagnostics import SnnError, error
from snnlang.model.suggest import help_for, listing


def flat(nodes: Iterable[PlanNode]) -> Iterator[PlanNode]:
    """All nodes, those of bodies after their parent."""
    for node in nodes:
        yield node
        if isinstance(node, Every | AtStep | Settle):
            yield from flat(node.body)


def written(nodes: Iterable[PlanNode]) -> dict[str, None]:
    """Names of the arrays that nodes write, in order."""
    found: dict[str, None] = {}
    for node in flat(nodes):
        match node:
            case Launch(kernel=kernel):
                for statement in walk_statements(kernel.body):
                    if isinstance(statement, Store | Accumulate):
                        found[statement.array] = None
            case Fill(array=array):
                found[array] = None
            case Reduce(result=result) | SynapseReduce(result=result):
                found[result] = None
            case _:
                pass
    return found


class Names:
    """Looks arrays up by what the user calls them; an unknown name is E820 with the nearest."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.arrays: dict[tuple[str, str], Array] = {}
        for array in plan.arrays.values():
            if array.owner and array.role not in ("freeze", "hold"):
                self.arrays.setdefault((array.owner, array.variable), array)
        in_step = written(plan.step)
        #: input arrays that Python sets: of network inputs by path, of synapses by ``projection.input`` and by ``input`` alone
        self.inputs: dict[str, list[Array]] = {}
        for array in plan.arrays.values():
            if array.role == "input" and array.owner and array.name not in in_step:
                if array.variable in ("value", ""):
                    self.inputs.setdefault(array.owner, []).append(array)
                else:
                    self.inputs.setdefault(array.variable, []).append(array)
                    self.inputs.setdefault(f"{array.owner}.{array.variable}", []).append(array)
        self.freezes = {key: array for key, array in ((_key(a), a) for a in plan.arrays.values() if a.role == "freeze")}

    def array(self, name: str) -> Array:
        """The array of ``E.v``, ``feed.w``, ``E.tau_m``."""
        owner, _, variable = name.rpartition(".")
        found = self.arrays.get((owner, variable)) or self.arrays.get((name, "value"))
        if found is None:
            raise self.unknown(name)
        return found

    def settable(self, name: str) -> list[Array]:
        """The arrays of an input that Python may set."""
        found = self.inputs.get(name)
        if found is None:
            raise error(
                "E820",
                f"this simulation has no input `{name}`",
                help=help_for(name, self.inputs) or _listing("inputs that can be set are", self.inputs),
            )
        return found

    def unknown(self, name: str) -> SnnError:
        """E820 with the nearest name: of the owner's variables if the owner exists, else of the owners."""
        owner, _, variable = name.rpartition(".")
        owners = list(dict.fromkeys(key[0] for key in self.arrays))
        if owner in owners:
            of_owner = [key[1] for key in self.arrays if key[0] == owner and key[1]]
            near = tuple(text.replace("`", f"`{owner}.", 1) for text in help_for(variable, of_owner))
            return error("E820", f"`{owner}` has no variable `{variable}`", help=near or _listing("it has", of_owner))
        names = [f"{key[0]}.{key[1]}" for key in self.arrays if key[1]]
        advice = help_for(name, names) or help_for(owner or name, owners) or _listing("there is", owners)
        return error("E820", f"this simulation has nothing called `{name}`", help=advice)


def _key(array: Array) -> tuple[str, str]:
    return array.owner, array.variable


def _listing(head: str, names: Iterable[str]) -> tuple[str, ...]:
    found = list(names)
    return (f"{head} {listing(found, 12)}",) if found else (f"{head} nothing",)
