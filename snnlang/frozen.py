"""Frozen, slotted dataclasses as those of the standard library, made ten times faster: their methods are compiled when first used.

The nouns of the compiler are some two hundred small classes. ``dataclasses.dataclass`` compiles six methods of each at import, a
millisecond a class, most of the time of ``snn check``; few of them are ever called. Type checkers see the standard decorator, and so do
``dataclasses.fields``, ``replace`` and ``asdict``. What is made here is ``@dataclass(frozen=True, slots=True)``, with ``kw_only`` and
``field``; anything else (``order``, ``InitVar``, ``ClassVar``, ``__post_init__``) is left to the standard library.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from dataclasses import _FIELD, MISSING, Field, FrozenInstanceError, fields
    from dataclasses import dataclass as _standard

    def dataclass(cls=None, /, **options):
        """The decorator; see the module."""
        if cls is None:
            return lambda cls: dataclass(cls, **options)
        kw_only = options.pop("kw_only", False)
        plain = options == {"frozen": True, "slots": True} and not hasattr(cls, "__post_init__")
        if plain and not any(word in str(kind) for kind in cls.__annotations__.values() for word in _LEFT):
            return _make(cls, kw_only)
        return _standard(cls, kw_only=kw_only, **options)

    _LEFT = ("ClassVar", "InitVar", "KW_ONLY")

    def _make(cls, kw_only):
        """The class again with slots, its fields, and methods that compile themselves."""
        found, inherited = {}, set()
        for base in cls.__mro__[-1:0:-1]:
            found.update(base.__dict__.get("__dataclass_fields__", {}))
            inherited.update(base.__dict__.get("__slots__", ()))
        namespace = dict(cls.__dict__)
        own = cls.__annotations__
        for name, annotation in own.items():
            given = namespace.pop(name, MISSING)
            item = given if isinstance(given, Field) else field(default=given)
            item.name, item.type, item._field_type = name, annotation, _FIELD
            if item.kw_only is MISSING:
                item.kw_only = kw_only
            found[name] = item
        for name in ("__dict__", "__weakref__"):
            namespace.pop(name, None)
        namespace["__slots__"] = tuple(name for name in own if name not in inherited)
        namespace["__dataclass_fields__"] = found
        namespace["__match_args__"] = tuple(item.name for item in found.values() if item.init and not item.kw_only)
        made = type(cls)(cls.__name__, cls.__bases__, namespace)
        made.__qualname__ = cls.__qualname__
        made.__dataclass_params__ = _PARAMETERS
        made.__getstate__, made.__setstate__ = _state_methods(made, tuple(found))
        for name, method in (("__setattr__", _refuse_set), ("__delattr__", _refuse_delete), ("__repr__", _represent)):
            if name not in namespace:
                setattr(made, name, method)
        for name, text in (("__init__", _init_text), ("__eq__", _eq_text), ("__hash__", _hash_text)):
            if namespace.get(name) is None:  # a class that defines __eq__ alone has the hash None
                _compile_later(made, name, text)
        return made

    def _compile_later(cls, name, text):
        """A method that compiles itself when it is first called, and takes its own place."""

        def first(self, *given, **named):
            lines, names = text(cls)
            exec("\n".join(lines), names)
            method = names[name]
            method.__qualname__, method.__module__ = f"{cls.__qualname__}.{name}", cls.__module__
            setattr(cls, name, method)
            return method(self, *given, **named)

        first.__name__, first.__qualname__ = name, f"{cls.__qualname__}.{name}"
        setattr(cls, name, first)

    def _init_text(cls):
        names, plain, keyword, body = {"_missing": MISSING}, [], [], []
        for number, item in enumerate(cls.__dataclass_fields__.values()):
            names[f"_set{number}"] = getattr(cls, item.name).__set__
            value = item.name
            if item.default_factory is not MISSING:
                names[f"_default{number}"] = item.default_factory
                fresh, default = f"_default{number}()", "=_missing"
                value = f"{fresh} if {value} is _missing else {value}" if item.init else fresh
            elif item.default is not MISSING:
                names[f"_default{number}"] = item.default
                value = item.name if item.init else f"_default{number}"
                default = f"=_default{number}"
            else:
                default = ""
            if item.init:
                (keyword if item.kw_only else plain).append(f"{item.name}{default}")
            body.append(f"  _set{number}(self, {value})")
        arguments = ", ".join(["self", *plain, *(["*", *keyword] if keyword else [])])
        return [f"def __init__({arguments}):", *(body or ["  pass"])], names

    def _eq_text(cls):
        compared = [item.name for item in cls.__dataclass_fields__.values() if item.compare]
        both = (_tuple_text("self", compared), _tuple_text("other", compared))
        return [
            "def __eq__(self, other):",
            "  if other.__class__ is self.__class__:",
            f"    return {both[0]} == {both[1]}",
            "  return NotImplemented",
        ], {}

    def _hash_text(cls):
        items = cls.__dataclass_fields__.values()
        hashed = [item.name for item in items if (item.compare if item.hash is None else item.hash)]
        return ["def __hash__(self):", f"  return hash({_tuple_text('self', hashed)})"], {}

    def _tuple_text(owner, names):
        return "(" + "".join(f"{owner}.{name}, " for name in names) + ")"

    def _represent(self):
        shown = ", ".join(f"{item.name}={getattr(self, item.name)!r}" for item in fields(self) if item.repr)
        return f"{self.__class__.__qualname__}({shown})"

    def _refuse_set(self, name, value):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def _refuse_delete(self, name):
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def _state_methods(cls, names):
        """For copies and pickles: the values in the order of the fields."""
        setters = [getattr(cls, name).__set__ for name in names]

        def __getstate__(self):
            return [getattr(self, name) for name in names]

        def __setstate__(self, state):
            for put, value in zip(setters, state, strict=True):
                put(self, value)

        return __getstate__, __setstate__

    @_standard(frozen=True)
    class _Like:
        """Its parameters are those of every class made here."""

    _PARAMETERS = _Like.__dataclass_params__

__all__ = ["dataclass", "field"]
