"""The table of panels: one function per kind of ``plot`` line, from a recording to one Matplotlib axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from snnlang.frozen import dataclass
from snnlang.model.network import PlotItem
from snnlang.runtime.distributions import histogram, isi, phase, profile
from snnlang.runtime.frame import Frame
from snnlang.runtime.over_time import raster, rate, trace
from snnlang.runtime.pictures import fields, image, weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Panel:
    """A kind of panel: how it is drawn, how high it is (inches), whether its x axis is time, and whether columns share its y axis."""

    draw: Callable[[Axes, Frame, PlotItem], None]
    height: float
    timed: bool
    shares_y: bool = False


#: Every kind of ``plot`` line.
PANELS: dict[str, Panel] = {
    "raster": Panel(raster, 2.5, True),
    "rate": Panel(rate, 1.35, True, True),
    "trace": Panel(trace, 1.6, True, True),
    "isi": Panel(isi, 1.9, False),
    "histogram": Panel(histogram, 1.9, False),
    "weights": Panel(weights, 3.0, False),
    "fields": Panel(fields, 3.6, False),
    "image": Panel(image, 3.4, False),
    "phase": Panel(phase, 3.0, False),
    "profile": Panel(profile, 2.6, False),
}
