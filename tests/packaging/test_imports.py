"""Imports run one way along the street, and ``import snnlang`` stays small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What each room may see besides itself. The street runs from the first to the last; export and the language server
# stand beside it.
STREET = (
    "frozen",
    "diagnostics",
    "cache",
    "files",
    "reading",
    "syntax",
    "model",
    "dynamics",
    "codegen",
    "compile",
    "prepared",
    "explain",
    "data",
    "runtime",
    "torch",
    "builder",
    "cli",
)
SEES: dict[str, tuple[str, ...]] = {room: STREET[:index] for index, room in enumerate(STREET)}
SEES["export"] = ("diagnostics", "files", "syntax", "model", "dynamics")
SEES["lsp"] = ("diagnostics", "files", "syntax", "model")
SEES["stdlib"] = ()
SEES["model"] = (*SEES["model"], "stdlib")  # where the library lies
SEES["prepared"] = (*SEES["prepared"], "stdlib")
SEES["cli"] = (*SEES["cli"], "export", "stdlib")
SEES["__main__"] = ("cli",)
SEES["__init__"] = tuple(SEES)


def modules() -> list[tuple[str, str, Path]]:
    """(room, dotted name, path) of every module."""
    found = []
    for top in ("snnlang", "codegen", "stdlib"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[0] != "snnlang":
                parts = ("snnlang", *parts)
            if parts[1] in ("codegen", "stdlib") and top == "snnlang":
                continue  # seen through the link
            found.append((parts[1], ".".join(parts), path))
    return found


def imported(path: Path, name: str) -> list[tuple[int, str]]:
    """(line, dotted name) of everything in ``snnlang`` that a module imports, those of functions included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: list[tuple[int, str]] = []
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    if path.name == "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.extend((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package[: len(package) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            found.extend((node.lineno, f"{base}.{alias.name}") for alias in node.names)
    return [(line, target) for line, target in found if target.split(".")[0] == "snnlang"]


@pytest.mark.parametrize(("room", "name", "path"), modules(), ids=[name for _, name, _ in modules()])
def test_imports_run_one_way(room: str, name: str, path: Path) -> None:
    allowed = {room, *SEES[room], "__version__"}
    for line, target in imported(path, name):
        parts = target.split(".")
        seen = parts[1] if len(parts) > 1 else "__init__"
        if room == "__init__" or seen in ("__version__",):
            continue
        assert seen in allowed, f"{path.relative_to(ROOT)}:{line}: {room} must not import {target}"


def test_sympy_lives_in_dynamics_only() -> None:
    """After lowering there is no sympy: only dynamics, and the border ``codegen/lower``, may import it."""
    for room, name, path in modules():
        if room == "dynamics" or name.startswith("snnlang.codegen.lower"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            if any(n.split(".")[0] == "sympy" for n in names):
                pytest.fail(f"{path.relative_to(ROOT)} imports sympy")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_snnlang_is_small() -> None:
    heavy = ("cupy", "pygls", "nir", "matplotlib", "sympy", "lark", "rich", "numpy", "click", "neo")
    code = f"import sys, snnlang; print(' '.join(m for m in {heavy!r} if m in sys.modules))"
    assert run_python(code) == ""


NEEDLESS_WARM = (
    *("lark", "sympy", "rich", "matplotlib", "tempfile", "shutil", "zipfile", "subprocess", "csv", "difflib"),
    *(
        "snnlang.syntax.parse",
        "snnlang.syntax.tree",
        "snnlang.syntax.format",
        "snnlang.model.check",
        "snnlang.model.elaborate",
    ),
    *(
        "snnlang.model.library",
        "snnlang.dynamics",
        "snnlang.codegen.lower",
        "snnlang.codegen.simplify",
        "snnlang.explain",
    ),
    *(
        "snnlang.codegen.target_numpy",
        "snnlang.codegen.target_c",
        "snnlang.codegen.c_kernel",
        "snnlang.codegen.numpy_kernel",
    ),
    *("snnlang.codegen.interpret", "snnlang.runtime.plotting"),
)


@pytest.mark.parametrize("target", ["numpy", "c"])
def test_a_warm_run_imports_little(target: str, tmp_path: Path) -> None:
    """What was prepared and compiled before is run without parser, checker, lowering, printers and compiler."""
    if target == "c":
        from snnlang.runtime.compiler import find

        if find() is None:
            pytest.skip("no C compiler")
    code = (
        f"import os, sys; os.environ['SNN_CACHE_DIR'] = {str(tmp_path)!r}; from snnlang.cli.program import run;"
        "from snnlang import prepared; prepared.package = lambda: 'a tree that nobody edits meanwhile';"
        f"run(['run', {str(ROOT / 'benchmarks' / 'cuba.snn')!r}, '--duration', '1ms', '--target', {target!r}, '--quiet']);"
        f"print(' '.join(m for m in {NEEDLESS_WARM!r} if m in sys.modules))"
    )
    cold = run_python(code).split()
    assert "snnlang.codegen.lower" in cold
    assert "sympy" not in cold  # where an exact step is known without it
    assert "lark" not in cold  # the table is shipped
    assert run_python(code) == ""


def test_checking_imports_no_device() -> None:
    path = str(ROOT / "benchmarks" / "cuba.snn")
    heavy = ("lark", "sympy", "snnlang.runtime.simulation", "snnlang.codegen.lower", "tempfile")
    code = f"import sys, snnlang; snnlang.check({path!r}); print(' '.join(m for m in {heavy!r} if m in sys.modules))"
    assert run_python(code) == ""


def test_public_names_exist() -> None:
    code = "import snnlang; print(all(getattr(snnlang, name) is not None for name in snnlang.__all__))"
    assert run_python(code) == "True"


def test_codegen_and_stdlib_refuse_to_be_top_level() -> None:
    for name in ("codegen", "stdlib"):
        command = [sys.executable, "-c", f"import {name}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode != 0
        assert f"import it as snnlang.{name}" in done.stderr
