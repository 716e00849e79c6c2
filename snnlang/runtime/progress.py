"""A bar with the time left, on a terminal; nothing at all anywhere else. And Ctrl-C as a wish, not an accident.

A first Ctrl-C asks the run to stop at the end of its chunk (a fraction of a second), so that what was recorded is whole;
a second one interrupts at once.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Seconds of work before a bar appears.
MOMENT = 0.4


def wanted(progress: bool | None) -> bool:
    """Whether to show a bar: if told, or if standard error is a terminal."""
    return sys.stderr.isatty() if progress is None else progress


class Bar:
    """A progress bar on standard error; as a context manager it disappears at the end. ``show`` False: silent.

    It appears when the work has lasted for a moment: to draw one takes as long as to run a small network.
    """

    def __init__(self, title: str, total: int, *, show: bool, origin: int = 0) -> None:
        self._origin = origin
        self._title = title
        self._total = total
        self._show = show
        self._began = time.perf_counter()
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._room = 0  # characters for what stands behind the time left

    def __enter__(self) -> Bar:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _appear(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        bar = 24 if console.width >= 110 else 10
        fixed = len(self._title) + bar + len("100% 0:00:00 left") + 4
        self._room = max(0, console.width - fixed - 1)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=bar),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            TextColumn("[bright_black]{task.fields[rate]}"),
        )
        self._progress = Progress(
            *columns,
            console=console,
            transient=True,
            refresh_per_second=5,
            redirect_stdout=sys.stdout.isatty(),  # lines stand above the bar; those that go to a file go there
        )
        self._task = self._progress.add_task(self._title, total=self._total, rate="")
        self._progress.start()

    def to(self, completed: int, rate: str = "") -> None:
        """Show that the run is at step ``completed`` (counted like ``origin``, the step at which it began)."""
        if self._show and self._progress is None and time.perf_counter() - self._began > MOMENT:
            self._appear()
        if self._progress is not None and self._task is not None:
            # rich takes what is missing from every column, and would hide the time left first
            shown = rate if len(rate) <= self._room else f"{rate[: max(0, self._room - 1)]}…"
            self._progress.update(self._task, completed=completed - self._origin, rate=shown)


class Interruption:
    """While entered, the first Ctrl-C sets :attr:`asked`; the second raises KeyboardInterrupt. Outside the main thread: nothing."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None
        self._installed = False

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.getsignal(signal.SIGINT)
            if callable(self._before):  # where Ctrl-C is ignored it stays so
                signal.signal(signal.SIGINT, self._ask)
                self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._before)
            self._installed = False

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
