r"""Equations as LaTeX: what ``snn show --latex`` prints for the stages system and step, one aligned line per equation.

Names become symbols (``tau_m`` is ``\tau_{m}``, ``v_rest`` is ``v_{\mathrm{rest}}``), quotients fractions, conditions cases.
"""

from __future__ import annotations

from dataclasses import replace

from snnlang.dynamics.system import Ode, Step, System
from snnlang.dynamics.text import number
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

_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega".split()
)
_LETTERS = dict(
    zip(
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
        (
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega "
            "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
        ).split(),
        strict=True,
    )
)
_OPERATORS = {"<": "<", "<=": r"\le", ">": ">", ">=": r"\ge", "==": "=", "!=": r"\ne"}
_NAMED = frozenset("exp log sin cos tan sinh cosh tanh min max".split())
_SUM, _PRODUCT, _POWER, _ATOM = 1, 2, 3, 4


def to_latex(expr: Expr) -> str:
    """An expression as LaTeX, without dollar signs."""
    return _latex(expr)[0]


def equations_latex(system: System) -> str:
    """The equations of a System as one ``align*`` environment."""
    lines = [_ode(ode) for ode in system.odes]
    for node in system.nodes:
        value = "" if node.value is None else to_latex(node.value)
        if node.kind == "difference":
            lines.append(f"{symbol(node.name)}[n] &= {value}")
        elif node.kind == "definition":
            lines.append(f"{symbol(node.name)} &= {value}")
        else:
            lines.append(rf"\text{{{node.name}}} &: {value}")
    nodes = {node.name for node in system.nodes if node.kind == "definition"}
    lines += [f"{symbol(d.name)} &= {to_latex(d.value)}" for d in system.definitions if d.name not in nodes]
    for line in () if system.adjoint is None else system.adjoint.lines:
        head = _gradient(line.name) if line.kind == "gradient" else f"{symbol(line.name)}[n]"
        lines.append(f"{head} &= {to_latex(line.value)}")
    body = " \\\\\n  ".join(lines)
    return f"\\begin{{align*}}\n  {body}\n\\end{{align*}}"


def _gradient(name: str) -> str:
    """The derivative of the loss by a value of this step."""
    return rf"\partial L/\partial {symbol(name)}[n]"


def step_latex(step: Step) -> str:
    """A Step as one ``align*`` environment: coefficients, temporaries, then the new values of the states (with arrows)."""
    lines = [f"{symbol(let.name)} &= {to_latex(let.value)}" for let in (*step.coefficients, *step.body)]
    lines += [rf"{symbol(let.name)} &\leftarrow {to_latex(let.value)}" for let in step.updates]
    body = " \\\\\n  ".join(lines)
    return f"\\begin{{align*}}\n  {body}\n\\end{{align*}}" if lines else f"% {step.explanation}"


def _ode(ode: Ode) -> str:
    rate = to_latex(ode.named if ode.named is not None else ode.rate)
    for index, coefficient in ode.noises:
        rate += f" + {_wrapped(coefficient, _PRODUCT)}\\,\\xi_{{{index}}}"
    return rf"\frac{{d{symbol(ode.variable)}}}{{dt}} &= {rate}"


def symbol(name: str) -> str:
    """A name as a symbol with a subscript."""
    head, _, tail = name.partition("_")
    if not tail:
        return _letter(head)
    parts = [
        _letter(part) if len(part) == 1 or part in _GREEK or part.isdigit() else rf"\mathrm{{{_plain(part)}}}"
        for part in tail.split("_")
        if part
    ]
    return f"{_letter(head)}_{{{','.join(parts)}}}"


def _letter(name: str) -> str:
    if name in _GREEK:
        return "\\" + name
    if name in _LETTERS:
        return "\\" + _LETTERS[name]
    return name if len(name) <= 1 else rf"\mathrm{{{_plain(name)}}}"


def _plain(name: str) -> str:
    return "".join(rf"\{_LETTERS[c]}" if c in _LETTERS else rf"\{c}" if c in "_%$#&" else c for c in name)


def _wrapped(expr: Expr, level: int) -> str:
    text, own = _latex(expr)
    return rf"\left({text}\right)" if own < level else text


def _latex(expr: Expr) -> tuple[str, int]:
    match expr:
        case Constant():
            return _number(expr.value), _SUM if expr.value < 0 else _ATOM
        case Variable():
            side = "" if expr.scope == "self" else f"^{{\\mathrm{{{expr.scope}}}}}"
            return symbol(expr.name) + side + _lag(expr.lag), _ATOM
        case Position():
            return f"r_{{{expr.axis}}}", _ATOM
        case Occurs():
            return rf"\mathrm{{{_plain(expr.event)}}}" + _lag(expr.lag), _ATOM
        case Since():
            return rf"\left(t - t_{{\mathrm{{{_plain(expr.event)}}}}}\right)", _ATOM
        case Noise():
            return rf"\xi_{{{expr.number}}}", _ATOM
        case Unary():
            return f"-{_wrapped(expr.operand, _PRODUCT)}", _SUM
        case Binary():
            return _binary(expr)
        case Call():
            return _call(expr)
        case Random():
            return rf"\mathrm{{{_plain(expr.distribution)}}}" + _arguments(expr.arguments), _ATOM
        case Comparison():
            return f"{to_latex(expr.left)} {_OPERATORS[expr.operator]} {to_latex(expr.right)}", 0
        case Logical(operator="not"):
            return rf"\lnot {_wrapped(expr.operands[0], _ATOM)}", 0
        case Logical():
            word = r" \land " if expr.operator == "and" else r" \lor "
            return word.join(_wrapped(operand, 0) for operand in expr.operands), 0
        case Crosses():
            return rf"{to_latex(expr.left)} \nearrow {to_latex(expr.right)}", 0
        case Select():
            rows = rf"{to_latex(expr.value)} & {to_latex(expr.condition)} \\ {to_latex(expr.otherwise)} & \text{{otherwise}}"
            return rf"\begin{{cases}} {rows} \end{{cases}}", _ATOM
        case KernelFunction():
            return symbol(expr.name), _ATOM
        case Response():
            return rf"\left({symbol(expr.kernel.name)} * {to_latex(expr.source)}\right)", _ATOM
        case PopulationReduction() | SynapseReduction():
            return rf"\operatorname{{{expr.operation}}}\left({to_latex(expr.operand)}\right)", _ATOM
        case AtTime():
            return rf"{symbol(expr.name)}\left({to_latex(expr.time)}\right)", _ATOM
        case AtEnd():
            bare = replace(expr.operand, lag=None) if isinstance(expr.operand, Variable) else expr.operand
            return f"{_wrapped(bare, _ATOM)}(T)", _ATOM
        case Adjoint():
            return f"{symbol(expr.name)}[n{'+1' if expr.ahead else ''}]", _ATOM
        case Gradient():
            return _gradient(expr.of), _PRODUCT
        case Detach():
            return _latex(expr.operand)


def _number(value: float) -> str:
    text = number(value)
    if text in ("inf", "-inf"):
        return text.replace("inf", r"\infty")
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return text
    return (r"" if mantissa == "1" else rf"{mantissa}\cdot ") + f"10^{{{int(exponent)}}}"


def _lag(lag: int | None) -> str:
    return "" if lag is None else "[n]" if lag == 0 else f"[n-{lag}]"


def _binary(expr: Binary) -> tuple[str, int]:
    match expr.operator:
        case "+":
            return f"{_wrapped(expr.left, _SUM)} + {_wrapped(expr.right, _SUM + isinstance(expr.right, Unary))}", _SUM
        case "-":
            return f"{_wrapped(expr.left, _SUM)} - {_wrapped(expr.right, _PRODUCT)}", _SUM
        case "*":
            left, right = _wrapped(expr.left, _PRODUCT), _wrapped(expr.right, _PRODUCT)
            return rf"{left} \cdot {right}" if right[:1].isdigit() else rf"{left}\,{right}", _PRODUCT
        case "/":
            return rf"\frac{{{to_latex(expr.left)}}}{{{to_latex(expr.right)}}}", _POWER
        case _:
            return f"{_wrapped(expr.left, _ATOM)}^{{{to_latex(expr.right)}}}", _POWER


def _call(expr: Call) -> tuple[str, int]:
    match expr.function:
        case "exp":
            return f"e^{{{to_latex(expr.arguments[0])}}}", _POWER
        case "sqrt":
            return rf"\sqrt{{{to_latex(expr.arguments[0])}}}", _ATOM
        case "abs":
            return rf"\left|{to_latex(expr.arguments[0])}\right|", _ATOM
        case "floor" | "ceil":
            return rf"\l{expr.function} {to_latex(expr.arguments[0])} \r{expr.function}", _ATOM
        case name if name in _NAMED:
            return f"\\{name}" + _arguments(expr.arguments), _ATOM
        case name:
            return rf"\operatorname{{{name}}}" + _arguments(expr.arguments), _ATOM


def _arguments(arguments: tuple[Expr, ...]) -> str:
    return rf"\left({', '.join(to_latex(argument) for argument in arguments)}\right)"
