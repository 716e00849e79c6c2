"""The workbench of ``lower``: hands out unique readable names and collects the arrays, lists, queues and streams of a plan.

It exists so that every pass names and registers storage in one way; it computes nothing.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.codegen.kernel import Expr, Kernel
from snnlang.codegen.plan import (
    Array,
    Connectivity,
    EventList,
    Launch,
    Learned,
    PlanNode,
    Queue,
    Role,
    Stream,
    WrittenAdjoint,
)
from snnlang.codegen.random import key_of
from snnlang.diagnostics import Span

_GREEK = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "epsilon",
    "ζ": "zeta",
    "η": "eta",
    "θ": "theta",
    "ι": "iota",
    "κ": "kappa",
    "λ": "lambda_",
    "μ": "mu",
    "ν": "nu",
    "ξ": "xi",
    "ο": "omicron",
    "π": "pi",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "υ": "upsilon",
    "φ": "phi",
    "χ": "chi",
    "ψ": "psi",
    "ω": "omega",
    "Γ": "Gamma",
    "Δ": "Delta",
    "Θ": "Theta",
    "Λ": "Lambda",
    "Ξ": "Xi",
    "Π": "Pi",
    "Σ": "Sigma",
    "Φ": "Phi",
    "Ψ": "Psi",
    "Ω": "Omega",
    "µ": "mu",
}

#: A step number far beyond any run: what ``for inf`` becomes in a clock.
FOR_EVER = 2**30


def identifier(text: str) -> str:
    """An ASCII identifier that reads like the text: Greek letters spelt out, ``->`` as ``_to_``, the rest as ``_``."""
    text = text.replace("->", "_to_")
    text = "".join(_GREEK.get(character, character) for character in text)
    text = re.sub(r"[^0-9A-Za-z_]", lambda m: "_" if ord(m.group()) < 128 else f"u{ord(m.group()):x}", text)
    text = re.sub(r"__+", "_", text).strip("_") or "x"
    return "_" + text if text[0].isdigit() else text


class Assembly:
    """Collects what the plan will hold; each ``add_*`` returns the unique name under which it was registered."""

    def __init__(self, seed: int, dt: float, time_offset: int, learning: bool = False) -> None:
        self.seed = seed
        self.learning = learning  # tests of events and ``detach`` stay visible, so that the plan can be differentiated
        self.learned: list[Learned] = []
        self.apart = False  # delays that differ between synapses are left to the passes of training
        self.trained_delays: dict[str, tuple[str, int, int]] = {}
        self.late: dict[str, tuple[str, int]] = {}  # delays that differ between synapses, of plans for training
        self.written: list[WrittenAdjoint] = []
        self.dt = dt
        self.time_offset = time_offset
        self.arrays: dict[str, Array] = {}
        self.lists: dict[str, EventList] = {}
        self.queues: dict[str, Queue] = {}
        self.streams: dict[str, Stream] = {}
        self.connectivities: dict[str, Connectivity] = {}
        self.setup: list[PlanNode] = []
        self.coefficients: list[PlanNode] = []
        self.trial_start: list[PlanNode] = []
        self.step: list[PlanNode] = []
        self.finish: list[PlanNode] = []
        self.trial_end: list[PlanNode] = []
        self.explanation: list[str] = []
        self._taken: set[str] = set()

    def unique(self, text: str) -> str:
        name = base = identifier(text)
        number = 2
        while name in self._taken:
            name = f"{base}_{number}"
            number += 1
        self._taken.add(name)
        return name

    def add_array(
        self,
        text: str,
        shape: tuple[int, ...],
        *,
        type: Literal["real", "int", "bool"] = "real",
        role: Role = "state",
        depth: int = 1,
        fill: float = 0.0,
        data: NDArray[Any] | None = None,
        connectivity: str | None = None,
        shared: bool = False,
        owner: str = "",
        variable: str = "",
        unit: str = "",
        span: Span | None = None,
    ) -> str:
        name = self.unique(text)
        self.arrays[name] = Array(
            name, shape, type, role, depth, fill, data, connectivity, shared, owner, variable, unit, span
        )
        return name

    def add_number(
        self, text: str, value: float, *, owner: str = "", variable: str = "", unit: str = "", role: Role = "param"
    ) -> str:
        """A scalar array with a value."""
        return self.add_array(
            text, (), role=role, data=np.asarray(value, dtype=np.float64), owner=owner, variable=variable, unit=unit
        )

    def add_list(self, text: str, size: int, owner: str, event: str) -> str:
        name = self.unique(text)
        self.lists[name] = EventList(name, size, 1, owner, event)
        return name

    def need_depth(self, list_name: str, lag: int) -> None:
        """Keep the list's last ``lag`` steps."""
        old = self.lists[list_name]
        if lag + 1 > old.depth:
            self.lists[list_name] = EventList(old.name, old.size, lag + 1, old.owner, old.event)

    def need_ring(self, array: str, depth: int) -> None:
        """Make an array's ring at least ``depth`` deep."""
        old = self.arrays[array]
        if depth > old.depth:
            self.arrays[array] = Array(
                old.name,
                old.shape,
                old.type,
                old.role,
                depth,
                old.fill,
                old.data,
                old.connectivity,
                old.shared,
                old.owner,
                old.variable,
                old.unit,
                old.span,
            )

    def add_stream(self, path: str, draw: str) -> str:
        name = self.unique(f"{path}_{draw}_random")
        self.streams[name] = Stream(name, path, draw, key_of(self.seed, path, draw))
        return name

    def find(self, owner: str, variable: str) -> Array | None:
        """The user-visible array of a population or projection."""
        for array in self.arrays.values():
            if array.owner == owner and array.variable == variable:
                return array
        return None


def launch(name: str, title: str, domain: k.Domain, body: list[k.Statement], span: Span | None = None) -> Launch:
    return Launch(Kernel(name, title, domain, tuple(body), span))


# --- short constructors, so that passes read like what they build ------------------------------------------------------

I = k.Local("i", "int")
STEP = k.Local("step", "int")
TIME = k.Local("t", "real")
DT = k.Local("dt", "real")


def real(value: float) -> k.Const:
    return k.Const(float(value), "real")


def whole(value: int) -> k.Const:
    return k.Const(int(value), "int")


def load(assembly: Assembly, array: str, index: Expr | None, lag: Expr | None = None) -> k.Load:
    """An element of an array, by its registered type; scalars take no index."""
    entry = assembly.arrays[array]
    scalar = entry.shape == () and entry.connectivity is None
    return k.Load(array, None if scalar else index, entry.type, lag)


def as_real(expr: Expr) -> Expr:
    return expr if expr.type == "real" else k.Call("real", (expr,), "real")


def as_bool(expr: Expr) -> Expr:
    return expr if expr.type == "bool" else k.Compare("!=", expr, real(0.0))


def both(left: Expr, right: Expr) -> Expr:
    return k.Logic("and", left, right, "bool")


def negate(condition: Expr) -> Expr:
    return k.Unary("not", condition, "bool")
