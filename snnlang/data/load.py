"""All loaders by name: from ``present digits(split = "test")`` or Python to columns. The table of their options: ``model/loaders.py``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from snnlang.data.columns import Columns, limited
from snnlang.diagnostics import Span, error
from snnlang.model.loaders import LOADERS
from snnlang.model.suggest import help_for, listing


def load(name: str, options: Mapping[str, Any] | None = None, span: Span | None = None) -> Columns:
    """The columns of a loader in order, for Python: ``load("digits", {"split": "test"})``.

    A source inside another, as in ``saccades(digits())``, is a pair (name, options). Raises SnnError: E620, E625, E626, E630, E632 to E634.
    """
    known = LOADERS.get(name)
    if known is None:
        raise error(
            "E620",
            f"there is no loader `{name}`",
            span,
            help=help_for(name, LOADERS) or (f"loaders are {listing(LOADERS, 20)}",),
        )
    chosen = {option.name: option.default for option in known.options}
    for key, value in (options or {}).items():
        if key not in chosen:
            raise error(
                "E620",
                f"{name} has no option `{key}`",
                span,
                help=help_for(key, chosen) or (f"it takes {listing(chosen)}",),
            )
        chosen[key] = value
    for option in known.options:
        value = chosen[option.name]
        if option.required and value is None:
            raise error("E620", f"{name} needs `{option.name}`", span, help=f"give `{option.name}`")
        if option.choices and value not in option.choices:
            raise error(
                "E620", f"`{option.name}` of {name} cannot be {value!r}", span, help=f"it is {listing(option.choices)}"
            )
        if option.kind == "loader":
            chosen[option.name] = load(value[0], value[1], span)
    limit = chosen.pop("limit", None)
    module, _, function = _PLACES[name].partition(".")
    return limited(getattr(import_module(f"snnlang.data.{module}"), function)(span, **chosen), limit)


#: Module and function of each, imported when used.
_PLACES = {
    "digits": "tables.digits",
    "mnist": "idx.mnist",
    "fashion_mnist": "idx.fashion_mnist",
    "idx": "idx.idx",
    "npz": "tables.npz",
    "csv": "tables.csv",
    "image_folder": "pictures.images",
    "photograph": "pictures.photograph",
    "picture": "pictures.picture",
    "event_folder": "recordings.events",
    "nmnist": "recordings.nmnist",
    "dvs_gesture": "gesture.dvs_gesture",
    "shd": "heidelberg.shd",
    "ssc": "heidelberg.ssc",
    "hdf5": "heidelberg.hdf5",
    "saccades": "saccades.saccades",
}
