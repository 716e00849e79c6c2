"""One kernel as one C function: its head, the pointers and scalars that it uses, and the loops of its domain.

A population is worked through in blocks (:mod:`snnlang.codegen.c_population`). Synapses are visited by the rows (or columns) of the
neurons that fired (:mod:`snnlang.codegen.c_synapses`).

It refuses nothing: a plan that :func:`snnlang.codegen.verify.verify` accepts can be printed.
"""

from __future__ import annotations

from snnlang.codegen import kernel as k
from snnlang.codegen.c_hoist import hoist
from snnlang.codegen.c_layout import Layout, loaded
from snnlang.codegen.c_population import PopulationPrinter
from snnlang.codegen.c_statements import StatementPrinter
from snnlang.codegen.c_synapses import SynapsePrinter
from snnlang.codegen.clike import C_TYPES, words


def print_kernel(
    layout: Layout, kernel: k.Kernel, name: str, lifts: bool, inserts: frozenset[str], ranged: bool = False
) -> str:
    """The text of a kernel's function, called ``name``. ``lifts``, ``inserts`` and ``ranged``: see :class:`StatementPrinter`."""
    touched = loaded(kernel)
    same: dict[k.Expr, str] = {}
    if not isinstance(kernel.domain, k.Single):
        kernel, same = hoist(kernel, touched)
    out = StatementPrinter(layout, kernel, touched, same, lifts, inserts, ranged)
    for expr, called in same.items():
        out.put(f"const {C_TYPES[expr.type]} {called} = {out.scope.text(expr)};")
    _loops(out, name)
    out.close_lists()
    body, out.lines, out.depth = out.lines, [], 1
    _prologue(out, words("\n".join(body)))
    used = words("\n".join((*out.lines, *body)))
    unused = [known for known in ("step", "part", "end") if known not in used and not (ranged and known == "end")]
    cold = "SNN_COLD " if isinstance(kernel.domain, k.Single) and lifts else ""
    head = [
        f"/* {kernel.title} */",
        f"static {cold}void {name}(model *const m, const int32_t step, const int part, {_range(out)})",
        "{",
    ]
    if unused:
        head.append(f"    {', '.join(f'(void){known}' for known in unused)};")
    return "\n".join([*head, *out.lines, *body, "}", ""])


def _loops(out: StatementPrinter, function: str) -> None:
    kernel, connectivities = out.kernel, out.plan.connectivities
    match kernel.domain:
        case k.Single():
            out.statements(kernel.body)
        case k.Each(size=size):
            PopulationPrinter(out, function).each(size)
        case k.Listed(list=events, lag=lag):
            out.open_lists()
            with out.events(events, lag, "i", "own"):
                out.statements(kernel.body)
        case k.Fan(connectivity=connectivity, side=side, list=events, lag=lag):
            SynapsePrinter(out).fan(connectivities[connectivity], side, events, lag)
        case k.Synapses(connectivity=connectivity):
            SynapsePrinter(out).synapses(connectivities[connectivity])
        case k.Arrivals(queue=queue, connectivity=connectivity):
            SynapsePrinter(out).arrivals(queue, connectivities[connectivity])


def _range(out: StatementPrinter) -> str:
    """The rest of the function's parameters: whose neurons it works for."""
    if not out.ranged:
        return "const int end"
    lists = dict.fromkeys(s.list for s in k.walk_statements(out.kernel.body) if isinstance(s, k.Append))
    names = [out.layout.lists[name] for name in lists]
    events = [f", int32_t *const {name}__items, int32_t *const {name}__total" for name in names]
    return "const int64_t first, const int64_t last" + "".join(events)


def _prologue(out: StatementPrinter, used: set[str]) -> None:
    """Pointers and scalars under their own names, so that the compiler knows that none of them overlap or change."""
    if "dt" in used:
        out.put("const real dt = (real)m->dt;")
    if "t" in used:
        out.put("const double t = ((double)step + (double)m->time_offset)*m->dt;")
    for key in out.layout.streams.values():
        if key in used:
            out.put(f"const uint64_t {key} = m->{key};")
    for array, writes in out.touched.items():
        described, name = out.plan.arrays[array], out.layout.arrays[array]
        if name not in used and not any(n in used for (a, _), n in out.slots.items() if a == array):
            continue
        type_ = C_TYPES[described.type]
        if described.depth > 1:
            slots = {lag: slot for (a, lag), slot in out.slots.items() if a == array}
            restrict = "" if name in used else "restrict "
            for lag, slot in slots.items():
                length = out.layout.length(described)
                out.put(
                    f"{type_} *{restrict}const {slot} = m->{name} + snn_slot(step, {lag}, {out.ring(array)})*{length};"
                )
        elif out.layout.is_scalar(array) and not writes:
            out.put(f"const {type_} {name} = m->{name}[0];")
        else:
            out.put(f"{'' if writes else 'const '}{type_} *restrict const {name} = m->{name};")
