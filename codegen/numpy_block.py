"""Lines of Python under headers, with definitions that were found to be needed while a body was written."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Block:
    """Lines and nested blocks under a header; ``late`` are definitions that were found to be needed while the body was written."""

    header: str = ""
    body: list[str | Block] = field(default_factory=list)
    late: dict[str, str] = field(default_factory=dict)

    def line(self, text: str) -> None:
        self.body.append(text)

    def define(self, name: str, text: str) -> str:
        self.late.setdefault(name, text)
        return name

    def block(self, header: str) -> Block:
        """A nested block, the last one when it has the same header and does not change what the header tests."""
        last = self.body[-1] if self.body else None
        if (
            isinstance(last, Block)
            and last.header == header
            and header.endswith(".size:")
            and not last.binds(header[3:-6])
        ):
            return last
        made = Block(header)
        self.body.append(made)
        return made

    def binds(self, name: str) -> bool:
        return any(line.startswith(f"{name} = ") for line in self.lines(0, bare=True))

    def idle(self) -> bool:
        """Whether nothing is done here: comments alone do not make a block."""
        return not self.late and all(
            i.idle() if isinstance(i, Block) else i == "" or i.startswith("#") for i in self.body
        )

    def comment(self, text: str) -> None:
        for line in (f"# {line.strip()}" for line in text.splitlines() if line.strip()):
            if not self.body or self.body[-1] != line:
                self.line(line)

    def lines(self, depth: int, bare: bool = False) -> list[str]:
        indent = "" if bare else "    " * depth
        inner = indent if not self.header or bare else indent + "    "
        result = [f"{indent}{self.header}"] if self.header else []
        result += [f"{inner}{name} = {text}" for name, text in self.late.items()]
        for item in self.body:
            if isinstance(item, Block):
                if not item.idle():
                    result += item.lines(depth + (1 if self.header else 0), bare)
            elif item:
                result.append(f"{inner}{item}")
        if self.header and self.idle():
            result.append(f"{inner}pass")
        return result
