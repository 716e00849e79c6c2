"""Check that a plan is well formed: every name is bound, every type is right, everything that is named exists.

A plan that fails is a mistake of this package, not of the user's model; the error names the kernel and the pass to
look at is the last one that ran.
"""

from __future__ import annotations

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.functions import FUNCTIONS


class InternalError(AssertionError):
    """A plan that no text of a user should ever lead to."""


def verify(plan: p.Plan) -> None:
    """Raise InternalError, naming the kernel, when a plan is not well formed."""
    checker = _Checker(plan)
    for c in plan.connectivities.values():
        checker.connectivity(c)
    for array in plan.arrays.values():
        checker.require(
            array.connectivity is None or array.connectivity in plan.connectivities,
            f"array {array.name}: no connectivity {array.connectivity}",
        )
        checker.require(array.depth >= 1, f"array {array.name}: depth {array.depth}")
    for queue in plan.queues.values():
        checker.require(
            queue.connectivity in plan.connectivities, f"queue {queue.name}: no connectivity {queue.connectivity}"
        )
    for section in ("setup", "coefficients", "trial_start", "step", "trial_end"):
        checker.place = section
        checker.nodes(getattr(plan, section))
    checker.place = "recorders"
    labels: set[str] = set()
    for recorder in plan.recorders:
        checker.require(recorder.label not in labels, f"two recorders are called {recorder.label}")
        labels.add(recorder.label)
        if isinstance(recorder, p.EventRecorder):
            checker.list(recorder.list)
        else:
            checker.array(recorder.array)
            checker.require(recorder.every >= 1, f"{recorder.label}: records every {recorder.every} steps")


class _Checker:
    def __init__(self, plan: p.Plan) -> None:
        self.plan = plan
        self.place = "plan"

    def require(self, holds: bool, message: str) -> None:
        if not holds:
            raise InternalError(f"plan {self.plan.name}, {self.place}: {message}")

    # --- names --------------------------------------------------------------------------------------------------------

    def array(self, name: str) -> p.Array:
        self.require(name in self.plan.arrays, f"no array {name}")
        return self.plan.arrays[name]

    def list(self, name: str, lag: int = 0) -> p.EventList:
        self.require(name in self.plan.lists, f"no list {name}")
        self.require(
            0 <= lag < self.plan.lists[name].depth,
            f"list {name} keeps {self.plan.lists[name].depth} steps, {lag} back is read",
        )
        return self.plan.lists[name]

    def named(self, name: str) -> p.Connectivity:
        self.require(name in self.plan.connectivities, f"no connectivity {name}")
        return self.plan.connectivities[name]

    def connectivity(self, c: p.Connectivity) -> None:
        self.require(not c.stream or c.stream in self.plan.streams, f"connectivity {c.name}: no stream {c.stream}")
        drawn = c.kind == "sparse" and (c.pattern == "random" or c.pattern.startswith("fixed_"))
        self.require(bool(c.stream) or not drawn, f"connectivity {c.name}: a random pattern without a stream")
        self.require(
            c.kind != "one_to_one" or len(c.pre_part) == len(c.post_part),
            f"connectivity {c.name}: one to one of unequal parts",
        )
        self.require(c.kind != "one_to_one" or c.autapses, f"connectivity {c.name}: one to one without autapses")
        for part, size in ((c.pre_part, c.pre_size), (c.post_part, c.post_size)):
            if len(part):
                self.require(
                    int(min(part)) >= 0 and int(max(part)) < size,
                    f"connectivity {c.name}: a part lies outside its population",
                )

    # --- nodes --------------------------------------------------------------------------------------------------------

    def nodes(self, nodes: tuple[p.PlanNode, ...]) -> None:
        for node in nodes:
            match node:
                case p.Launch(kernel=kernel):
                    section, self.place = self.place, f"{self.place}, kernel {kernel.name}"
                    self.kernel(kernel)
                    self.place = section
                case p.Fill(array=array):
                    self.array(array)
                case p.ClearList(list=name):
                    self.list(name)
                case p.Enqueue(queue=queue, connectivity=connectivity, list=name, delays=delays, lag=lag):
                    self.require(queue in self.plan.queues, f"no queue {queue}")
                    self.named(connectivity)
                    self.list(name, lag)
                    self.require(self.array(delays).type == "int", f"the delays {delays} are not whole steps")
                case p.ClearQueue(queue=queue):
                    self.require(queue in self.plan.queues, f"no queue {queue}")
                case p.Reduce(result=result, source=source, groups=groups):
                    self.array(result)
                    self.array(source)
                    self.require(
                        groups is None or self.array(groups).type == "int", f"the groups {groups} are not whole numbers"
                    )
                case p.SynapseReduce(result=result, source=source, connectivity=connectivity):
                    self.array(result)
                    self.named(connectivity)
                    self.require(
                        source is None or self.array(source).connectivity == connectivity,
                        f"{source} is not an array of {connectivity}",
                    )
                case p.Every(period=period, body=body):
                    self.require(period >= 1, f"every {period} steps")
                    self.nodes(body)
                case p.AtStep(body=body):
                    self.nodes(body)
                case p.Settle(list=name, limit=limit, body=body):
                    self.list(name)
                    self.require(limit >= 1, f"at most {limit} repetitions")
                    self.nodes(body)
                case p.Schedule(list=name, steps=steps, indices=indices):
                    self.list(name)
                    self.require(
                        self.array(steps).type == self.array(indices).type == "int",
                        f"the schedule of {name} is not of whole numbers",
                    )

    def kernel(self, kernel: k.Kernel) -> None:
        names: dict[str, k.Type] = {"step": "int", "t": "real", "dt": "real"}
        synapses: dict[str, k.Type] = {"pre": "int", "post": "int", "synapse": "int"}
        match kernel.domain:
            case k.Each(size=size):
                self.require(size >= 0, f"{size} items")
                names["i"] = "int"
            case k.Listed(list=name, lag=lag):
                self.list(name, lag)
                names["i"] = "int"
            case k.Fan(connectivity=connectivity, list=name, lag=lag, side=side):
                self.list(name, lag)
                c = self.named(connectivity)
                size = c.pre_size if side == "pre" else c.post_size
                self.require(
                    self.plan.lists[name].size == size, f"list {name} is not of the {side} side of {connectivity}"
                )
                names |= synapses | ({"shared": "int"} if c.shared_size else {})
            case k.Synapses(connectivity=connectivity):
                c = self.named(connectivity)
                names |= synapses | ({"shared": "int"} if c.shared_size else {})
            case k.Arrivals(queue=queue, connectivity=connectivity):
                self.require(queue in self.plan.queues, f"no queue {queue}")
                c = self.named(connectivity)
                names |= synapses | ({"shared": "int"} if c.shared_size else {})
        self.body(kernel.body, names, isinstance(kernel.domain, k.Each | k.Listed))

    def body(self, body: tuple[k.Statement, ...], names: dict[str, k.Type], appends: bool) -> None:
        names = dict(names)
        for statement in body:
            match statement:
                case k.Let(name=name, value=value, type=type):
                    self.require(name not in names, f"{name} is bound twice")
                    self.expect(value, type, names, f"let {name}")
                    names[name] = type
                case (
                    k.Store(array=array, index=index, value=value, lag=lag)
                    | k.Accumulate(array=array, index=index, value=value, lag=lag)
                ):
                    self.indexed(array, index, lag, names)
                    self.expect(value, self.array(array).type, names, f"store {array}")
                case k.If(condition=condition, body=inner, otherwise=otherwise):
                    self.expect(condition, "bool", names, "if")
                    self.body(inner, names, appends)
                    self.body(otherwise, names, appends)
                case k.Append(list=name):
                    self.list(name)
                    self.require(appends, f"appends to {name} where no i is bound")

    # --- expressions --------------------------------------------------------------------------------------------------

    def expect(self, expr: k.Expr, type: k.Type, names: dict[str, k.Type], what: str) -> None:
        self.expression(expr, names)
        self.require(expr.type == type, f"{what}: {type} is wanted, {expr.type} is given by {expr}")

    def indexed(self, array: str, index: k.Expr | None, lag: k.Expr | None, names: dict[str, k.Type]) -> None:
        described = self.array(array)
        scalar = not described.shape and described.connectivity is None
        self.require((index is None) == scalar, f"{array} is {'a scalar' if scalar else 'no scalar'}")
        for whole in (index, lag):
            if whole is not None:
                self.expect(whole, "int", names, f"an index of {array}")
        if isinstance(lag, k.Const):
            self.require(
                abs(int(lag.value)) < described.depth,
                f"{array} keeps {described.depth} steps, {lag.value} back is used",
            )

    def expression(self, expr: k.Expr, names: dict[str, k.Type]) -> None:
        for operand in k.operands(expr):
            self.expression(operand, names)
        match expr:
            case k.Local(name=name, type=type):
                self.require(name in names, f"{name} is not bound")
                self.require(names[name] == type, f"{name} is {names[name]}, read as {type}")
            case k.Load(array=array, index=index, lag=lag, type=type):
                self.indexed(array, index, lag, names)
                self.require(self.array(array).type == type, f"{array} is {self.array(array).type}, read as {type}")
            case k.Unary(operator="not", operand=operand, type=type):
                self.require(operand.type == type == "bool", f"not of {operand.type}")
            case k.Unary(operand=operand, type=type):
                self.require(operand.type == type != "bool", f"minus of {operand.type} as {type}")
            case k.Binary(left=left, right=right, type=type):
                self.require(
                    type != "bool" and "bool" not in (left.type, right.type), f"arithmetic with truth values: {expr}"
                )
                self.require(
                    type == "real" or left.type == right.type == "int", f"whole-number arithmetic with reals: {expr}"
                )
            case k.Compare(left=left, right=right):
                self.require((left.type == "bool") == (right.type == "bool"), f"compares {left.type} with {right.type}")
            case k.Logic(left=left, right=right):
                self.require(left.type == right.type == "bool", f"{expr.operator} of {left.type} and {right.type}")
            case k.Choose(condition=condition, value=value, otherwise=otherwise, type=type):
                self.require(condition.type == "bool", f"chooses by {condition.type}")
                self.require(
                    value.type == otherwise.type == type, f"chooses between {value.type} and {otherwise.type} as {type}"
                )
            case k.Call(function=function, arguments=arguments, type=type):
                if function in ("int", "real"):
                    self.require(
                        len(arguments) == 1 and type == function, f"{function} of {len(arguments)} arguments as {type}"
                    )
                else:
                    self.require(function in FUNCTIONS, f"no function {function}")
                    self.require(
                        len(arguments) == FUNCTIONS[function].arity, f"{function} of {len(arguments)} arguments"
                    )
            case k.Draw(stream=stream, index=index, counter=counter):
                self.require(stream in self.plan.streams, f"no stream {stream}")
                self.require(index.type == counter.type == "int", "a draw by real numbers")
