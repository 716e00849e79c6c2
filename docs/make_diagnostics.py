"""Write docs/diagnostics.md, the index of all diagnostics, from the pages that ``snn explain`` shows.

Run it after adding or changing a page: ``python docs/make_diagnostics.py``. A test compares the result with the file.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "snnlang" / "pages"
CLASSES = {
    "E0": "Text, files and syntax",
    "E1": "Names",
    "E2": "Units",
    "E3": "Neuron models, equations and events",
    "E4": "Synapses",
    "E5": "Networks, patterns and shapes",
    "E6": "Experiments and data",
    "E7": "Methods and targets",
    "E8": "Running, files and output",
    "E9": "Other",
    "W": "Warnings",
}


def index() -> str:
    """The Markdown text of the index: a table of contents by class, then every page."""
    pages = {path.stem: path.read_text(encoding="utf-8").strip() for path in sorted(PAGES.glob("*.md"))}
    lines = [
        "# Diagnostics",
        "",
        f"Every mistake snnlang reports has a code. There are {len(pages)}; `snn explain CODE` prints the page of one.",
        "This file is made from `snnlang/pages/` by `docs/make_diagnostics.py`; change the pages, not this file.",
        "",
    ]
    for prefix, title in CLASSES.items():
        found = [code for code in pages if code.startswith(prefix)]
        if not found:
            continue
        lines += [f"**{title}**", ""]
        for code in found:
            title = heading(pages[code])
            lines.append(f"- [{code}](#{anchor(title)}) {title.split(': ', 1)[-1]}")
        lines.append("")
    for text in pages.values():
        lines += [f"#{text}", ""]
    return "\n".join(lines).rstrip() + "\n"


def heading(text: str) -> str:
    """The first line of a page without its mark."""
    return text.split("\n")[0].lstrip("# ")


def anchor(title: str) -> str:
    """The anchor that GitHub and most Markdown readers give a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    (ROOT / "docs" / "diagnostics.md").write_text(index(), encoding="utf-8")
    print(f"wrote docs/diagnostics.md: {len(list(PAGES.glob('*.md')))} diagnostics")
