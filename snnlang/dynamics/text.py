"""Expressions, systems and steps as text to read: what ``snn show --stage system`` and ``step`` print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from snnlang.dynamics.system import Let, Node, Step, System
from snnlang.model.expression import (
    Adjoint,
    AtEnd,
    AtTime,
    Binary,
    Call,
    Comparison,
    Constant,
    Crosses,
    Detach,
    Expr,
    Gradient,
    KernelFunction,
    Logical,
    Noise,
    Occurs,
    PopulationReduction,
    Position,
    Random,
    Response,
    Select,
    Since,
    SynapseReduction,
    Unary,
    Variable,
)
from snnlang.model.model import AdjointLine

_LEVEL = {"+": 5, "-": 5, "*": 6, "/": 6, "^": 8}
_SELECT, _OR, _AND, _NOT, _COMPARE, _SIGN, _ATOM = 0, 1, 2, 3, 4, 7, 9


def number(value: float) -> str:
    """A number as short as it can be read back: ``20``, ``0.1``, ``1e-06``."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def to_text(expr: Expr) -> str:
    """An expression in the language's own notation, in internal units."""
    return _text(expr)[0]


def _wrapped(expr: Expr, level: int) -> str:
    text, own = _text(expr)
    return f"({text})" if own < level else text


def _text(expr: Expr) -> tuple[str, int]:
    match expr:
        case Constant():
            return number(expr.value), _SIGN if expr.value < 0 else _ATOM
        case Variable():
            name = expr.name if expr.scope == "self" else f"{expr.scope}.{expr.name}"
            return name + _lag(expr.lag), _ATOM
        case Position():
            return f"{_scope(expr.scope)}position[{expr.axis}]", _ATOM
        case Occurs():
            return _scope(expr.scope) + expr.event + _lag(expr.lag), _ATOM
        case Since():
            return f"since({_scope(expr.scope)}{expr.event})", _ATOM
        case Noise():
            return f"xi_{expr.number}", _ATOM
        case Random():
            return _call(expr.distribution, expr.arguments)
        case Unary():
            return f"-{_wrapped(expr.operand, 6)}", 6
        case Binary():
            return _binary(expr)
        case Call():
            return _call(expr.function, expr.arguments)
        case Comparison():
            return f"{_wrapped(expr.left, 5)} {expr.operator} {_wrapped(expr.right, 5)}", _COMPARE
        case Logical(operator="not"):
            return f"not {_wrapped(expr.operands[0], _NOT)}", _NOT
        case Logical():
            level = _AND if expr.operator == "and" else _OR
            return f" {expr.operator} ".join(_wrapped(operand, level) for operand in expr.operands), level
        case Crosses():
            return f"{_wrapped(expr.left, 5)} crosses {_wrapped(expr.right, 5)}", _COMPARE
        case Select():
            return (
                f"{_wrapped(expr.value, 1)} if {_wrapped(expr.condition, 1)} else {_wrapped(expr.otherwise, 0)}",
                _SELECT,
            )
        case KernelFunction():
            return expr.name, _ATOM
        case Response():
            return f"response({expr.kernel.name}, {to_text(expr.source)}{', last' if expr.last else ''})", _ATOM
        case PopulationReduction():
            over = "" if expr.over is None else f", over = [{', '.join(map(str, expr.over))}]"
            return f"all.{expr.operation}({to_text(expr.operand)}{over})", _ATOM
        case SynapseReduction():
            return f"{expr.operation}({to_text(expr.operand)}, per {expr.per})", _ATOM
        case AtTime():
            return f"{expr.name}({to_text(expr.time)})", _ATOM
        case AtEnd():
            bare = replace(expr.operand, lag=None) if isinstance(expr.operand, Variable) else expr.operand
            return f"{_wrapped(bare, _ATOM)}[end]", _ATOM
        case Adjoint():
            return f"{expr.name}[n{'+1' if expr.ahead else ''}]", _ATOM
        case Gradient():
            return f"grad({expr.of})", _ATOM
        case Detach():
            return f"detach({to_text(expr.operand)})", _ATOM


def _call(name: str, arguments: tuple[Expr, ...]) -> tuple[str, int]:
    return f"{name}({', '.join(to_text(argument) for argument in arguments)})", _ATOM


def _lag(lag: int | None) -> str:
    return "" if lag is None else "[n]" if lag == 0 else f"[n-{lag}]"


def _scope(scope: str) -> str:
    return "" if scope == "self" else f"{scope}."


def _binary(expr: Binary) -> tuple[str, int]:
    level = _LEVEL[expr.operator]
    if expr.operator == "^":
        return f"{_wrapped(expr.left, 9)}^{_wrapped(expr.right, 9)}", level
    left = _wrapped(expr.left, level)
    right = _wrapped(expr.right, level + (expr.operator in "-/") if level == 5 else level + 1)
    return (f"{left} {expr.operator} {right}" if level == 5 else f"{left}{expr.operator}{right}"), level


def system_text(system: System) -> str:
    """A System as equations, one a line."""
    lines = [f"system {system.name}"]
    if system.params:
        lines.append(f"  parameters  {', '.join(system.params)}")
    if system.inputs:
        lines.append(f"  inputs      {', '.join(system.inputs)}")
    lines += [f"  d{ode.variable}/dt = {_rate(ode.rate, ode.noises)}" for ode in system.odes]
    lines += [f"  {definition.name} = {to_text(definition.value)}" for definition in system.definitions]
    lines += [
        _response(response.name, response.event, response.jump, response.replace) for response in system.responses
    ]
    lines += [
        f"  {window.name} = sum of {to_text(window.kernel)} over past {to_text(window.source)}"
        for window in system.windows
    ]
    events = {event.name: event.kind for event in system.events}
    lines += [_node(node, events) for node in system.nodes]
    if system.adjoint is not None:
        lines += ["  backwards, from the last step to the first:", *(f"    {_adjoint(line)}" for line in system.adjoint.lines)]
    return "\n".join(lines)


def _adjoint(line: AdjointLine) -> str:
    head = f"grad({line.name})" if line.kind == "gradient" else f"{line.name}[n]"
    return f"{head} = {to_text(line.value)}"


def _rate(rate: Expr, noises: tuple[tuple[int, Expr], ...]) -> str:
    return " + ".join([to_text(rate), *(f"{_wrapped(coefficient, 6)}*xi_{index}" for index, coefficient in noises)])


def _response(name: str, event: str, jump: float, replace: bool) -> str:
    return f"  at the end of a step with {event}: {name} {'=' if replace else '+='} {number(jump)}"


def _node(node: Node, events: Mapping[str, str]) -> str:
    value = "" if node.value is None else to_text(node.value)
    if node.kind == "difference":
        return f"  {node.name}[n] = {value}"
    if node.kind == "definition":
        return f"  {node.name} = {value}"
    word = {"when": "when", "rate": "with rate", "probability": "with probability"}[events[node.name]]
    return f"  {node.name} {word} {value}"


def step_text(step: Step) -> str:
    """A Step as assignments: what is computed once, what at every step, and the new values."""
    order = "exact" if step.order is None else f"order {step.order:g}"
    lines = [f"method {step.method} ({order})", f"  {step.explanation}"]
    for title, lets in (("once", step.coefficients), ("every step", step.body), ("new values", step.updates)):
        if lets:
            lines.append(f"  {title}:")
            lines += [f"    {let.name} = {to_text(let.value)}{_comment(let)}" for let in lets]
    return "\n".join(lines)


def _comment(let: Let) -> str:
    return f"    # {let.source}" if let.source else ""
