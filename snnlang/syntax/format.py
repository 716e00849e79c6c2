"""From tree to text: the one canonical form of a program.

Four spaces to a level, ``a*b``, ``a/b``, ``a^b`` tight and all other operators spaced, as few brackets as keep the tree,
one blank line between the items of a file. Comments stay where they are, those inside brackets move to the line above;
single blank lines inside a block stay. ``parse(format_file(tree)) == tree``, and formatting twice changes nothing. Not a
goal: keeping the author's spacing or line breaks. A tree that was built and not read prints as well; its spans are then
not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from snnlang.diagnostics import Source, Span
from snnlang.syntax import tree
from snnlang.syntax.columns import Row, aligned
from snnlang.syntax.parse import parse
from snnlang.syntax.print import (
    SOFT_WORD_FIRST,
    declaration_parts,
    print_argument,
    print_expression,
    print_gradient,
    print_left_side,
    print_list,
    print_number,
    print_operand,
    print_parameters,
    print_quantity,
    print_shape,
    print_stage,
    print_statement,
    print_trigger,
    print_unit,
    quoted,
)
from snnlang.syntax.wrap import INDENT, WIDTH, Piece, break_open

__all__ = [
    "format_file", "format_source", "print_argument", "print_expression", "print_number", "print_quantity", "print_statement",
    "print_unit",
]


def format_file(file: tree.File) -> str:
    """The canonical text of a file, with its comments."""
    return _Printer(file).text()


def format_source(source: Source) -> str:
    """The canonical form of a text. Raises SnnError where it cannot be read."""
    return format_file(parse(source))


class _Printer:
    """Prints items line by line, and before each line the comments that stood above it."""

    def __init__(self, file: tree.File) -> None:
        self.file = file
        self.lines: list[str] = []
        self.comments = sorted(file.comments, key=lambda comment: comment.span.start)
        self.next_comment = 0
        self.last_line: int | None = None  # the line of the source that was printed last

    def text(self) -> str:
        previous: tree.Item | None = None
        for item in self.file.items:
            self._between_items(previous, item)
            self._item(item)
            previous = item
        self._comments_before(None, "", keep_gap=True)
        return "\n".join(self.lines) + "\n" if self.lines else ""

    # --- comments and blank lines

    def _line_of(self, span: Span, at_end: bool = False) -> int | None:
        if not span.source.text:
            return None
        return span.source.position(max(span.end - 1, span.start) if at_end else span.start)[0]

    def _gap(self, line: int | None) -> None:
        """Keep one blank line of the source above this line of it."""
        if line is None or self.last_line is None or line <= self.last_line + 1 or not self.lines or not self.lines[-1]:
            return
        if self.lines[-1].endswith(":") and not self.lines[-1].lstrip().startswith("#"):
            return
        self.lines.append("")

    def _comments_before(self, place: int | None, indent: str, keep_gap: bool) -> None:
        """Print the comments that stand before an offset of the source (all of them for None)."""
        while self.next_comment < len(self.comments):
            comment = self.comments[self.next_comment]
            if place is not None and comment.span.start >= place:
                return
            line = self._line_of(comment.span)
            if keep_gap and comment.own_line:
                self._gap(line)
            self.lines.append(indent + comment.text)
            self.last_line = line if line is not None else self.last_line
            self.next_comment += 1

    def _inner_comments(self, indent: str) -> None:
        """Before a block is left: the comments below its last line that are indented as far as it."""
        while self.next_comment < len(self.comments):
            comment = self.comments[self.next_comment]
            line, column = comment.span.source.position(comment.span.start)
            if not comment.own_line or column - 1 < len(indent) or self._code_between(comment):
                return
            self._gap(line)
            self.lines.append(indent + comment.text)
            self.last_line = line
            self.next_comment += 1

    def _code_between(self, comment: tree.Comment) -> bool:
        """Whether code stands between the last printed line and a comment."""
        if self.last_line is None:
            return False
        source = comment.span.source
        between = source.text[source.line_starts[min(self.last_line, len(source.line_starts) - 1)] : comment.span.start]
        return any(line.strip() and not line.lstrip().startswith("#") for line in between.split("\n"))

    def _emit(self, indent: str, text: str, span: Span, end: Span | None = None) -> None:
        """Print one line of code: what stood above it, itself, and the comment behind it.

        ``span`` is the place the text came from, ``end`` that of its last part if only its head is printed.
        """
        line = self._line_of(span)
        if line is None:
            self.lines.append(indent + text)
            return
        self._comments_before(span.start, indent, keep_gap=True)
        last = end or span
        last_line = self._line_of(last, at_end=True)
        inside = last.end
        self._gap(line)
        self._comments_before(inside, indent, keep_gap=False)  # from inside brackets: to the line above
        trailing = ""
        if self.next_comment < len(self.comments):
            comment = self.comments[self.next_comment]
            if not comment.own_line and self._line_of(comment.span) == last_line:
                trailing = "  " + comment.text
                self.next_comment += 1
        self.lines.append(indent + text + trailing)
        self.last_line = last_line

    def _between_items(self, previous: tree.Item | None, item: tree.Item) -> None:
        if previous is None:
            return
        if _is_short(previous) and _is_short(item) and (type(previous) is type(item) or self._line_of(item.span) is not None):
            return  # their gap is the author's
        if self.next_comment < len(self.comments) and self.comments[self.next_comment].span.start < item.span.start:
            first = self.comments[self.next_comment]
            if not first.own_line:
                return
        if self.lines and self.lines[-1]:
            self.lines.append("")

    # --- items

    def _item(self, item: tree.Item) -> None:
        match item:
            case tree.Import(dots=dots, path=path, names=names):
                self._emit("", f"from {'.' * dots}{'.'.join(path)} import {', '.join(names)}", item.span)
            case tree.Const(name=name, value=value):
                self._emit("", f"const {name} = {print_expression(value)}", item.span)
            case tree.Function(kind=kind, name=name, parameters=parameters, value=value, doc=doc):
                self._emit("", f"{kind} {name}({print_parameters(parameters)}) = {print_expression(value)}{quoted(doc)}", item.span)
            case tree.Model(kind=kind, name=name, base=base, doc=doc, members=members):
                self._head(f"{kind} {name}{f'({base})' if base else ''}:", item.span)
                self._doc(doc)
                self._members(members)
                self._inner_comments(INDENT)
            case tree.Network(name=name, parameters=parameters, doc=doc, lines=lines):
                self._head(f"network {name}{f'({print_parameters(parameters)})' if parameters else ''}:", item.span)
                self._doc(doc)
                for line in lines:
                    self._network_line(line)
                self._inner_comments(INDENT)
            case tree.Experiment(kind=kind, network=network, name=label, lines=entries, doc=doc):
                self._head(f"{kind} {print_operand(network)}{f' as {label}' if label else ''}:", item.span)
                self._doc(doc)
                for entry in entries:
                    self._experiment_line(entry)
                self._inner_comments(INDENT)

    def _head(self, text: str, span: Span, indent: str = "") -> None:
        """The head of a block; its own end is the line of its colon."""
        self._emit(indent, text, span, self._head_span(span))

    def _head_span(self, span: Span) -> Span:
        """From the start of a block to the colon that ends its head."""
        text = span.source.text
        depth, place = 0, span.start
        while place < min(span.end, len(text)):
            sign = text[place]
            if sign == "#":
                place = text.find("\n", place)
                if place < 0:
                    break
            elif sign == '"':
                place = text.find('"', place + 1)
                if place < 0:
                    break
            elif sign in "([":
                depth += 1
            elif sign in ")]":
                depth -= 1
            elif sign == ":" and depth == 0:
                return Span(span.source, span.start, place + 1)
            place += 1
        return Span(span.source, span.start, span.start)

    def _doc(self, doc: str | None) -> None:
        if doc is not None:
            if self.last_line is not None and self.next_comment <= len(self.comments):
                source = self._source()
                if source is not None:
                    self._doc_from(source, doc)
                    return
            self.lines.append(f'{INDENT}"{doc}"')

    def _source(self) -> Source | None:
        return self.file.span.source if self.file.span.source.text else None

    def _doc_from(self, source: Source, doc: str) -> None:
        start = source.text.find(f'"{doc}"', source.line_starts[min(self.last_line or 0, len(source.line_starts) - 1)])
        if start < 0:
            self.lines.append(f'{INDENT}"{doc}"')
            return
        self._emit(INDENT, f'"{doc}"', Span(source, start, start + len(doc) + 2))

    # --- members

    def _members(self, members: tuple[tree.Member, ...]) -> None:
        number = 0
        while number < len(members):
            member = members[number]
            if isinstance(member, tree.Declaration) and member.grouped:
                end = number
                while end < len(members) and _same_group(member, members[end]):
                    end += 1
                self._declaration_block(members[number:end])
                number = end
                continue
            if isinstance(member, tree.Declaration):
                end = self._paragraph_end(members, number)
                self._declarations([m for m in members[number:end] if isinstance(m, tree.Declaration)], INDENT)
                number = end
                continue
            self._member(member)
            number += 1

    def _paragraph_end(self, members: Sequence[tree.Member], start: int) -> int:
        """Behind the last of the declarations that follow one another line by line."""
        end = start + 1
        while end < len(members):
            before, member = members[end - 1], members[end]
            if not isinstance(member, tree.Declaration) or member.grouped != getattr(before, "grouped", False):
                break
            line, above = self._line_of(member.span), self._line_of(before.span, at_end=True)
            if line is not None and above is not None and line != above + 1:
                break
            end += 1
        return end

    def _declarations(self, lines: Sequence[tree.Declaration], indent: str) -> None:
        """A paragraph of declarations in columns."""
        rows = []
        for line in lines:
            words = () if line.grouped else (*line.adjectives, line.role)
            role = " ".join((*(("override",) if line.override else ()), *words))
            name, value, bounds, doc = declaration_parts(line)
            rows.append(Row(role, f"{role} {name}".strip(), value, bounds, doc))
        for line, text in zip(lines, aligned(rows, indent)):
            self._emit(indent, text, line.span)

    def _declaration_block(self, members: Sequence[tree.Member]) -> None:
        lines = [member for member in members if isinstance(member, tree.Declaration)]
        head = " ".join((*lines[0].adjectives, f"{lines[0].role}:"))
        self._block_head(INDENT, head, lines[0].span)
        start = 0
        while start < len(lines):
            end = self._paragraph_end(lines, start)
            self._declarations(lines[start:end], INDENT * 2)
            start = end
        self._inner_comments(INDENT * 2)

    def _block_head(self, indent: str, text: str, first: Span) -> None:
        """A head that has no node of its own, above the line of its first part."""
        line = self._line_of(first)
        if line is None:
            self.lines.append(indent + text)
            return
        source = first.source
        number = line - 1
        while number > 1 and (not source.line(number).strip() or source.line(number).lstrip().startswith("#")):
            number -= 1
        start = source.line_starts[number - 1]
        content = source.line(number)
        begin = start + len(content) - len(content.lstrip())
        colon = content.find(":")
        self._emit(indent, text, Span(source, begin, start + colon + 1 if colon >= 0 else begin))

    def _member(self, member: tree.Member) -> None:
        override = "override " if member.override else ""
        match member:
            case tree.Declaration():
                self._declarations([member], INDENT)
                return
            case tree.Equation(left=left, right=right):
                text = f"{print_left_side(left)} = {print_expression(right)}"
            case tree.SpikeRule(kind=kind, condition=condition, gradient=gradient):
                word = "when" if kind == "when" else f"with {kind}"
                text = f"spike {word} {print_expression(condition)}{print_gradient(gradient)}"
            case tree.EventRule(name=name, condition=when):
                text = f"event {name}" + ("" if when is None else f" when {print_expression(when)}")
            case tree.PostEvent(name=name):
                text = f"per_post event {name}"
            case tree.Trace(name=name, trigger=trigger, decay=decay, option=option):
                text = f"trace {name} on {print_trigger(trigger)} decay {print_expression(decay)}{f', {option}' if option else ''}"
            case tree.Order(first=first, second=second):
                text = f"order {first}, {second}"
            case tree.Output(value=value):
                text = f"output {print_expression(value)}"
            case tree.Tick(value=value):
                text = f"step = {print_expression(value)}"
            case tree.Deliver():
                text = print_statement(member)
            case tree.Handler(triggers=triggers, body=body, inline=inline):
                head = f"{override}on {', '.join(map(print_trigger, triggers))}:"
                self._suite(INDENT, head, body, inline, member.span)
                return
            case tree.Adjoint(equations=equations):
                self._head(f"{override}adjoint:", member.span, INDENT)
                for equation in equations:
                    self._emit(INDENT * 2, f"{print_left_side(equation.left)} = {print_expression(equation.right)}", equation.span)
                self._inner_comments(INDENT * 2)
                return
        self._emit(INDENT, override + text, member.span)

    def _suite(self, indent: str, head: str, body: tuple[tree.Statement, ...], inline: bool, span: Span) -> None:
        """A head and its statements, on one line where the author had it so and it fits."""
        if inline and len(body) == 1:
            text = f"{head} {self._inline(body[0])}"
            if len(indent) + len(text) <= WIDTH:
                self._emit(indent, text, span)
                return
        self._head(head, span, indent)
        for statement in body:
            self._statement(indent + INDENT, statement)
        self._inner_comments(indent + INDENT)

    def _inline(self, statement: tree.Statement) -> str:
        """A statement behind a colon; what cannot stand there prints too long to be put there."""
        match statement:
            case tree.If(branches=(tree.Branch(condition=condition, body=(only,)),)) if condition is not None:
                return f"if {print_expression(condition)}: {self._inline(only)}"
            case tree.ForVacant(body=(only,)):
                return f"for vacant: {self._inline(only)}"
            case tree.If() | tree.ForVacant():
                return " " * WIDTH
            case _:
                return print_statement(statement)

    def _statement(self, indent: str, statement: tree.Statement) -> None:
        match statement:
            case tree.If(branches=branches):
                for number, branch in enumerate(branches):
                    word = "if" if number == 0 else "elif" if branch.condition is not None else "else"
                    condition = "" if branch.condition is None else f" {print_expression(branch.condition)}"
                    self._suite(indent, f"{word}{condition}:", branch.body, branch.inline, branch.span)
            case tree.ForVacant(body=body, inline=inline):
                self._suite(indent, "for vacant:", body, inline, statement.span)
            case _:
                self._emit(indent, print_statement(statement), statement.span)

    # --- networks

    def _network_line(self, line: tree.NetworkLine) -> None:
        match line:
            case tree.PopulationLine(name=name, shape=shape, model=model):
                self._wrapped(f"population {name}{print_shape(shape)}: ", [Piece(model)], line.span)
            case tree.BlockLine(name=name, network=network):
                self._wrapped(f"block {name}: ", [Piece(network)], line.span)
            case tree.InputLine(name=name, shape=shape):
                self._emit(INDENT, f"input {name}{print_shape(shape)}", line.span)
            case tree.OutputLine(name=name):
                self._emit(INDENT, f"output {name}", line.span)
            case tree.Connect(name=label, pre=pre, targets=targets, pattern=pattern, via=via, options=options):
                head = (f"connect {f'{label} = ' if label else ''}{print_operand(pre)} -> "
                        f"{', '.join(map(print_operand, targets))}: ")
                pieces = [Piece(pattern)]
                if via is not None:
                    pieces.append(Piece(via, " via "))
                pieces += [Piece(option, ", ") for option in options]
                self._wrapped(head, pieces, line.span)
            case tree.Chain(stages=stages):
                self._chain(stages, line.span)

    def _wrapped(self, head: str, pieces: list[Piece], span: Span) -> None:
        """One line if it fits; else calls and lists are broken open after their bracket."""
        text = head + "".join(piece.text() for piece in pieces)
        width = WIDTH - len(INDENT)
        if len(text) > width:
            text = break_open(head, pieces, width)
        self._emit(INDENT, text.replace("\n", "\n" + INDENT), span)

    def _chain(self, stages: tuple[tree.Stage, ...], span: Span) -> None:
        texts = [print_stage(stage) for stage in stages]
        first = stages[0].value
        if SOFT_WORD_FIRST.match(texts[0] + " ->"):
            texts[0] = f"({print_operand(first)}){texts[0][len(print_operand(first)):]}"
        text = " -> ".join(texts)
        if len(INDENT + text) <= WIDTH and not self._was_broken(stages):
            self._emit(INDENT, text, span)
            return
        indent = INDENT + " " * min(len(texts[0]) + 1, 12) if len(texts[0]) < 12 else INDENT * 2
        lines, current = [], INDENT + texts[0]
        breaks = self._breaks(stages)
        for number, stage in enumerate(texts[1:], 1):
            if number in breaks or len(current) + len(stage) + 4 > WIDTH:
                lines.append(current)
                current = f"{indent}-> {stage}"
            else:
                current += f" -> {stage}"
        lines.append(current)
        self._emit(INDENT, "\n".join(lines).lstrip(), span)

    def _breaks(self, stages: tuple[tree.Stage, ...]) -> set[int]:
        """The stages that began a line in the source."""
        numbers = set()
        for number, (before, stage) in enumerate(pairwise(stages), 1):
            one, other = self._line_of(before.span, at_end=True), self._line_of(stage.span)
            if one is not None and other is not None and other > one:
                numbers.add(number)
        return numbers

    def _was_broken(self, stages: tuple[tree.Stage, ...]) -> bool:
        return bool(self._breaks(stages))

    # --- experiments

    def _experiment_line(self, line: tree.ExperimentLine) -> None:
        match line:
            case tree.Setting(name=name, value=value):
                text = f"{name} = {print_expression(value)}"
            case tree.Record(items=items, period=period):
                text = f"record {print_list(items)}" + ("" if period is None else f" every {print_expression(period)}")
            case tree.Plot(items=items):
                text = f"plot {print_list(items)}"
            case tree.Sweep(name=name, values=value):
                text = f"sweep {name} in {print_expression(value)}"
            case tree.Drive(target=target, value=value, from_data=from_data):
                text = f"drive {print_operand(target)} {'from' if from_data else '='} {print_expression(value)}"
            case tree.At(time=time, statement=statement):
                text = f"at {print_expression(time)}: {self._inline(statement)}"
            case tree.Clamp(target=target, value=value):
                text = f"clamp {print_operand(target)} = {print_expression(value)}"
            case tree.Freeze(targets=targets):
                text = f"freeze {', '.join(map(print_operand, targets))}"
            case tree.Present(data=data, columns=columns, duration=duration, rest=rest, epochs=epochs):
                text = f"present {print_expression(data)} as {', '.join(columns)} for {print_expression(duration)}"
                text += "" if rest is None else f", rest {print_expression(rest)}"
                text += "" if epochs is None else f", epochs = {print_expression(epochs)}"
        self._emit(INDENT, text, line.span)


def _is_short(item: tree.Item) -> bool:
    return isinstance(item, tree.Import | tree.Const | tree.Function)


def _same_group(first: tree.Declaration, member: tree.Member) -> bool:
    return (isinstance(member, tree.Declaration) and member.grouped and member.role == first.role
            and member.adjectives == first.adjectives)
