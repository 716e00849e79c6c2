"""Sources, spans, diagnostics and the one renderer of file:line:column with carets.

Every mistake a user can make, in a text, an option, a data file or a run, travels as a :class:`Diagnostic`: it is data,
collected by the stage that finds it and rendered once. Nothing else in the package prints an error.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

from snnlang.frozen import dataclass, field

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Source:
    """A text with a name: the file's path as the user gave it, or ``<string>``."""

    name: str
    text: str

    @cached_property
    def line_starts(self) -> list[int]:
        """Offset of the first character of every line."""
        starts = [0]
        starts.extend(index + 1 for index, character in enumerate(self.text) if character == "\n")
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect.bisect_right(self.line_starts, offset) - 1
        return line + 1, offset - self.line_starts[line] + 1

    def line(self, number: int) -> str:
        """The text of a line counted from 1, without its line end."""
        start = self.line_starts[number - 1]
        end = self.line_starts[number] if number < len(self.line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range ``[start, end)`` of characters in a source."""

    source: Source = field(repr=False)
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """The range from the start of this span to the end of another one."""
        return Span(self.source, min(self.start, other.start), max(self.end, other.end))


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that matters, with a few words."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A replacement that an editor or a person can apply."""

    span: Span
    replacement: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake or remark.

    ``message`` says what was found, ``label`` stands beside the carets, ``help`` says in the imperative what to do.
    """

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    labels: tuple[Label, ...] = ()
    help: tuple[str, ...] = ()
    fix: Fix | None = None
    severity: Severity = "error"

    @property
    def is_error(self) -> bool:
        return self.severity == "error"

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain values (positions counted from 1, ends exclusive)."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "label": self.label,
            "help": list(self.help),
            "place": _place(self.span),
            "labels": [{"text": label.text, "place": _place(label.span)} for label in self.labels],
            "fix": None if self.fix is None else {"place": _place(self.fix.span), "replacement": self.fix.replacement},
        }

    def __str__(self) -> str:
        return render(self)


class SnnError(Exception):
    """Raised with one or more diagnostics; what a user sees is their rendering."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        return "\n\n".join(render(diagnostic) for diagnostic in self.diagnostics)


class Collector:
    """Gathers the diagnostics of a stage, without repeating one at the same place."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._seen: set[tuple[str, int, int, str]] = set()

    def add(self, diagnostic: Diagnostic) -> None:
        span = diagnostic.span
        key = (diagnostic.code, span.start if span else -1, span.end if span else -1, diagnostic.message)
        if key not in self._seen:
            self._seen.add(key)
            self.diagnostics.append(diagnostic)

    def error(
        self,
        code: str,
        message: str,
        span: Span | None,
        label: str = "",
        *,
        help: str | tuple[str, ...] = (),
        labels: tuple[Label, ...] = (),
        fix: Fix | None = None,
    ) -> None:
        self.add(Diagnostic(code, message, span, label, labels, _helps(help), fix))

    def warning(
        self,
        code: str,
        message: str,
        span: Span | None,
        label: str = "",
        *,
        help: str | tuple[str, ...] = (),
        labels: tuple[Label, ...] = (),
        fix: Fix | None = None,
    ) -> None:
        self.add(
            Diagnostic(code, message, span, label, labels, _helps(help), fix, "warning")
        )

    @property
    def has_errors(self) -> bool:
        return any(diagnostic.is_error for diagnostic in self.diagnostics)

    def raise_errors(self) -> None:
        """Raise what was collected when any of it is an error (warnings travel along)."""
        if self.has_errors:
            raise SnnError(*self.sorted())

    def sorted(self) -> list[Diagnostic]:
        """In the order of the text, errors of no place first."""
        return sorted(
            self.diagnostics, key=lambda d: ("", -1) if d.span is None else (d.span.source.name, d.span.start)
        )

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self.sorted())

    def __len__(self) -> int:
        return len(self.diagnostics)


def error(
    code: str,
    message: str,
    span: Span | None = None,
    label: str = "",
    *,
    help: str | tuple[str, ...] = (),
    labels: tuple[Label, ...] = (),
) -> SnnError:
    """An exception that carries one error; for places that cannot go on."""
    return SnnError(Diagnostic(code, message, span, label, labels, _helps(help)))


def _helps(help: str | tuple[str, ...]) -> tuple[str, ...]:
    """The lines of help that say something."""
    return tuple(line for line in ((help,) if isinstance(help, str) else help) if line)


def _place(span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    return {"file": span.source.name, "line": line, "column": column, "end_line": end_line, "end_column": end_column}


def _excerpt(span: Span, text: str, mark: str, width: int) -> list[str]:
    source = span.source
    line_number, column = source.position(span.start)
    line = source.line(line_number)
    length = max(1, min(span.end - span.start, len(line) - column + 1))
    shown = line.replace("\t", " ")
    pointer = " " * (column - 1) + mark * length
    return [
        f"{line_number:>{width}} | {shown}".rstrip(),
        f"{'':>{width}} | {pointer}{' ' + text if text else ''}".rstrip(),
    ]


def render(diagnostic: Diagnostic) -> str:
    """The text a terminal shows: head, place, excerpt with carets, help. No colour, no trailing newline."""
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"]
    spans = [label.span for label in diagnostic.labels]
    if diagnostic.span is not None:
        spans.insert(0, diagnostic.span)
    width = max((len(str(span.source.position(span.start)[0])) for span in spans), default=1)
    if diagnostic.span is not None:
        line, column = diagnostic.span.source.position(diagnostic.span.start)
        lines.append(f"{'':>{width}}--> {diagnostic.span.source.name}:{line}:{column}")
        lines.append(f"{'':>{width}} |")
        lines.extend(_excerpt(diagnostic.span, diagnostic.label, "^", width))
    for label in diagnostic.labels:
        if diagnostic.span is None or label.span.source.name != diagnostic.span.source.name:
            line, column = label.span.source.position(label.span.start)
            lines.append(f"{'':>{width}}::: {label.span.source.name}:{line}:{column}")
        lines.extend(_excerpt(label.span, label.text, "-", width))
    lines.extend(f"{'':>{width}} = help: {line}" for line in diagnostic.help)
    return "\n".join(lines)
