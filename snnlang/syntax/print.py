"""From a node to its text on one line: expressions, statements and the parts of lines.

As few brackets as keep the tree, ``a*b``, ``a/b``, ``a^b`` tight and all other operators spaced. What is printed reads
back as the same node, also where a number meets a name that could be a unit (``2 / m``) and where a product of names
could be a derivative.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from snnlang.syntax import tree
from snnlang.syntax.lex import UNIT_NAMES

# how strongly each form binds; a part is put in brackets where it binds less than its place demands
_EXPRESSION, _OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT, _UNARY, _POWER, _POSTFIX, _ATOM = range(11)
#: A number with a unit under a line, such as `2/ms`, that a power would tear apart.
_PER_UNIT = re.compile(r"-?[0-9.][0-9_.]*(?:[eE][-+]?[0-9]+)?/[^\W\d]")
_LEVELS = {"or": _OR, "and": _AND, "+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "^": _POWER}

_UNIT_WORD = re.compile("(?:" + "|".join(sorted(map(re.escape, UNIT_NAMES), key=lambda n: -len(n))) + r")(?!\w)")
_EXPONENT = re.compile(r"e([+-])0*(\d)")
_ENDS_IN_NUMBER = re.compile(r"(?:^|[^\w.])(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$")
_ENDS_IN_D_NAME = re.compile(r"\bd[^\W\d]\w*$")
_DT = re.compile(r"dt\b")


# --- expressions --------------------------------------------------------------------------------------------------------


def print_number(value: float, is_integer: bool = False) -> str:
    """``10_000``, ``0.1``, ``1e-05``: whole numbers grouped from 10_000 on."""
    if is_integer:
        whole = int(value)
        return f"{whole:_}" if abs(whole) >= 10_000 else str(whole)
    return _EXPONENT.sub(lambda match: "e" + match[1].replace("+", "") + match[2], repr(float(value)))


def print_unit(unit: Sequence[tree.UnitFactor]) -> str:
    """``mS/cm^2``, ``1/ms``; "" for no factors."""
    if unit and unit[0].exponent < 0:
        return "1" + _factors(unit)
    return _factors(unit)[1:]


def print_quantity(quantity: tree.Quantity) -> str:
    """``20 ms``, ``0.1/mV``, ``120 mS/cm^2``."""
    text = _factors(quantity.unit)
    return print_number(quantity.value, quantity.is_integer) + (text if text.startswith("/") else " " + text[1:])


def _factors(unit: Sequence[tree.UnitFactor]) -> str:
    """Every factor with its sign before it: ``*mS/cm^2``."""
    text = ""
    for factor in unit:
        exponent = abs(factor.exponent)
        text += ("/" if factor.exponent < 0 else "*") + factor.name + ("" if exponent == 1 else f"^{exponent}")
    return text


def print_expression(expression: tree.Expression) -> str:
    """The expression on one line, with no more brackets than it needs."""
    return _print(expression, _EXPRESSION)


def print_operand(expression: tree.Expression) -> str:
    """The expression where only a name with its calls, indices and attributes may stand."""
    return _print(expression, _POSTFIX)


def _print(expression: tree.Expression, level: int) -> str:
    text, own = _text_and_level(expression)
    return f"({text})" if own < level else text


def _text_and_level(expression: tree.Expression) -> tuple[str, int]:
    match expression:
        case tree.Name(id=name):
            return name, _ATOM
        case tree.Number(value=value, is_integer=whole):
            return print_number(value, whole), _UNARY if _is_negative(value) else _ATOM
        case tree.Quantity(value=value):
            return print_quantity(expression), _UNARY if _is_negative(value) else _ATOM
        case tree.String(value=value):
            return f'"{value}"', _ATOM
        case tree.Derivative(variable=variable):
            return f"d{variable}/dt", _ATOM
        case tree.Attribute(value=value, name=name):
            return f"{print_base(value)}.{name}", _POSTFIX
        case tree.Index(value=value, indices=indices):
            return f"{print_base(value)}[{', '.join(map(_print_index, indices))}]", _POSTFIX
        case tree.Call(function=function, arguments=arguments):
            return f"{print_base(function)}({', '.join(map(print_argument, arguments))})", _POSTFIX
        case tree.ListLiteral(items=items):
            return f"[{', '.join(map(print_expression, items))}]", _ATOM
        case tree.Unary(operator="not", operand=operand):
            return f"not {_print(operand, _NOT)}", _NOT
        case tree.Unary(operand=operand):
            return f"-{_print(operand, _UNARY)}", _UNARY
        case tree.Binary():
            return _binary(expression), _LEVELS[expression.operator]
        case tree.Comparison(operands=operands, operators=operators):
            parts = [_print(operands[0], _SUM)]
            for operator, operand in zip(operators, operands[1:]):
                parts += [operator, _print(operand, _SUM)]
            return " ".join(parts), _COMPARISON
        case tree.Crosses(left=left, right=right):
            return f"{_print(left, _SUM)} crosses {_print(right, _SUM)}", _COMPARISON
        case tree.Conditional(value=value, condition=condition, otherwise=otherwise):
            return f"{_print(value, _OR)} if {_print(condition, _OR)} else {_print(otherwise, _EXPRESSION)}", _EXPRESSION


def _is_negative(value: float) -> bool:
    return value < 0


def print_base(expression: tree.Expression) -> str:
    """What stands before ``.``, ``[`` or ``(``."""
    if isinstance(expression, tree.Number | tree.Quantity | tree.Derivative | tree.String):
        return f"({print_expression(expression)})"
    return _print(expression, _POSTFIX)


def _binary(expression: tree.Binary) -> str:
    operator = expression.operator
    if operator == "^":
        base = _print(expression.left, _POSTFIX)
        if isinstance(expression.left, tree.Quantity | tree.Derivative):
            base = f"({base})"
        power = _print(expression.right, _UNARY)
        if _PER_UNIT.match(power):
            power = f"({power})"  # v^2/ms is (v^2)/ms
        return f"{base}^{power}"
    level = _LEVELS[operator]
    left, right = _print(expression.left, level), _print(expression.right, level + 1)
    if operator not in ("*", "/"):
        return f"{left} {operator} {right}"
    if operator == "/" and _DT.match(right) and _ENDS_IN_D_NAME.search(left):
        return f"{left}/({right})"  # dv/dt in one piece is the derivative
    if isinstance(expression.right, tree.Derivative) or _ends_in_quantity(expression.left):
        return f"{left} {operator} {right}"  # tight, the unit would go on
    if operator == "/" and _UNIT_WORD.match(right) and _ENDS_IN_NUMBER.search(left):
        return f"{left} {operator} {right}"  # tight, the name would be a unit
    return f"{left}{operator}{right}"


def _ends_in_quantity(expression: tree.Expression) -> bool:
    """Whether the printed form ends in a literal with a unit."""
    match expression:
        case tree.Quantity():
            return True
        case tree.Binary(operator="*" | "/" | "^", right=right):
            return _ends_in_quantity(right) and not (expression.operator == "^" and _print(right, _UNARY).startswith("("))
        case tree.Unary(operator="-", operand=operand):
            return _ends_in_quantity(operand)
        case _:
            return False


def _print_index(index: tree.Expression | tree.Slice) -> str:
    if isinstance(index, tree.Slice):
        start, stop = (print_expression(end) if end is not None else "" for end in (index.start, index.stop))
        return f"{start}:{stop}"
    match index:
        case tree.Binary(operator="+" | "-", left=tree.Name(), right=tree.Name() | tree.Number()):
            return "".join(print_expression(index).split())  # v[n-1]
    return print_expression(index)


def print_argument(argument: tree.Argument | tree.Per) -> str:
    """``value``, ``name = value``, ``per post``."""
    if isinstance(argument, tree.Per):
        return f"per {argument.side}"
    if argument.name is None:
        return print_expression(argument.value)
    return f"{argument.name} = {print_expression(argument.value)}"


def print_option(option: tree.Argument) -> str:
    """An option of a connection; ``settle(…)`` is its own name."""
    match option.value:
        case tree.Name(id="settle") | tree.Call(function=tree.Name(id="settle")) if option.name == "settle":
            return print_expression(option.value)
    return print_argument(option)


# --- statements and single lines ---------------------------------------------------------------------------------------


def print_statement(statement: tree.Assign | tree.Deliver | tree.Hold | tree.Emit | tree.Remove | tree.Create) -> str:
    """A statement that fits on one line."""
    match statement:
        case tree.Assign(target=target, operator=operator, value=value):
            return f"{print_left_side(target)} {operator} {print_expression(value)}"
        case tree.Deliver(value=value, port=port):
            return f"deliver {print_expression(value)}" + ("" if port is None else f" to {print_operand(port)}")
        case tree.Hold(variable=variable, duration=duration):
            return f"hold {variable} for {print_expression(duration)}"
        case tree.Emit(event=event):
            return f"emit {event}"
        case tree.Remove():
            return "remove"
        case tree.Create(arguments=arguments):
            return f"create({', '.join(map(print_argument, arguments))})"


SOFT_WORD_FIRST = re.compile(
    r"(?:adjoint|at|block|broadcast|clamp|create|drive|event|freeze|order|output|per_neuron|per_post|persistent|plot|port|present"
    r"|record|spike|sweep|trace|trainable)(?= [^=+*/^]| [-+*/^] )"
)


def print_left_side(expression: tree.Expression) -> str:
    """The left side of a line; one that would read as a keyword's line is put in brackets."""
    text = print_expression(expression)
    return f"({text})" if SOFT_WORD_FIRST.match(text) else text


def quoted(doc: str | None) -> str:
    return "" if doc is None else f' "{doc}"'


def print_trigger(trigger: tree.Trigger) -> str:
    if trigger.period is not None:
        return f"every {print_expression(trigger.period)}"
    return ".".join(trigger.path)


def declaration_parts(line: tree.Declaration) -> tuple[str, str, str, str]:
    """``tau: ms``, ``= 20 ms``, ``in [0 ms, inf)`` and ``"text"`` of a declaration; an absent part is empty."""
    name = line.name if line.unit is None else f"{line.name}: {print_unit(line.unit) or '1'}"
    value = "" if line.value is None else f"= {print_expression(line.value)}"
    bounds = ""
    if line.range is not None:
        interval = line.range
        bounds = (f"in {'[' if interval.low_closed else '('}{print_expression(interval.low)}, "
                  f"{print_expression(interval.high)}{']' if interval.high_closed else ')'}")
    return name, value, bounds, quoted(line.doc).strip()


def print_shape(shape: tuple[tree.Expression, ...]) -> str:
    return f"[{', '.join(map(print_expression, shape))}]" if shape else ""


def print_parameters(parameters: tuple[tree.Parameter, ...]) -> str:
    return ", ".join(p.name if p.default is None else f"{p.name} = {print_expression(p.default)}" for p in parameters)


def print_gradient(gradient: tree.Expression | None) -> str:
    return "" if gradient is None else f" with gradient {print_expression(gradient)}"


def print_stage(stage: tree.Stage) -> str:
    parts = [(f"{stage.name}: " if stage.name else "") + print_operand(stage.value), *map(print_option, stage.options)]
    return ", ".join(parts)


def print_list(expressions: Iterable[tree.Expression]) -> str:
    return ", ".join(map(print_expression, expressions))
