"""Write the section "The rooms" of docs/architecture.md: every module with the first sentence of its docstring.

Run it after adding or removing a module: ``python docs/make_rooms.py``. A test sees that every module is named there.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = {
    "snnlang": "the root",
    "snnlang/syntax": "what is written",
    "snnlang/model": "what is meant",
    "snnlang/dynamics": "what it computes",
    "codegen": "from steps to text",
    "snnlang/data": "what is shown",
    "snnlang/runtime": "doing it",
    "snnlang/export": "foreign forms",
    "snnlang/cli": "the command line",
}
BESIDE = """\
### Beside the street

- `snnlang/pages/`: one Markdown page for each diagnostic, shown by `snn explain CODE`
- `stdlib/`: the standard library, in the language itself, one idea a file
- `examples/`: complete experiments, each run by a test; `benchmarks/`: measurements of speed
- `tests/`: one folder for each room; `tests/model/bad/` holds wrong programs with the exact text expected, `tests/targets.py` knows
  what this machine can run
"""


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring, in one line."""
    text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[.;]) (?=[A-Z])", text)[0].rstrip(".")


def section() -> str:
    """The Markdown of the whole section, without its heading."""
    lines = []
    for room, title in ROOMS.items():
        modules = [
            path for path in sorted((ROOT / room).glob("*.py")) if path.name != "__init__.py" or room == "snnlang"
        ]
        if modules:
            lines += [f"### `{room}/`: {title}", "", *(f"- `{path.name}`: {sentence(path)}" for path in modules), ""]
    return "\n".join([*lines, BESIDE])


if __name__ == "__main__":
    place = ROOT / "docs" / "architecture.md"
    before, _, rest = place.read_text(encoding="utf-8").partition("## The rooms\n")
    after = rest[rest.index("## Decisions") :]
    place.write_text(f"{before}## The rooms\n\n{section()}\n{after}", encoding="utf-8")
    print("wrote docs/architecture.md")
