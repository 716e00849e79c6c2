"""Pictures of recordings: the experiment's ``plot`` lines stacked in one figure, a column per sweep point.

Matplotlib is imported here and in no other file that ``snn run`` needs, and only when a picture is asked for (E806 when
it is missing). Without ``plot`` lines the picture is a raster, rates and traces of what was recorded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnlang.diagnostics import error
from snnlang.files import write_atomically
from snnlang.model.network import PlotItem
from snnlang.runtime.frame import FAINT, GRID, INK, PALETTE, Frame
from snnlang.runtime.over_time import strips
from snnlang.runtime.panels import PANELS
from snnlang.runtime.pictures import aspect
from snnlang.runtime.recording import Recording
from snnlang.runtime.summary import point_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 5.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.fontsize": 8.0,
    "text.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "svg.hashsalt": "snnlang",
    "lines.solid_joinstyle": "round",
}
LARGEST = 40


def draw(recording: Recording, path: str | Path) -> None:
    """Draw the plots of a recording (or of every point of a sweep) into a file, whole or not at all. Raises E803, E806, E829."""
    write(figure(recording), path)


def write(made: Figure, path: str | Path) -> None:
    """Write a figure, the same bytes for the same figure. Raises E803 for an ending that is none of a picture, and E801."""
    matplotlib = require_matplotlib()
    if Path(path).suffix.lower().lstrip(".") not in made.canvas.get_supported_filetypes():
        raise error("E803", f"'{path}' has no ending of a picture", help="end it with .png, .pdf or .svg")
    metadata: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(
        Path(path).suffix.lower().lstrip("."), {}
    )
    with matplotlib.rc_context(STYLE), write_atomically(path) as temporary:
        made.savefig(temporary, dpi=160, metadata=metadata or None)


def title_of(network: str, experiment: str) -> str:
    """``Digits``, or ``Digits: learn`` where the experiment has a name of its own."""
    return network if experiment == network else f"{network}: {experiment}"


def require_matplotlib() -> Any:
    """Matplotlib, or E806."""
    try:
        import matplotlib
    except ImportError:
        raise error(
            "E806", "a picture needs Matplotlib, which is not installed", help="install it: pip install matplotlib"
        ) from None
    return matplotlib


def figure(recording: Recording) -> Figure:
    """The Matplotlib figure, not shown and not registered with pyplot."""
    matplotlib = require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    columns = recording.sweep[:LARGEST] or (recording,)
    items = recording.plots or columns[0].plots or default_plots(columns[0])
    if not items:
        raise error(
            "E829",
            "nothing was recorded, so there is nothing to draw",
            help="add lines such as 'record E.spikes' and 'plot raster(E)'",
        )
    with matplotlib.rc_context(STYLE):
        heights = [
            _height(item, columns[0]) * (1.0 if item.kind in ("image", "fields") else _room(len(items)))
            for item in items
        ]
        width = 7.4 if len(columns) == 1 else min(60.0, 0.8 + 3.6 * len(columns))
        legend = any(_has_legend(item) for item in items)
        size = (width + (0.5 if legend and len(columns) == 1 else 0), sum(heights) + 0.42 * len(items) + 0.55)
        made = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(made)
        made.get_layout_engine().set(h_pad=0.05, w_pad=0.06, hspace=0.02, wspace=0.03)  # type: ignore[union-attr, call-arg]
        grid = made.add_gridspec(len(items), len(columns), height_ratios=heights)
        rows: dict[int, Any] = {}
        colours = _colours(columns[0])
        for column, part in enumerate(columns):
            frame = _frame(part, colours)
            timed: Any = None
            for row, item in enumerate(items):
                panel = PANELS[item.kind]
                axes = made.add_subplot(
                    grid[row, column],
                    sharex=timed if panel.timed else None,
                    sharey=rows.get(row) if panel.shares_y else None,
                )
                if panel.timed and timed is None:
                    timed = axes
                rows.setdefault(row, axes)
                if panel.timed:
                    axes.set_xlim(
                        (frame.start + frame.shift) * frame.time_scale, (frame.stop + frame.shift) * frame.time_scale
                    )
                    if part.made.time_unit != "ms":
                        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
                    axes.grid(True, axis="x")
                panel.draw(axes, frame, item)
                if column and panel.shares_y:
                    axes.set_ylabel("")
                    axes.tick_params(labelleft=False)
                if column < len(columns) - 1 and (drawn := axes.get_legend()) is not None:
                    drawn.remove()
                if panel.timed:
                    last = row + 1 == len(items) or not PANELS[items[row + 1].kind].timed
                    axes.tick_params(labelbottom=last)
                    axes.set_xlabel(frame.time_label if last else "")
            if recording.sweep:
                top = made.axes[column * len(items)]
                top.annotate(
                    point_title(part),
                    (0.5, 1.0),
                    (0, 22),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    fontsize=10.5,
                    fontweight="bold",
                    color=INK,
                    annotation_clip=False,
                )
        made_of = recording.made
        title = title_of(made_of.network, made_of.experiment)
        title = f"{title}, {point_title(recording)}" if recording.point else title
        made.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
        if len(recording.sweep) > LARGEST:
            made.supxlabel(f"the first {LARGEST} of {len(recording.sweep)} points", fontsize=8, color=FAINT)
    return made


def default_plots(recording: Recording) -> tuple[PlotItem, ...]:
    """What is drawn without ``plot`` lines: spikes, rates and every recorded variable (eight panels at most)."""
    events = [e.label for e in recording.events_by_label.values()]
    items: list[PlotItem] = []
    if events:
        items.append(PlotItem("raster", tuple(events), {}))
        if recording.made.steps >= 20:
            items.append(PlotItem("rate", tuple(events), {}))
    for values in recording.values_by_label.values():
        if len(values.times) < 2 or (values.kind == "synapse" and values.values.shape[1] > 6):
            items.append(PlotItem("histogram", (values.label,), {}))
        else:
            items.append(PlotItem("trace", (values.label,), {}))
    return tuple(items[:8])


def _height(item: PlotItem, recording: Recording) -> float:
    """Inches: a raster of few neurons is lower, stacked traces are higher, pictures keep their shape."""
    height = PANELS[item.kind].height
    if item.kind == "raster":
        rows = sum(recording.event_series(target).watched for target in item.targets)
        return min(height, max(0.75, 0.3 + 0.17 * rows))
    if item.kind in ("image", "fields"):
        return min(5.0, max(1.2, 5.9 * aspect(item, recording)))
    if item.kind == "trace" and len(item.targets) == 1:
        return max(height, 0.3 + 0.42 * strips(recording.series(item.targets[0])))
    return height


def _room(panels: int) -> float:
    """Fewer panels may be higher."""
    return {1: 1.35, 2: 1.15}.get(panels, 1.0 if panels < 6 else 0.88)


def _has_legend(item: PlotItem) -> bool:
    return item.kind == "isi" or len(item.targets) > 1 or item.kind in ("trace", "phase")


def _colours(recording: Recording) -> dict[str, str]:
    """A colour per population, in written order; those without events or values last."""
    shown = [e.owner for e in recording.events_by_label.values()] + [
        v.owner for v in recording.values_by_label.values()
    ]
    owners = dict.fromkeys([*(p for p in recording.made.populations if p in shown), *shown])
    return {owner: PALETTE[number % len(PALETTE)] for number, owner in enumerate(owners)}


def _frame(recording: Recording, colours: dict[str, str]) -> Frame:
    made = recording.made
    in_seconds = made.time_unit == "ms" and made.duration >= 5000
    label = "step" if made.time_unit != "ms" else "time (s)" if in_seconds else "time (ms)"
    return Frame(
        recording,
        colours,
        0.001 if in_seconds else 1.0,
        label,
        0.0,
        made.duration or 1.0,
        0.0 if made.time_offset else -0.5 * made.dt,
    )
