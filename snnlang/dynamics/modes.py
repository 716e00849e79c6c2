"""What a response kernel is made of, found with sympy: a sum of powers of time times exponentials, sines and cosines, or not."""

from __future__ import annotations

import sympy

from snnlang.dynamics.symbols import Symbols, from_sympy, to_sympy
from snnlang.dynamics.terms import ZERO, reads, substitute
from snnlang.frozen import dataclass
from snnlang.model.expression import Expr, KernelFunction, Variable
from snnlang.model.units import TIME

_ARGUMENT = Variable("s~", TIME)


@dataclass(frozen=True, slots=True)
class Mode:
    """``coefficient * s^power * exp(rate*s)``, times ``cos`` or ``sin`` of ``frequency*s`` when a turn is given."""

    coefficient: Expr
    power: int
    rate: Expr
    frequency: Expr = ZERO
    turn: str = ""


def modes(kernel: KernelFunction) -> list[Mode] | None:
    """The kernel as a sum of modes, or None when it is no such sum."""
    body = substitute(kernel.body, {kernel.argument: _ARGUMENT})
    symbols = Symbols(positive=[_ARGUMENT.name])
    s = symbols.symbol(_ARGUMENT)
    form = to_sympy(body, symbols)
    if any(
        node is not _ARGUMENT and not isinstance(node, Variable) and reads(node, [_ARGUMENT.name])
        for node in symbols.nodes()
    ):
        return None
    form = form.replace(
        sympy.Function("heaviside"), lambda a: sympy.Integer(1) if a == s else sympy.Function("heaviside")(a)
    )
    if form.has(sympy.sinh, sympy.cosh):
        form = form.rewrite(sympy.exp)
    found = []
    for term in sympy.Add.make_args(sympy.expand(form)):
        mode = _mode(term, s, symbols)
        if mode is None:
            return None
        found.append(mode)
    return found


def _mode(term: sympy.Expr, s: sympy.Symbol, symbols: Symbols) -> Mode | None:
    coefficient, dependent = term.as_independent(s, as_Add=False)
    power, rate, frequency, turn = 0, sympy.Integer(0), sympy.Integer(0), ""
    for factor in sympy.Mul.make_args(dependent):
        if factor == 1:
            continue
        if factor == s:
            power += 1
        elif factor.is_Pow and factor.base == s and factor.exp.is_Integer and factor.exp > 0:
            power += int(factor.exp)
        elif isinstance(factor, sympy.exp):
            linear = _linear(factor.args[0], s)
            if linear is None:
                return None
            rate += linear[0]
            coefficient *= sympy.exp(linear[1])
        elif isinstance(factor, (sympy.sin, sympy.cos)) and not turn:
            linear = _linear(factor.args[0], s)
            if linear is None or linear[1] != 0:
                return None
            frequency, turn = linear[0], "sin" if isinstance(factor, sympy.sin) else "cos"
        else:
            return None
    if turn and power:
        return None
    return Mode(
        from_sympy(coefficient, symbols), power, from_sympy(rate, symbols), from_sympy(frequency, symbols), turn
    )


def _linear(argument: sympy.Expr, s: sympy.Symbol) -> tuple[sympy.Expr, sympy.Expr] | None:
    offset, slope = sympy.Integer(0), sympy.Integer(0)
    for term in sympy.Add.make_args(sympy.expand(argument)):
        if not term.has(s):
            offset += term
        elif (term / s).has(s):
            return None
        else:
            slope += term / s
    return slope, offset
