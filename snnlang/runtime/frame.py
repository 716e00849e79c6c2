"""What all panels of a picture share: the recording, the axis of time, colours, and the words around them.

Colours are Okabe and Ito's, which people of all colour vision tell apart; a population has one colour in all panels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.frozen import dataclass
from snnlang.runtime.recording import Recording, Values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5D5D5D", "#A6761D")
INK, FAINT, GRID = "#222222", "#8A8A8A", "#E4E4E4"
ROWS_SHOWN = 600
EVENTS_SHOWN = 120_000
LINES_SHOWN = 5
STRIPS_SHOWN = 8
POINTS_SHOWN = 8_000
FIELDS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Frame:
    """What the panels of one column share: the recording, the axis of time and colours by population.

    ``start`` and ``stop`` in ms; ``shift`` puts the axis half a step earlier where a time is a step's number, so that step 0 is seen.
    """

    recording: Recording
    colours: dict[str, str]
    time_scale: float
    time_label: str
    start: float
    stop: float
    shift: float = 0.0

    def colour(self, owner: str) -> str:
        return self.colours.get(owner, PALETTE[0])


def item_name(values: Values, column: int) -> str:
    if values.pre is not None and values.post is not None:
        return f"{int(values.pre[column])}→{int(values.post[column])}"
    place = column if values.indices is None else int(values.indices[column])
    if values.kind == "synapse" and len(values.shape) == 2 and values.shape[1]:
        return f"{place // values.shape[1]}→{place % values.shape[1]}"
    return f"[{place}]"


def last_row(values: Values) -> NDArray[Any]:
    if not len(values.values):
        return np.zeros(0)
    return np.asarray(values.values[-1], dtype=np.float64)


def moment(frame: Frame, time: float) -> str:
    unit = frame.recording.made.time_unit
    if unit != "ms":
        return f"step {time:g}"
    return f"{time / 1000:g} s" if time >= 1000 else f"{time:g} ms"


def with_unit(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit and unit != "1" else name


def ordinal(value: int) -> str:
    suffix = "th" if 10 <= value % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{suffix}"


def title(axes: Axes, text: str, note: str = "") -> None:
    axes.set_title(text, loc="left")
    if note:
        axes.set_title(note, loc="right", fontsize=7.5, color=FAINT, fontweight="normal")


def legend(axes: Axes) -> None:
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.005, 1.03),
        frameon=False,
        handlelength=1.2,
        borderaxespad=0,
        labelspacing=0.25,
    )


def root(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure
