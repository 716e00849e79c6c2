"""Make kernels shorter without changing a result.

Constants are folded, copies and dead names removed, small powers written as products, repeated parts computed once.

Goals: what a careful person would write. Non-goals: reassociation, anything that could turn a finite number into
another one, moving work out of the time loop (``lower`` does that) or out of a branch that is rarely taken. Names
that it makes are ``common``, ``common_2``, ...
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p

Versions = dict[str, int]
Key = tuple[k.Expr, tuple[int, ...]]


def simplify(plan: p.Plan) -> p.Plan:
    """The plan with every kernel simplified."""
    return replace(
        plan,
        setup=_nodes(plan.setup),
        coefficients=_nodes(plan.coefficients),
        trial_start=_nodes(plan.trial_start),
        step=_nodes(plan.step),
        trial_end=_nodes(plan.trial_end),
    )


def _nodes(nodes: tuple[p.PlanNode, ...]) -> tuple[p.PlanNode, ...]:
    result: list[p.PlanNode] = []
    for node in nodes:
        match node:
            case p.Launch(kernel=kernel):
                simpler = simplify_kernel(kernel)
                if simpler.body:
                    result.append(p.Launch(simpler))
            case p.Every(body=body) | p.AtStep(body=body) | p.Settle(body=body):
                result.append(replace(node, body=_nodes(body)))
            case _:
                result.append(node)
    return tuple(result)


def simplify_kernel(kernel: k.Kernel) -> k.Kernel:
    """One kernel."""
    body = _stored_once(_folded(kernel.body, {}))
    body = _Sharing(body).statements(body, {}, {})
    return replace(kernel, body=_without_dead(body))


# --- folding and copies -----------------------------------------------------------------------------------------------


def _folded(body: tuple[k.Statement, ...], copies: dict[str, k.Expr]) -> tuple[k.Statement, ...]:
    """Fold every expression; a Let that only names another name or a constant is replaced by it."""
    copies = dict(copies)
    result: list[k.Statement] = []
    for statement in body:
        match statement:
            case k.Let(name=name, value=value, type=type):
                folded = _expression(value, copies)
                if isinstance(folded, k.Local | k.Const) and folded.type == type:
                    copies[name] = folded
                else:
                    result.append(replace(statement, value=folded))
            case k.Store(index=index, value=value, lag=lag) | k.Accumulate(index=index, value=value, lag=lag):
                result.append(
                    replace(
                        statement,
                        index=_optional(index, copies),
                        value=_expression(value, copies),
                        lag=_optional(lag, copies),
                    )
                )
            case k.If(condition=condition, body=inner, otherwise=otherwise):
                test = _expression(condition, copies)
                inner, otherwise = _folded(inner, copies), _folded(otherwise, copies)
                if isinstance(test, k.Const):
                    result += inner if test.value else otherwise
                elif inner or otherwise:
                    result.append(replace(statement, condition=test, body=inner, otherwise=otherwise))
            case k.Append():
                result.append(statement)
    return tuple(result)


def _optional(expr: k.Expr | None, copies: dict[str, k.Expr]) -> k.Expr | None:
    return None if expr is None else _expression(expr, copies)


def rebuild(expr: k.Expr, change: Callable[[k.Expr], k.Expr]) -> k.Expr:
    """The expression with ``change`` applied to its direct operands."""
    match expr:
        case k.Const() | k.Local():
            return expr
        case k.Load(index=index, lag=lag):
            return replace(
                expr, index=None if index is None else change(index), lag=None if lag is None else change(lag)
            )
        case k.Unary(operand=operand):
            return replace(expr, operand=change(operand))
        case k.Binary(left=left, right=right) | k.Compare(left=left, right=right) | k.Logic(left=left, right=right):
            return replace(expr, left=change(left), right=change(right))
        case k.Choose(condition=condition, value=value, otherwise=otherwise):
            return replace(expr, condition=change(condition), value=change(value), otherwise=change(otherwise))
        case k.Call(arguments=arguments):
            return replace(expr, arguments=tuple(change(argument) for argument in arguments))
        case k.Draw(index=index, counter=counter):
            return replace(expr, index=change(index), counter=change(counter))


def _expression(expr: k.Expr, copies: dict[str, k.Expr]) -> k.Expr:
    if isinstance(expr, k.Local):
        return copies.get(expr.name, expr)
    return fold(rebuild(expr, lambda operand: _expression(operand, copies)))


def fold(expr: k.Expr) -> k.Expr:
    """One node whose operands are folded already."""
    match expr:
        case k.Unary(operator="-", operand=k.Const(value=value, type=type, given=given)) if type != "bool":
            return k.Const(-value, type, given)
        case k.Unary(operator="-", operand=k.Unary(operator="-", operand=inner)):
            return inner
        case k.Unary(operator="not", operand=k.Const(value=value)):
            return k.Const(not value, "bool")
        case k.Unary(operator="not", operand=k.Unary(operator="not", operand=inner)):
            return inner
        case k.Binary(left=k.Const(value=a) as left, right=k.Const(value=b) as right, operator=operator, type=type):
            folded = _arithmetic(operator, a, b, type)
            return expr if folded is None else k.Const(folded, type, left.given or right.given)
        case k.Binary():
            return _identity(expr)
        case k.Compare(operator=operator, left=k.Const(value=a, given=False), right=k.Const(value=b, given=False)):
            outcomes = {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b, "==": a == b, "!=": a != b}
            return k.Const(outcomes[operator], "bool")
        case (
            k.Logic(operator=operator, left=k.Const(value=value), right=other)
            | k.Logic(operator=operator, left=other, right=k.Const(value=value))
        ):
            keeps = bool(value) == (operator == "and")
            return other if keeps else k.Const(bool(value), "bool")
        case k.Choose(condition=k.Const(value=value), value=first, otherwise=second):
            return first if value else second
        case k.Choose(value=first, otherwise=second) if first == second:
            return first
        case k.Call(function="real", arguments=(k.Const(value=value, given=given),)):
            return k.Const(float(value), "real", given)
        case k.Call(function="int", arguments=(k.Const(value=value, given=False),)) if math.isfinite(value):
            return k.Const(int(value), "int")
        case k.Call(function="real" | "int", arguments=(argument,), type=type) if argument.type == type:
            return argument
    return expr


def _arithmetic(operator: str, a: float, b: float, type: k.Type) -> float | int | None:
    """The value of an operation on constants; None where it is left to the target."""
    whole = type == "int"
    first, second = (int(a), int(b)) if whole else (float(a), float(b))
    try:
        match operator:
            case "+":
                return first + second
            case "-":
                return first - second
            case "*":
                return first * second
            case "/":
                return first // second if whole else first / second
            case "^" if not whole:
                return math.pow(first, second)
            case "%" if whole:
                return first % second
    except (ArithmeticError, ValueError):
        pass
    return None


def _is(expr: k.Expr, value: float) -> bool:
    return isinstance(expr, k.Const) and expr.type != "bool" and not expr.given and expr.value == value


def _identity(expr: k.Binary) -> k.Expr:
    """Neutral operands and small powers."""
    left, right = expr.left, expr.right
    same = left.type == expr.type
    match expr.operator:
        case "+" if _is(right, 0) and same:
            return left
        case "+" if _is(left, 0) and right.type == expr.type:
            return right
        case "-" if _is(right, 0) and same:
            return left
        case "*" if _is(right, 1) and same:
            return left
        case "*" if _is(left, 1) and right.type == expr.type:
            return right
        case "*" if _is(right, -1) and same:
            return k.Unary("-", left, expr.type)
        case "*" if _is(left, -1) and right.type == expr.type:
            return k.Unary("-", right, expr.type)
        case "/" if _is(right, 1) and same:
            return left
        case "^" if _is(right, 1) and same:
            return left
        case "^" if _is(right, 0.5):
            return k.Call("sqrt", (left,))
        case "^" if _is(right, -1):
            return k.Binary("/", k.Const(1.0), left)
        case "^" if _is(right, 3) and same:
            return k.Binary("*", k.Binary("*", left, left, expr.type), left, expr.type)
        case "^" if _is(right, 4) and same:
            square = k.Binary("*", left, left, expr.type)
            return k.Binary("*", square, square, expr.type)
    return expr


def _stored_once(body: tuple[k.Statement, ...]) -> tuple[k.Statement, ...]:
    """``a = X`` followed at once by ``a = f(a)`` becomes ``a = f(X)``, at one element that no other item shares."""
    result: list[k.Statement] = []
    for statement in body:
        if isinstance(statement, k.If):
            inner, otherwise = _stored_once(statement.body), _stored_once(statement.otherwise)
            statement = replace(statement, body=inner, otherwise=otherwise)
        before = result[-1] if result else None
        if isinstance(before, k.Store) and isinstance(statement, k.Store) and _same_place(before, statement):
            reads = [e for e in k.walk(statement.value) if isinstance(e, k.Load) and e.array == before.array]
            if len(reads) <= 1 and all(e.index == before.index and e.lag == before.lag for e in reads):
                value = _replaced(statement.value, reads[0], before.value) if reads else statement.value
                source = "\n".join(dict.fromkeys(text for text in (before.source, statement.source) if text))
                result[-1] = replace(statement, value=value, source=source)
                continue
        result.append(statement)
    return tuple(result)


def _same_place(first: k.Store, second: k.Store) -> bool:
    own = isinstance(first.index, k.Local) and first.index.name in ("i", "synapse")
    return own and (first.array, first.index, first.lag) == (second.array, second.index, second.lag)


def _replaced(expr: k.Expr, old: k.Expr, new: k.Expr) -> k.Expr:
    return new if expr == old else rebuild(expr, lambda operand: _replaced(operand, old, new))


# --- repeated parts ---------------------------------------------------------------------------------------------------


class _Sharing:
    """Names what one body computes more than once.

    Parts that only branches repeat are named in the branch; what the body around has named is used there.
    """

    def __init__(self, body: tuple[k.Statement, ...]) -> None:
        self.taken = {s.name for s in k.walk_statements(body) if isinstance(s, k.Let)}
        self.number = 0

    def statements(
        self, body: tuple[k.Statement, ...], versions: Versions, known: dict[Key, k.Local]
    ) -> tuple[k.Statement, ...]:
        counts = self._count(body, dict(versions))
        known = dict(known)
        result: list[k.Statement] = []
        versions = dict(versions)
        for statement in body:
            made: list[k.Statement] = []

            def share(expr: k.Expr, here: Versions = versions, made: list[k.Statement] = made) -> k.Expr:
                return self._share(expr, here, counts, known, made)

            match statement:
                case k.Let(name=name, value=value, type=type):
                    key = self._key(value, versions)
                    new: k.Statement = replace(statement, value=known[key] if key in known else rebuild(value, share))
                    if _worth(value) and key not in known and value.type == type:
                        known[key] = k.Local(name, type)
                case k.Store(index=index, value=value, lag=lag) | k.Accumulate(index=index, value=value, lag=lag):
                    new = replace(
                        statement,
                        index=None if index is None else share(index),
                        value=share(value),
                        lag=None if lag is None else share(lag),
                    )
                case k.If(condition=condition, body=inner, otherwise=otherwise):
                    test = share(condition)
                    new = replace(
                        statement,
                        condition=test,
                        body=self.statements(inner, versions, known),
                        otherwise=self.statements(otherwise, versions, known),
                    )
                case _:
                    new = statement
            result += [*made, new]
            _changed(statement, versions)
        return tuple(result)

    def _count(self, body: tuple[k.Statement, ...], versions: Versions) -> dict[Key, int]:
        """How often each part is needed by different parents of this body."""
        counts: dict[Key, int] = {}

        def visit(expr: k.Expr) -> None:
            if _worth(expr):
                key = self._key(expr, versions)
                counts[key] = counts.get(key, 0) + 1
                if counts[key] > 1:
                    return
            for operand in k.operands(expr):
                visit(operand)

        for statement in body:
            for expr in k.statement_expressions(statement):
                visit(expr)
            _changed(statement, versions)
        return counts

    def _share(
        self,
        expr: k.Expr,
        versions: Versions,
        counts: dict[Key, int],
        known: dict[Key, k.Local],
        made: list[k.Statement],
    ) -> k.Expr:
        def share(operand: k.Expr) -> k.Expr:
            return self._share(operand, versions, counts, known, made)

        if not _worth(expr):
            return rebuild(expr, share)
        key = self._key(expr, versions)
        if key in known:
            return known[key]
        inner = rebuild(expr, share)
        if counts.get(key, 0) < 2:
            return inner
        self.number += 1
        name = "common" if self.number == 1 else f"common_{self.number}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        made.append(k.Let(name, inner, "", expr.type))
        known[key] = k.Local(name, expr.type)
        return known[key]

    @staticmethod
    def _key(expr: k.Expr, versions: Versions) -> Key:
        return expr, tuple(versions.get(e.array, 0) for e in k.walk(expr) if isinstance(e, k.Load))


def _worth(expr: k.Expr) -> bool:
    """Whether computing an expression twice costs something."""
    match expr:
        case k.Const() | k.Local() | k.Load():
            return False
        case k.Unary(operand=operand) | k.Call(function="real" | "int", arguments=(operand,)):
            return _worth(operand)
    return any(not isinstance(e, k.Const) for e in k.operands(expr))


def _changed(statement: k.Statement, versions: Versions) -> None:
    for inner in k.walk_statements((statement,)):
        if isinstance(inner, k.Store | k.Accumulate):
            versions[inner.array] = versions.get(inner.array, 0) + 1


# --- dead names -------------------------------------------------------------------------------------------------------


def _without_dead(body: tuple[k.Statement, ...]) -> tuple[k.Statement, ...]:
    """Drop Lets that nobody reads, until none is left."""
    while True:
        read = {
            e.name
            for s in k.walk_statements(body)
            for top in k.statement_expressions(s)
            for e in k.walk(top)
            if isinstance(e, k.Local)
        }
        shorter = _keep(body, read)
        if shorter == body:
            return body
        body = shorter


def _keep(body: tuple[k.Statement, ...], read: set[str]) -> tuple[k.Statement, ...]:
    result: list[k.Statement] = []
    for statement in body:
        match statement:
            case k.Let(name=name) if name not in read:
                continue
            case k.If(body=inner, otherwise=otherwise):
                inner, otherwise = _keep(inner, read), _keep(otherwise, read)
                if otherwise and not inner:
                    opposite = fold(k.Unary("not", statement.condition, "bool"))
                    result.append(replace(statement, condition=opposite, body=otherwise, otherwise=(), rare=False))
                elif inner:
                    result.append(replace(statement, body=inner, otherwise=otherwise))
            case _:
                result.append(statement)
    return tuple(result)
