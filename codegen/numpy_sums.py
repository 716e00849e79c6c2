"""Sums into arrays as NumPy: scattered additions, totals, and matrix products.

A sum over one side of a dense connectivity is a matrix product where the value is a product; a scalar weight costs O(N).
"""

from __future__ import annotations

from dataclasses import dataclass

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.numpy_block import Block
from snnlang.codegen.numpy_names import Names
from snnlang.codegen.numpy_text import (
    ATOM,
    BIT_AND,
    BOTH,
    POST,
    PRE,
    PRODUCT,
    SCALAR,
    Axes,
    Level,
    Piece,
    Writer,
    broadcast,
)


@dataclass(slots=True)
class SumPrinter:
    """Prints accumulations into blocks."""

    names: Names
    write: Writer

    def _mask(self, level: Level) -> Piece | None:
        """The conditions of all masked levels around, together."""
        found: Piece | None = None
        here: Level | None = level
        while here is not None:
            mask = here.mask
            if mask is None and here.mask_text is not None:
                mask = Piece(here.mask_text(), ATOM, BOTH, "bool")
            if mask is not None:
                if found is None:
                    found = mask
                else:
                    axes = mask.axes | found.axes
                    text = f"{broadcast(mask, axes).at(BIT_AND)} & {broadcast(found, axes).at(BIT_AND)}"
                    found = Piece(text, BIT_AND, axes, "bool")
            here = here.parent
        return found

    def _accumulate(
        self, add: k.Accumulate, level: Level, out: Block, dense: p.Connectivity | None, fan: tuple[str, str] | None
    ) -> None:
        bound = level.bound.get(add.index.name) if isinstance(add.index, k.Local) else None
        out.comment(add.source)
        if bound is not None and (bound.axes == PRE or bound.axes == POST) and not self._scattered(add, level):
            assert dense is not None
            self._sum_side(add, bound.axes, level, out, dense, fan)
            return
        value, mask = self.write.expression(add.value, level), self._mask(level)
        array = self.names.plan.arrays[add.array]
        if array.type == "real":
            value = self.write.as_real(value)
        if mask is not None:
            axes = mask.axes | value.axes
            value = Piece(
                f"np.where({broadcast(mask, axes).text}, {broadcast(value, axes).text}, 0)", ATOM, axes, value.type
            )
        if add.index is None:
            self._sum_all(add, value, level, out)
            return
        if self._scattered(add, level):
            assert add.lag is not None
            back, index = self.write.expression(add.lag, level), self.write.expression(add.index, level)
            axes = back.axes | index.axes | value.axes
            self.names.support.add("accumulate")
            slots = self.write.slots(back, axes, array.depth)
            flat = f"{slots}*{self.names.length(add.array)} + {broadcast(index, axes).at(PRODUCT)}"
            target = f"{self.names.array(add.array)}.reshape(-1)"
            out.line(f"accumulate({target}, {flat}, {broadcast(value, axes).text})")
            return
        place = self.write.place(add.array, add.index, add.lag, level)
        if bound is not None and bound.unique:
            out.line(f"{place.text} += {value.text}")
            return
        target = self.write.ring(add.array, self.write.lag(add.lag, level)[0])
        index = self.write.expression(add.index, level)
        if not index.axes and not value.axes and not self._items_axes(level):
            out.line(f"{place.text} += {value.text}")
            return
        axes = index.axes | value.axes
        if not index.axes:
            out.line(f"{place.text} += {self._total(value, level)}")
            return
        self.names.support.add("accumulate")
        if array.connectivity is not None and axes == BOTH:
            target = f"{target}.reshape(-1)"
        out.line(f"accumulate({target}, {broadcast(index, axes).text}, {broadcast(value, axes).text})")

    def _scattered(self, add: k.Accumulate, level: Level) -> bool:
        return (
            add.lag is not None
            and self.names.plan.arrays[add.array].depth > 1
            and bool(self.write.lag(add.lag, level)[1])
        )

    def _items_axes(self, level: Level) -> bool:
        return bool(level.bound)

    def _count(self, level: Level, axes: Axes) -> str:
        """How many items a level has along its axes."""
        texts = []
        for axis in sorted(axes):
            bound = next(b for b in level.bound.values() if b.axes == frozenset({axis}))
            if bound.whole is not None and bound.select is None:
                texts.append(str(bound.whole))
            else:
                numbers = bound.numbers()
                texts.append(f"len({numbers})")
        return "*".join(texts)

    def _total(self, value: Piece, level: Level) -> str:
        """The sum of a value over all items of a level."""
        everything = SCALAR.union(*(b.axes for b in level.bound.values())) if level.bound else SCALAR
        total = f"{value.at(ATOM)}.sum()" if value.axes else value.at(PRODUCT)
        missing = everything - value.axes
        return f"{total}*{self._count(level, missing)}" if missing else total

    def _sum_all(self, add: k.Accumulate, value: Piece, level: Level, out: Block) -> None:
        array = self.names.plan.arrays[add.array]
        lag = self.write.lag(add.lag, level)[0]
        target = self.write.ring(add.array, lag) if array.depth > 1 else f"{self.names.array(add.array)}[()]"
        out.line(f"{target} += {self._total(value, level)}")

    def _sum_side(
        self,
        add: k.Accumulate,
        side: Axes,
        level: Level,
        out: Block,
        c: p.Connectivity,
        fan: tuple[str, str] | None,
    ) -> None:
        """A sum over the other side of a dense connectivity: as a matrix product where the value is a product."""
        place = self.write.place(add.array, add.index, add.lag, level)
        target = place.text
        other = BOTH - side
        factors = [self.write.as_real(self.write.expression(factor, level)) for factor in _factors(add.value)]
        scalars = [f for f in factors if not f.axes]
        near = [f for f in factors if f.axes == side]
        far = [f for f in factors if f.axes == other]
        tables = [f for f in factors if f.axes == BOTH]
        own_only = level.mask_text is not None and level.mask is None and level.parent is None
        apart = own_only and not tables and not near
        mask = None if apart else self._mask(level)
        if mask is not None:
            if mask.axes == other and not tables:
                only = f"np.where({mask.text}, {_product(far)}, 0)" if far else self.write.as_real(mask).text
                far = [Piece(only, ATOM, other)]
            elif mask.axes != side:
                inside = broadcast(Piece(_product(tables), PRODUCT), BOTH).text if tables else "1.0"
                tables = [Piece(f"np.where({broadcast(mask, BOTH).text}, {inside}, 0)", ATOM, BOTH)]
        if tables:
            table = _product(tables)
            table = table if len(tables) == 1 and tables[0].level == ATOM else f"({table})"
            if far:
                vector = _product(far)
                vector = vector if len(far) == 1 and far[0].level == ATOM else f"({vector})"
                total = f"{vector} @ {table}" if side == POST else f"{table} @ {vector}"
                total = f"({total})" if scalars or near else total
            else:
                total = f"{table}.sum(axis={0 if side == POST else 1})"
            parts = [piece.at(PRODUCT) for piece in scalars + near]
            text = "*".join([*parts, total])
        else:
            count = self._count(level, other)
            if far:
                vector = _product(far)
                total = f"{vector}.sum()" if len(far) == 1 and far[0].level == ATOM else f"({vector}).sum()"
            else:
                total = count
            text = "*".join([*(piece.at(PRODUCT) for piece in scalars + near), total])
            if apart:
                self._without_own(target, add, scalars, far, text, side, level, out, c, fan)
                return
        if mask is not None and mask.axes == side:
            text = f"np.where({mask.text}, {text}, 0)"
        out.line(f"{target} += {text}")

    def _without_own(
        self,
        target: str,
        add: k.Accumulate,
        scalars: list[Piece],
        far: list[Piece],
        text: str,
        side: Axes,
        level: Level,
        out: Block,
        c: p.Connectivity,
        fan: tuple[str, str] | None,
    ) -> None:
        """All-to-all without autapses and one weight: the sum over all, less each neuron's own part: O(N)."""
        own = "*".join(piece.at(PRODUCT) for piece in scalars + far) or "1.0"
        if fan is not None and ((fan[0] == "pre") == (side == POST)):
            bound = level.bound["post" if side == POST else "pre"]
            base = self.write.ring(add.array, self.write.lag(add.lag, level)[0])
            part = bound.numbers()
            out.line(f"{target} += {text}")
            if bound.select is None:
                out.line(f"{base}[{fan[1]}] -= {own}")
            else:
                keep = f"np.isin({fan[1]}, {part})"
                scale = f"({own})[{keep}]" if far else own
                out.line(f"{base}[{fan[1]}[{keep}]] -= {scale}")
            return
        parts = c.pre_part, c.post_part
        if fan is None and all(isinstance(part, range) for part in parts) and parts[0] == parts[1]:
            out.line(f"{target} += {text}")
            out.line(f"{target} -= {own}")
            return
        table = f"np.where({level.mask_text() if level.mask_text else ''}, 1.0, 0)"
        vector = f"({own})"
        if far:
            out.line(f"{target} += {vector} @ {table}" if side == POST else f"{target} += {table} @ {vector}")
        else:
            out.line(f"{target} += {own}*{table}.sum(axis={0 if side == POST else 1})")


def _product(pieces: list[Piece]) -> str:
    axes = SCALAR.union(*(piece.axes for piece in pieces)) if pieces else SCALAR
    return "*".join(broadcast(piece, axes).at(PRODUCT) for piece in pieces) if len(pieces) > 1 else pieces[0].text


def _factors(expr: k.Expr) -> list[k.Expr]:
    match expr:
        case k.Binary(operator="*", left=left, right=right, type="real"):
            return _factors(left) + _factors(right)
        case k.Unary(operator="-", operand=operand):
            return [k.Const(-1.0), *_factors(operand)]
    return [expr]
