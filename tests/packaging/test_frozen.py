"""The quick frozen dataclasses do what those of the standard library do, and are known to it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from snnlang import frozen

Decorator = Callable[..., Any]


def family(decorator: Decorator) -> tuple[Any, Any, Any]:
    """The same three classes by either decorator: a base, one that adds to it, one with all kinds of fields."""

    @decorator(frozen=True, slots=True, kw_only=True)
    class Base:
        place: int = dataclasses.field(compare=False, repr=False)

    @decorator(frozen=True, slots=True)
    class Leaf(Base):
        """A leaf."""

        value: float
        parts: tuple[Any, ...] = ()

        @property
        def doubled(self) -> float:
            return self.value * 2

    @decorator(frozen=True, slots=True)
    class Odd:
        a: int
        b: list[int] = dataclasses.field(default_factory=list, hash=False)
        c: int = dataclasses.field(default=3, init=False)
        d: int = dataclasses.field(default=4, kw_only=True)

        def __repr__(self) -> str:
            return "odd"

    return Base, Leaf, Odd


QUICK, USUAL = family(frozen.dataclass), family(dataclasses.dataclass)


@pytest.mark.parametrize(("_, leaf, odd"), [QUICK, USUAL], ids=["quick", "usual"])
def test_behaves(_: Any, leaf: Any, odd: Any) -> None:
    one, same, other = leaf(1.0, place=5), leaf(value=1.0, place=6), leaf(1.0, (2,), place=5)
    assert one == same
    assert hash(one) == hash(same)
    assert one not in (other, 1.0)
    assert len({one, same, other}) == 2
    assert repr(other).endswith("Leaf(value=1.0, parts=(2,))")
    assert one.doubled == 2.0
    assert leaf.__doc__ == "A leaf."
    changes: list[Callable[[], Any]] = [
        lambda: setattr(one, "value", 2.0),
        lambda: delattr(one, "value"),
        lambda: setattr(one, "new", 2.0),
    ]
    for change in changes:
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            change()
    assert not hasattr(one, "__dict__")
    mistakes: list[Callable[[], Any]] = [leaf, lambda: leaf(1.0), lambda: leaf(1.0, (), 5), lambda: odd(1, c=3)]
    for wrong in mistakes:
        with pytest.raises(TypeError):
            wrong()
    strange = odd(1)
    assert (strange.a, strange.b, strange.c, strange.d) == (1, [], 3, 4)
    assert odd(1).b is not odd(1).b
    assert hash(odd(1, [2])) == hash(odd(1))
    assert odd(1, [2]) != odd(1)
    assert repr(strange) == "odd"
    match other:
        case leaf(value, parts):
            assert (value, parts) == (1.0, (2,))
        case _:
            pytest.fail("no match")


@pytest.mark.parametrize(("_, leaf, odd"), [QUICK, USUAL], ids=["quick", "usual"])
def test_the_standard_library_knows_them(_: Any, leaf: Any, odd: Any) -> None:
    one: Any = leaf(1.0, (2,), place=5)
    assert dataclasses.is_dataclass(type(one))
    assert [item.name for item in dataclasses.fields(one)] == ["place", "value", "parts"]
    assert dataclasses.replace(one, value=3.0) == leaf(3.0, (2,), place=5)
    assert dataclasses.asdict(one) == {"place": 5, "value": 1.0, "parts": (2,)}
    assert copy.deepcopy(one) == one
    assert copy.copy(one).place == 5


def test_pickles() -> None:
    from snnlang.syntax.parse import parse_expression

    tree = parse_expression("1 + 2 mV * f(x, y=3)", "made")
    again = pickle.loads(pickle.dumps(tree))
    assert again == tree
    assert again.span == tree.span


def test_what_it_leaves_to_the_standard_library() -> None:
    @frozen.dataclass(frozen=True, slots=True)
    class Counted:
        many: ClassVar[int] = 3
        a: int = 1

    @frozen.dataclass
    class Plain:
        a: int = 1

    assert Counted.many == 3
    assert [item.name for item in dataclasses.fields(Counted)] == ["a"]
    plain = Plain()
    plain.a = 2
    assert plain == Plain(2)
