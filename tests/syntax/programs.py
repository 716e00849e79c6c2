"""Hypothesis strategies that make whole programs as trees, every kind of node among them.

Names are drawn from those that could be mistaken for something else: unit names, soft keywords, beginnings of `dv/dt`.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from snnlang.diagnostics import Source, Span
from snnlang.syntax import tree

SPAN = Span(Source("<made>", ""), 0, 0)

NAMES = st.sampled_from(
    ("v", "w", "tau_m", "n", "m", "s", "V", "S", "F", "mV", "ms", "Hz", "dx", "delta", "d_", "e5", "E", "I", "τ", "θ_0", "x1",
     "trace", "order", "output", "step", "drive", "record", "plot", "rest", "at", "block", "event", "decay", "to", "per",
     "remove", "create", "rate", "settle", "port", "gradient", "vacant", "clamp", "present", "sweep", "freeze", "adjoint")
)
VALUES = NAMES | st.sampled_from(("spike", "t", "dt", "xi", "inf", "index", "all", "pre", "post", "end", "true"))
DOCS = st.text(alphabet="abc äΩ#:'[(->=", max_size=12)
UNITS = st.lists(
    st.builds(tree.UnitFactor, st.sampled_from(("mV", "ms", "m", "s", "cm", "nS", "pA", "MOhm", "Hz", "µm", "Ω", "mol", "L")),
              st.sampled_from((1, 1, -1, 2, -2))),
    min_size=1, max_size=3,
).map(tuple)
WHOLE = st.integers(0, 200_000)
FLOATS = st.floats(0, 1e30, allow_nan=False).map(abs)


def node(kind: Any, *parts: Any, **named: Any) -> Any:
    """A strategy for one kind of node."""
    return st.builds(kind, *parts, span=st.just(SPAN), **named)


def several(part: Any, low: int = 0, high: int = 3) -> Any:
    return st.lists(part, min_size=low, max_size=high).map(tuple)


def maybe(part: Any) -> Any:
    return st.none() | part


def unique(arguments: tuple[tree.Argument, ...]) -> tuple[tree.Argument, ...]:
    """Values without a name first, then every name once."""
    named = {a.name: a for a in arguments if isinstance(a, tree.Argument) and a.name is not None}
    return (*(a for a in arguments if getattr(a, "name", None) is None), *named.values())


NUMBERS = node(tree.Number, WHOLE, st.just(True)) | node(tree.Number, FLOATS, st.just(False))
QUANTITIES = node(tree.Quantity, WHOLE, UNITS, st.just(True)) | node(tree.Quantity, FLOATS, UNITS, st.just(False))
LEAVES = (
    node(tree.Name, VALUES) | NUMBERS | QUANTITIES | node(tree.String, DOCS) | node(tree.Derivative, NAMES)
)


def larger(inner: Any) -> Any:
    """Expressions one level above ``inner``."""
    argument = node(tree.Argument, maybe(NAMES), inner) | node(tree.Per, st.sampled_from(("pre", "post")))
    comparison = st.lists(inner, min_size=2, max_size=3).flatmap(
        lambda operands: node(tree.Comparison, st.just(tuple(operands)),
                              st.lists(st.sampled_from(("<", "<=", ">", ">=", "==", "!=")), min_size=len(operands) - 1,
                                       max_size=len(operands) - 1).map(tuple))
    )
    return (
        node(tree.Binary, st.sampled_from(("+", "-", "*", "/", "^", "and", "or", "*", "/", "^")), inner, inner)
        | node(tree.Unary, st.sampled_from(("-", "not")), inner)
        | node(tree.Attribute, inner, NAMES)
        | node(tree.Index, inner, several(inner | node(tree.Slice, maybe(inner), maybe(inner)), 1, 2))
        | node(tree.Call, inner, several(argument, 0, 3).map(unique))
        | comparison
        | node(tree.Crosses, inner, inner)
        | node(tree.Conditional, inner, inner, inner)
        | node(tree.ListLiteral, several(inner))
    )


EXPRESSIONS = st.recursive(LEAVES, larger, max_leaves=6)
SMALL = st.recursive(LEAVES, larger, max_leaves=3)
POSTFIX = (
    node(tree.Name, NAMES) | node(tree.Attribute, node(tree.Name, NAMES), NAMES)
    | node(tree.Call, node(tree.Name, NAMES), several(node(tree.Argument, maybe(NAMES), SMALL), 0, 2).map(unique))
    | node(tree.Index, node(tree.Name, NAMES), several(SMALL | node(tree.Slice, maybe(SMALL), maybe(SMALL)), 1, 2))
)

ARGUMENTS = several(node(tree.Argument, NAMES, SMALL), 0, 2).map(unique)
SIMPLE = (
    node(tree.Assign, SMALL, st.sampled_from(("=", "+=", "-=", "*=", "/=")), SMALL)
    | node(tree.Deliver, SMALL, maybe(POSTFIX))
    | node(tree.Hold, NAMES | st.just("spike"), SMALL)
    | node(tree.Emit, NAMES)
    | node(tree.Remove)
    | node(tree.Create, ARGUMENTS)
)


def compound(inner: Any) -> Any:
    body = several(inner, 1, 2)
    condition = node(tree.Branch, SMALL, body, inline=st.booleans())
    otherwise = node(tree.Branch, st.none(), body)
    return (
        st.builds(lambda first, more, last: tree.If((first, *more, *last), span=SPAN),
                  condition, several(condition, 0, 1), several(otherwise, 0, 1))
        | node(tree.ForVacant, body, inline=st.booleans())
    )


STATEMENTS = st.recursive(SIMPLE, compound, max_leaves=4)
RANGES = node(tree.Range, SMALL, SMALL, st.booleans(), st.booleans())
TRIGGERS = node(tree.Trigger, several(NAMES, 1, 2)) | node(tree.Trigger, st.just(("every",)), SMALL)
ADJECTIVES = several(st.sampled_from(("trainable", "per_neuron", "persistent", "port", "broadcast", "per_post")), 0, 2).map(
    lambda words: tuple(dict.fromkeys(words)))
OVERRIDE = st.booleans()


def _not_step(equation: tree.Equation) -> bool:
    """`step = …` and `spike = …` are other lines, the second a mistake for `spike when`."""
    return equation.left not in (tree.Name("step", span=SPAN), tree.Name("spike", span=SPAN))


EQUATIONS = node(tree.Equation, EXPRESSIONS, EXPRESSIONS, OVERRIDE).filter(_not_step)
MEMBERS = (
    node(tree.Declaration, st.sampled_from(("param", "state", "input", "weight")), NAMES, ADJECTIVES,
         maybe(UNITS | st.just(())), maybe(SMALL), maybe(RANGES), maybe(DOCS), OVERRIDE, st.booleans())
    | EQUATIONS
    | node(tree.SpikeRule, st.sampled_from(("when", "rate", "probability")), SMALL, maybe(SMALL), OVERRIDE)
    | node(tree.EventRule, NAMES, maybe(SMALL), OVERRIDE)
    | node(tree.PostEvent, NAMES, OVERRIDE)
    | node(tree.Handler, several(TRIGGERS, 1, 2), several(STATEMENTS, 1, 3), OVERRIDE, inline=st.booleans())
    | node(tree.Trace, NAMES, TRIGGERS, SMALL, maybe(st.just("nearest")), OVERRIDE)
    | node(tree.Order, st.just("pre"), st.just("post"), OVERRIDE)
    | node(tree.Output, SMALL, OVERRIDE)
    | node(tree.Tick, SMALL, OVERRIDE)
    | node(tree.Adjoint, several(node(tree.Equation, SMALL, SMALL), 1, 2), OVERRIDE)
    | node(tree.Deliver, SMALL, maybe(POSTFIX), OVERRIDE)
)

SHAPES = several(SMALL, 0, 2)
PARAMETERS = several(node(tree.Parameter, NAMES, maybe(SMALL)), 0, 2)
OPTIONS = several(
    node(tree.Argument, NAMES.filter(lambda name: name != "settle"), SMALL)
    | node(tree.Argument, st.just("settle"), node(tree.Name, st.just("settle"))
           | node(tree.Call, node(tree.Name, st.just("settle")), ARGUMENTS)), 0, 2,
).map(unique)
NETWORK_LINES = (
    node(tree.PopulationLine, NAMES, SHAPES, POSTFIX)
    | node(tree.BlockLine, NAMES, POSTFIX)
    | node(tree.InputLine, NAMES, SHAPES)
    | node(tree.OutputLine, NAMES)
    | node(tree.Connect, maybe(NAMES), POSTFIX, several(POSTFIX, 1, 2), POSTFIX, maybe(POSTFIX), OPTIONS)
    | node(tree.Chain, several(node(tree.Stage, POSTFIX, maybe(NAMES), OPTIONS), 2, 3))
)
EXPERIMENT_LINES = (
    node(tree.Setting, NAMES | st.just("dt"), SMALL)
    | node(tree.Record, several(SMALL, 1), maybe(SMALL))
    | node(tree.Plot, several(SMALL, 1))
    | node(tree.Sweep, NAMES, SMALL)
    | node(tree.Drive, POSTFIX, SMALL, st.booleans())
    | node(tree.At, SMALL, SIMPLE)
    | node(tree.Clamp, POSTFIX, SMALL)
    | node(tree.Freeze, several(POSTFIX, 1))
    | node(tree.Present, SMALL, several(NAMES, 1, 2), SMALL, maybe(SMALL), maybe(SMALL))
)
ITEMS = (
    node(tree.Import, st.integers(0, 2), several(NAMES, 1, 2), several(NAMES, 1, 2))
    | node(tree.Const, NAMES, EXPRESSIONS)
    | node(tree.Function, st.sampled_from(("func", "kernel")), NAMES, PARAMETERS, EXPRESSIONS, maybe(DOCS))
    | node(tree.Model, st.sampled_from(("neuron", "synapse")), NAMES, maybe(NAMES), maybe(DOCS), several(MEMBERS, 1, 3))
    | node(tree.Network, NAMES, PARAMETERS, maybe(DOCS), several(NETWORK_LINES, 1, 3))
    | node(tree.Experiment, st.sampled_from(("simulate", "train")), POSTFIX, maybe(NAMES), several(EXPERIMENT_LINES, 1, 3),
           maybe(DOCS))
)
FILES = node(tree.File, several(ITEMS, 1, 2))
