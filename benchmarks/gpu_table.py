"""The results of gpu.py as Markdown: steps and their bandwidth, small steps against their launches, beside target c and peers, aims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from table import grid, number

if TYPE_CHECKING:
    from gpu import Measured
    from gpu_device import DeviceLimits
    from gpu_rows import Row


def _of(one: Measured, way: str) -> float | None:
    """Microseconds of a step."""
    return one.ways[way].best * 1e6 if way in one.ways else None


def bandwidth(one: Measured, way: str) -> float | None:
    """Bytes a second that the steps moved at least."""
    if way not in one.ways or one.traffic is None:
        return None
    return one.traffic.bytes(one.ways[way].events) / one.ways[way].best


def overhead(one: Measured, way: str, limits: DeviceLimits) -> float:
    """Microseconds that a step of this way takes without any work: its kernels in a graph, or its meetings of all threads."""
    if way == "graph":
        return one.stages * limits.graph
    return one.meetings * (limits.meet_one if one.resident_blocks == 1 else limits.meet_all)


def steps(limits: DeviceLimits, results: Sequence[Measured]) -> list[str]:
    lines = []
    for one in results:
        if one.missing.get(""):
            lines.append([one.row.name, f"x{one.scale}", one.missing[""], *["-"] * 8])
            continue
        best = min((way for way in one.ways), key=lambda way: one.ways[way].best, default="")
        share = bandwidth(one, best) if best else None
        chosen = one.chosen + ("" if one.chosen == best or not best else f" ({best} is faster)")
        c = one.c.best * 1e6 if one.c else None
        fastest = _of(one, one.chosen)
        lines.append(
            [
                one.row.name,
                f"x{one.scale}",
                f"{one.neurons:.3g}, {one.synapses:.3g}",
                *(
                    number(_of(one, way)) if way in one.ways else one.missing.get(way, "-")
                    for way in ("resident", "graph")
                ),
                chosen,
                number(one.traffic.bytes(one.ways[best].events)) if one.traffic and best else "-",
                number(share / 1e9) if share else "-",
                f"{100 * share / limits.copy:.0f} %" if share else "-",
                number(c) if c else one.missing.get("c", "-"),
                number(c / fastest) if c and fastest else "-",
            ]
        )
    head = ["row", "size", "neurons, synapses", "resident, us", "graph, us", "rule takes", "bytes a step", "GB/s", "of a copy",
            "c, one thread, us", "c / cuda"]  # fmt: skip
    return grid(head, lines)


def launches(limits: DeviceLimits, results: Sequence[Measured]) -> list[str]:
    lines = []
    for one in results:
        for way, timing in one.ways.items():
            bare = overhead(one, way, limits)
            what = (
                f"{one.stages} kernels"
                if way == "graph"
                else f"{one.meetings} meetings of {one.resident_blocks} blocks"
            )
            step = timing.best * 1e6
            lines.append(
                [one.row.name, f"x{one.scale}", way, what, number(bare), number(step), f"{100 * bare / step:.0f} %"]
            )
    return grid(["row", "size", "way", "a step has", "without work, us", "step, us", "share"], lines)


def rates(results: Sequence[Measured]) -> list[str]:
    """Events a step, on the device and on the processor: the physics agrees."""
    lines = []
    for one in results:
        for name in one.traffic.events if one.traffic else ():
            every = [
                (way, timing.events.get(name, 0.0))
                for way, timing in (*one.ways.items(), *([("c", one.c)] if one.c else []))
            ]
            lines.append(
                [one.row.name, f"x{one.scale}", name, ", ".join(f"{way} {events:.4g}" for way, events in every)]
            )
    return grid(["row", "size", "list", "events a step"], lines) if lines else []


def aims(results: Sequence[Measured], limits: DeviceLimits) -> list[str]:
    """What the target is to reach on a device of the class of an H100, and what it reached."""
    lines = []
    found = {(one.row.name, one.scale): one for one in results}
    small = found.get(("cuba", 1))
    if small and small.chosen in small.ways:
        lines.append(["CUBA 4000: a step of at most 5 us", f"{number(_of(small, small.chosen))} us"])
    brunel = found.get(("brunel", 1))
    if brunel and brunel.c and brunel.chosen in brunel.ways:
        ratio = brunel.c.best / brunel.ways[brunel.chosen].best
        lines.append(["Brunel, 10 million synapses: 20 times target c with one thread", f"{number(ratio)} times"])
    for row in ("lif", "izhikevich", "hodgkin_huxley", "brunel", "stdp1000"):
        largest = max(
            (one for one in results if one.row.name == row and one.ways), key=lambda one: one.scale, default=None
        )
        reached = bandwidth(largest, largest.chosen) if largest else None
        if largest and reached:
            lines.append([f"{row} x{largest.scale}: 70 % of a copy", f"{100 * reached / limits.copy:.0f} %"])
    return grid(["aim", "reached"], lines) if lines else []


def markdown(
    machine: Mapping[str, str],
    limits: DeviceLimits,
    rows: Sequence[Row],
    results: Sequence[Measured],
    beside: Mapping[str, Mapping[str, Any]],
) -> str:
    lines = [
        "# Figures of the cuda target",
        "",
        "; ".join(f"{key}: {value}" for key, value in machine.items()) + ".",
        "",
    ]
    lines += [
        f"A copy on the device moves {limits.copy / 1e9:.0f} GB/s (read and written together). An empty kernel takes "
        f"{limits.launch:.2f} us launched after another and {limits.graph:.2f} us in a graph, a launch that is waited for "
        f"{limits.wait:.1f} us. All threads of one resident block meet in {limits.meet_one:.2f} us, those of all blocks in "
        f"{limits.meet_all:.2f} us.",
        "",
        "A step's time is the best of three runs of many steps. Bytes a step are what it must move at least (formulas below): a share of "
        "a copy above 100 % means that the rest stayed in the cache.",
        "",
    ]
    lines += ["## Steps", "", *steps(limits, results), "", "## Steps without work", "", *launches(limits, results), ""]
    found = aims(results, limits)
    if found:
        lines += ["## Aims, for a device of the class of an H100", "", *found, ""]
    if beside:
        names = list(dict.fromkeys(name for of in beside.values() for name in of))
        told = [[row, *(number(of.get(name)) if isinstance(of.get(name), float) else str(of.get(name, "-")) for name in names)]
                for row, of in beside.items()]  # fmt: skip
        lines += ["## Peers at the size x1, us a step", "", *grid(["row", *names], told), ""]
    told = rates(results)
    if told:
        lines += ["## Events", "", *told, ""]
    lines += ["## Bytes that a step must move", ""]
    for row in rows:
        one = next((one for one in results if one.row is row and one.traffic), None)
        if one and one.traffic:
            lines.append(f"- `{row.name}`, {row.title}; at x{one.scale}: {one.traffic.formula}.")
    return "\n".join(lines) + "\n"
