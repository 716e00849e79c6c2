"""What a synapse delivers, in training: signals of the cell, a map of weights, and an equation of the post neuron."""

from __future__ import annotations

from dataclasses import dataclass, replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.separate import ONE, NotSeparable, Term
from snnlang.codegen.simplify import fold, rebuild, simplify_kernel
from snnlang.codegen.slopes import evaluate
from snnlang.codegen.synapse_arrivals import Arrivals
from snnlang.codegen.synapse_draft import POST, PRE, ZERO, Connection, Draft, I


@dataclass(slots=True)
class Deliveries:
    """Adds the nodes of deliveries to ``draft``."""

    draft: Draft
    arrivals: Arrivals

    def deliver(
        self,
        connection: Connection,
        kernel: k.Kernel,
        event: tuple[str, int] | None,
        statement: k.Accumulate,
        term: Term,
        place: str,
        several: bool,
    ) -> None:
        """One product: into a signal of the cell, over the weights, and through an equation of the post neuron."""
        draft = self.draft
        scale, common = self._numbers(term.common)
        if scale == 0.0:
            return
        own_domain = kernel.domain
        value: k.Expr = k.Const(scale)
        if common is not None and not self._in_post(common):
            value, common = k.Binary("*", value, self._coefficient(connection, common)), None
        trained = connection.connectivity.name in draft.plan.trained_delays
        if event is not None and term.pre == ONE and not trained:
            pass  # the events themselves are sent
        elif event is None and draft.passes(connection, term.pre) and not trained:
            value = k.Binary("*", value, term.pre)
        else:
            own_domain = k.Synapses(connection.connectivity.name)
            value = k.Binary("*", value, k.Load(self._sent(connection, kernel, term.pre, event), PRE))
        if term.weight is not None:
            value = k.Binary("*", term.weight, value)
        target = statement.array
        if several or term.post != ONE or common is not None:  # what several equations take is carried once
            target = self._summed(connection, kernel, own_domain, value, place)
            own = ONE if term.post == ONE else self._of_post(connection, term.post)
            own = own if common is None else k.Binary("*", common, own)
            self._contribute(connection, kernel, statement, target, own)
            return
        self._map(kernel, own_domain, target, value, place)

    def _numbers(self, common: k.Expr) -> tuple[float, k.Expr | None]:
        """A factor of neither side as a number and the rest of it."""
        if not any(isinstance(node, k.Load | k.Local) for node in k.walk(common)):
            return float(evaluate(common, {})), None
        if isinstance(common, k.Binary) and common.operator == "*":
            (a, left), (b, right) = self._numbers(common.left), self._numbers(common.right)
            rest = right if left is None else left if right is None else k.Binary("*", left, right)
            return a * b, rest
        return 1.0, common

    def _in_post(self, common: k.Expr) -> bool:
        """Whether a factor has to stay visible: it is trained, or changes from step to step."""
        draft = self.draft
        names = {node.name for node in k.walk(common) if isinstance(node, k.Local)}
        loads = {node.array for node in k.walk(common) if isinstance(node, k.Load)}
        return bool(names - {"dt"} or loads & (draft.reached | draft.moving))

    def _coefficient(self, connection: Connection, common: k.Expr) -> k.Expr:
        """A factor that is computed once, before the steps."""
        draft = self.draft
        if isinstance(common, k.Load) and common.index is None:
            return common
        name = draft.fresh(f"{connection.connectivity.name}_factor")
        draft.arrays[name] = p.Array(name, (), role="coefficient", owner=connection.path)
        kernel = k.Kernel(name, f"a factor of {connection.path}", k.Single(), (k.Store(name, None, common),))
        draft.coefficients.append(p.Launch(kernel))
        return k.Load(name, None)

    def _sent(self, connection: Connection, kernel: k.Kernel, pre: k.Expr, event: tuple[str, int] | None) -> str:
        """What the cell sends: ``pre`` as it is at this point of the step, of an event 0 where it does not occur."""
        draft = self.draft
        value = self.arrivals.of_pre(connection, pre)
        if event is not None:
            value = k.Choose(self.arrivals.event(connection, *event), value, ZERO)
        name = draft.fresh(f"{connection.connectivity.name}_sent")
        draft.arrays[name] = p.Array(name, (connection.connectivity.pre_size,), role="scratch", owner=connection.path)
        draft.add(connection, kernel, (k.Store(name, I, value),))
        return self._delayed(connection, kernel, name)

    def _delayed(self, connection: Connection, kernel: k.Kernel, sent: str) -> str:
        """What was sent a trained delay ago, between two steps of the past by linear interpolation: the derivative by the delay is the
        difference of the two (Shrestha & Orchard 2018 train delays of axons, Hammouamri et al. 2023 interpolate between taps)."""
        draft = self.draft
        if connection.connectivity.name not in draft.plan.trained_delays:
            return sent
        array, most, least = draft.plan.trained_delays[connection.connectivity.name]
        whole, part = f"{array}_steps", f"{array}_part"
        if whole not in draft.arrays:
            steps = k.Binary("-", k.Binary("/", k.Load(array, None), k.Local("dt")), k.Const(float(least)))
            for name, value in (
                (whole, k.Call("floor", (steps,))),
                (part, k.Binary("-", steps, k.Call("floor", (steps,)))),
            ):
                draft.arrays[name] = p.Array(name, (), role="coefficient", owner=connection.path)
                title = f"delay of {connection.path}"
                draft.coefficients.append(p.Launch(k.Kernel(name, title, k.Single(), (k.Store(name, None, value),))))
        size, ring, late = connection.connectivity.pre_size, f"{sent}_past", f"{sent}_late"
        draft.arrays[ring] = p.Array(ring, (size,), role="history", depth=most - least + 2, owner=connection.path)
        draft.arrays[late] = p.Array(late, (size,), role="scratch", owner=connection.path)
        past: list[k.Expr] = [
            k.Load(sent, I),
            *(k.Load(ring, I, lag=k.Const(ago, "int")) for ago in range(1, most - least + 2)),
        ]

        def at(ago: int) -> k.Expr:
            value: k.Expr = ZERO
            for steps, one in reversed([*enumerate(past[ago : most - least + 1 + ago])]):
                value = k.Choose(k.Compare("==", k.Load(whole, None), k.Const(float(steps))), one, value)
            return value

        first, second = k.Local("earlier"), k.Local("later")
        value = k.Binary("+", first, k.Binary("*", k.Load(part, None), k.Binary("-", second, first)))
        body = (
            k.Let("earlier", at(0)),
            k.Let("later", at(1)),
            k.Store(ring, I, k.Load(sent, I)),
            k.Store(late, I, value, f"{connection.path} arrives after its delay, between two steps"),
        )
        draft.add(connection, kernel, body)
        return late

    def _summed(self, connection: Connection, kernel: k.Kernel, domain: k.Domain, value: k.Expr, place: str) -> str:
        """What arrives over the weights, summed in an array of its own: once for all that deliver the same."""
        draft = self.draft
        key = (repr(value), repr(domain))
        if key not in connection.summed:
            name = connection.summed[key] = draft.fresh(f"{connection.connectivity.name}_arrived")
            draft.arrays[name] = p.Array(name, (connection.connectivity.post_size,), role="scratch")
            self._map(kernel, domain, name, value, place)
        return connection.summed[key]

    def _map(self, kernel: k.Kernel, domain: k.Domain, target: str, value: k.Expr, place: str) -> None:
        title = kernel.title if place == "0.0" else f"{kernel.title}, part {place}"
        body = (k.Accumulate(target, POST, value),)
        self.draft.nodes.append(
            p.Launch(simplify_kernel(k.Kernel(f"{kernel.name}_{place}", title, domain, body, kernel.span)))
        )

    def _contribute(
        self, connection: Connection, kernel: k.Kernel, statement: k.Accumulate, arrived: str, own: k.Expr
    ) -> None:
        """An equation of the post neuron that adds what arrived, times what the neuron has itself."""
        draft = self.draft
        target = statement.array
        path = draft.arrays[target].owner or draft.readers.get(target, "")
        draft.arrays[target] = replace(draft.arrays[target], owner=path)
        value = fold(k.Binary("*", k.Load(arrived, I), own))
        body = (k.Accumulate(target, I, value, statement.source),)
        size = connection.connectivity.post_size
        draft.came.add(target)
        draft.nodes.append(
            p.Launch(
                k.Kernel(f"{kernel.name}_post", f"{connection.path}: at the neuron", k.Each(size), body, kernel.span)
            )
        )

    def _of_post(self, connection: Connection, expr: k.Expr) -> k.Expr:
        match expr:
            case k.Local(name="post"):
                return I
            case k.Load(array=array, lag=lag) if array in connection.states or lag is not None:
                raise NotSeparable("it follows the events of its post neurons")
        return rebuild(expr, lambda operand: self._of_post(connection, operand))
