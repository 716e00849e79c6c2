"""Lower one projection to the nodes of each phase of a step: before its target's turn, and after all turns.

Before: arrivals and continuous deliveries. After: post handlers, jumps of traces, ``on every T``, and queues made empty.
"""

from __future__ import annotations

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import I, launch, load, real
from snnlang.codegen.lower_population_handlers import source_of
from snnlang.codegen.lower_population_names import PopulationState
from snnlang.codegen.lower_projection_equations import ProjectionEquations
from snnlang.codegen.lower_projection_names import SYNAPSE, Level
from snnlang.codegen.lower_trial import period_steps
from snnlang.codegen.plan import ClearQueue, Enqueue, Every, PlanNode
from snnlang.model import model as m


class ProjectionKernels(ProjectionEquations):
    """Builds the nodes of one projection for each phase of a step."""

    # --- phases -----------------------------------------------------------------------------------------------------

    def pre_domains(self, event: str) -> dict[Level, k.Domain]:
        state = self.state
        assert isinstance(state.pre, PopulationState)
        list_name = state.pre.lists[state.event(event)]
        if state.lag is None:
            return {
                "pre": k.Listed(list_name, state.emission_lag),
                "post": k.Arrivals(state.queue, state.connectivity),
                "synapse": k.Arrivals(state.queue, state.connectivity),
            }
        self.assembly.need_depth(list_name, state.lag)
        return {
            "pre": k.Listed(list_name, state.lag),
            "post": k.Fan(state.connectivity, "pre", list_name, state.lag),
            "synapse": k.Fan(state.connectivity, "pre", list_name, state.lag),
        }

    def post_domains(self, event: str) -> dict[Level, k.Domain]:
        state = self.state
        list_name = state.post.lists[event or "spike"]
        self.assembly.need_depth(list_name, state.dendritic)
        return {
            "pre": k.Fan(state.connectivity, "post", list_name, state.dendritic),
            "post": k.Listed(list_name, state.dendritic),
            "synapse": k.Fan(state.connectivity, "post", list_name, state.dendritic),
        }

    def emission(self) -> list[PlanNode]:
        """Per-synapse delays: put the synapses of this step's spikes into the queue."""
        state = self.state
        if state.lag is not None or not state.queue:
            return []
        assert isinstance(state.pre, PopulationState)
        list_name = state.pre.lists.get(state.event("spike"))
        if list_name is None:  # a source of values alone: they are read late, and nothing waits
            return []
        self.assembly.need_depth(list_name, state.emission_lag)
        return [Enqueue(state.queue, state.connectivity, list_name, state.delays, "pre", state.emission_lag)]

    def turn(self) -> list[PlanNode]:
        """What happens before the target population takes its turn."""
        state = self.state
        nodes = self.emission()
        if state.synapse.differences:
            nodes += self.differences()
            nodes += self.advance()
            nodes += self.continuous()
        else:
            nodes += self.continuous()
            nodes += self.advance()
        late_rule = state.synapse.order == ("post", "pre")
        for handler in state.synapse.handlers:
            if handler.trigger.kind != "pre" or not isinstance(state.pre, PopulationState):
                continue
            body = handler.body
            if late_rule:
                body = tuple(s for s in body if isinstance(s, m.Deliver))
            else:
                # delivery always comes first only in so far as it is written first: statements keep their order
                pass
            if body:
                nodes += self.handler("on_pre", body, self.pre_domains(handler.trigger.event), late=False)
        return nodes

    def finish(self) -> list[PlanNode]:
        """After every population has taken its turn: post handlers, trace jumps, empty queues."""
        state = self.state
        nodes: list[PlanNode] = []
        pre_first = state.synapse.order == ("pre", "post")
        if pre_first:
            nodes += self.commit("pre")
        for handler in state.synapse.handlers:
            if handler.trigger.kind == "post":
                nodes += self.handler("on_post", handler.body, self.post_domains(handler.trigger.event), late=True)
            elif handler.trigger.kind == "input":
                event = handler.trigger.event
                list_name = state.bound_lists[event]
                domains: dict[Level, k.Domain] = {
                    "pre": k.Fan(state.connectivity, "post", list_name, 0),
                    "post": k.Listed(list_name, 0),
                    "synapse": k.Fan(state.connectivity, "post", list_name, 0),
                }
                nodes += self.handler(f"on_{event}", handler.body, domains, late=True)
        post_first = state.synapse.order == ("post", "pre")
        if post_first:
            nodes += self.commit("post")
            for handler in state.synapse.handlers:
                if handler.trigger.kind == "pre" and isinstance(state.pre, PopulationState):
                    body = tuple(s for s in handler.body if not isinstance(s, m.Deliver))
                    if body:
                        nodes += self.handler("on_pre_late", body, self.pre_domains(handler.trigger.event), late=True)
        if not pre_first:
            nodes += self.commit("pre")
        if not post_first:
            nodes += self.commit("post")
        nodes += self.commit("input")
        for handler in state.synapse.handlers:
            if handler.trigger.kind == "every":
                period = period_steps(handler.trigger, self.assembly, self.state.arrays)
                nodes.append(
                    Every(period, tuple(self.handler("on_every", handler.body, self.all_domains(), late=True)))
                )
        for name, past in state.past.items():
            side: k.Expr = I
            size = state.pre_size if state.where(name) == "pre" else state.post.size
            nodes.append(
                launch(
                    self.name("past"),
                    f"{state.path}: {name} is kept for look-back",
                    k.Each(size),
                    [k.Store(past, side, load(self.assembly, state.arrays[name], I))],
                )
            )
        if state.queue:
            nodes.append(ClearQueue(state.queue))
        return nodes

    def commit(self, kind: str) -> list[PlanNode]:
        """Trace jumps of this step."""
        state, assembly = self.state, self.assembly
        nodes: list[PlanNode] = []
        for trace in state.synapse.traces:
            if trace.trigger.kind != kind or trace.name not in state.arrays:
                continue
            where = state.where(trace.name)
            level: Level = where if where in ("pre", "post") else "synapse"  # type: ignore[assignment]
            if kind == "pre":
                if not isinstance(state.pre, PopulationState):
                    continue
                domains = self.pre_domains(trace.trigger.event)
                if state.lag is None and level == "pre":
                    domain: k.Domain = k.Listed(state.pre.lists[state.event(trace.trigger.event)], 0)
                else:
                    domain = domains[level]
            elif kind == "post":
                domain = self.post_domains(trace.trigger.event)[level]
            else:
                list_name = state.bound_lists[trace.trigger.event]
                domain = k.Listed(list_name, 0) if level == "post" else k.Fan(state.connectivity, "post", list_name, 0)
            array = state.arrays[trace.name]
            index: k.Expr = SYNAPSE if level == "synapse" else I
            value: k.Expr = real(1.0) if trace.nearest else k.Binary("+", load(assembly, array, index), real(1.0))
            nodes.append(
                launch(
                    self.name(f"trace_{trace.name}"),
                    f"{state.path}: jump of trace {trace.name}",
                    domain,
                    [k.Store(array, index, value, source_of(trace.span))],
                    state.projection.span,
                )
            )
        return nodes

    def trial(self, kind: str) -> list[PlanNode]:
        """``on trial_start`` or ``on trial_end``."""
        nodes: list[PlanNode] = []
        for handler in self.state.synapse.handlers:
            if handler.trigger.kind == kind:
                nodes += self.handler(f"on_{kind}", handler.body, self.all_domains(), late=False)
        return nodes
