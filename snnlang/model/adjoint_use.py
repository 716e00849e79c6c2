"""Whether the written backward passes of a network say all that its training asks for, before anything is made.

A neuron knows nothing of the connections that enter it, nor of what a training leaves free: that every connected input has a line
``grad(input) = …``, and every trained parameter one, can be seen in a ``train`` block alone (E772).
"""

from __future__ import annotations

from snnlang.diagnostics import Diagnostic, Label, Span
from snnlang.model import expression as e
from snnlang.model.model import Adjoint, Neuron
from snnlang.model.network import Experiment, Population, Projection


def missing_gradients(experiment: Experiment, folded: frozenset[str] = frozenset()) -> list[Diagnostic]:
    """E772 for every connected input, trained parameter and trained initial value without a gradient, and for every connection of
    ``folded`` (paths), whose synapse has equations that the neuron's step carries out."""
    frozen = frozenset(experiment.training.freeze) if experiment.training is not None else frozenset()
    found: list[Diagnostic] = []
    for population in experiment.network.populations:
        adjoint = population.model.adjoint
        if adjoint is not None:
            given = {line.name for line in adjoint.lines if line.kind == "gradient"}
            found += _inputs(population, adjoint, given, experiment.network.projections)
            found += _trained(population, adjoint, given, frozen)
            found += _synapses(population, adjoint, [p for p in experiment.network.projections if p.path in folded])
    return found


def _synapses(population: Population, adjoint: Adjoint, projections: list[Projection]) -> list[Diagnostic]:
    return [
        Diagnostic(
            "E772",
            f"{population.model.name} writes its own backward pass, which knows nothing of the equations of the synapse that enters "
            f"{population.path} here",
            projection.span,
            "equations of its own",
            () if adjoint.span is None else (Label(adjoint.span, "the backward pass"),),
            ("connect it by weights alone, and put the synapse's equations into the neuron and its block",),
        )
        for projection in projections
        if projection.post.path == population.path
    ]


def _inputs(
    population: Population, adjoint: Adjoint, given: set[str], projections: tuple[Projection, ...]
) -> list[Diagnostic]:
    entered: dict[str, Span | None] = {}
    for projection in projections:
        port = projection.post.port
        if projection.post.path == population.path and port and port not in given:
            entered.setdefault(port, projection.span)
    return [
        _missing(
            population.model, adjoint, f"`{port}`, which a connection enters", port, span, "enters here",
        )
        for port, span in entered.items()
    ]  # fmt: skip


def _trained(
    population: Population, adjoint: Adjoint, given: set[str], frozen: frozenset[tuple[str, str]]
) -> list[Diagnostic]:
    model = population.model
    free = [param for param in model.params if param.trainable and (population.path, param.name) not in frozen]
    found = [
        _missing(
            model, adjoint, f"the trained parameter `{param.name}`", param.name, param.span, "declared here",
            f"or write `freeze {population.path}.{param.name}` into the training",
        )
        for param in free
        if param.name not in given and not _through(model, param.name, given)
    ]  # fmt: skip
    for state in model.states:
        if state.trainable and (population.path, state.name) not in frozen:
            found.append(
                Diagnostic(
                    "E772",
                    f"the initial value of `{state.name}` of {population.path} cannot be trained: {model.name} writes its own backward "
                    "pass, which ends with the first step",
                    state.span,
                    "a trained initial value",
                    help=(f"write `freeze {population.path}.{state.name}` into the training, or take `trainable` away",),
                )
            )
    return found


def _through(model: Neuron, name: str, given: set[str]) -> bool:
    """Whether a parameter that has a gradient is computed from this one."""
    return any(
        param.name in given
        and param.default is not None
        and any(isinstance(part, e.Variable) and part.name == name for part in e.walk(param.default))
        for param in model.params
    )


def _missing(
    model: Neuron, adjoint: Adjoint, what: str, name: str, span: Span | None, label: str, *more: str
) -> Diagnostic:
    labels = () if span is None else (Label(span, label),)
    return Diagnostic(
        "E772",
        f"the adjoint block of {model.name} gives no gradient of {what}",
        adjoint.span,
        f"`grad({name}) = …` is missing",
        labels,
        (f"add a line `grad({name}) = …`", *more),
    )


__all__ = ["missing_gradients"]
