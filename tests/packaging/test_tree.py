"""The list of packages equals the tree: a directory missing from it would silently be missing from the wheel."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def listed_packages() -> list[str]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^packages = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    return re.findall(r'"([\w.]+)"', block.group(1))


def packages_of_the_tree() -> list[str]:
    names = set()
    for module in (ROOT / "snnlang").rglob("*.py"):
        names.add(".".join(module.parent.relative_to(ROOT).parts))
    for place in ("codegen", "stdlib"):
        for module in (ROOT / place).rglob("*.py"):
            names.add(".".join(("snnlang", *module.parent.relative_to(ROOT).parts)))
    return sorted(names)


def test_listed_packages_are_the_directories_with_modules() -> None:
    assert sorted(set(packages_of_the_tree())) == sorted(listed_packages())


def test_every_package_has_an_init() -> None:
    for name in listed_packages():
        path = ROOT.joinpath(*name.split("."))
        assert (path / "__init__.py").is_file(), f"{name} has no __init__.py"


def test_links_are_relative_and_point_at_the_top() -> None:
    for name in ("codegen", "stdlib"):
        link = ROOT / "snnlang" / name
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{name}"


def test_every_data_file_is_named_by_package_data() -> None:
    """Files of a package that are neither Python nor named in package-data would not ship."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^\[tool.setuptools.package-data\]\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    patterns = {
        name: re.findall(r'"([^"]+)"', line)
        for name, line in re.findall(r'^"([\w.]+)" = \[(.*)\]', block.group(1), re.M)
    }
    for place, package in (("snnlang", "snnlang"), ("codegen", "snnlang.codegen"), ("stdlib", "snnlang.stdlib")):
        shipped = {path for pattern in patterns[package] for path in (ROOT / place).glob(pattern)}
        for path in (ROOT / place).rglob("*"):
            inside = path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
            if inside and path.suffix != ".py":
                assert path in shipped, f"{path.relative_to(ROOT)} would not ship"
    for page in (ROOT / "snnlang").rglob("*.md"):
        assert page.parent == ROOT / "snnlang" / "pages", f"{page} is not in snnlang/pages"


def test_no_executable_text_outside_the_rooms() -> None:
    """No ``utils``, ``helpers``, ``common``, ``core``, ``base`` or ``manager`` modules."""
    refused = {"utils", "helpers", "common", "core", "base", "manager"}
    for place in ("snnlang", "codegen"):
        for module in (ROOT / place).rglob("*.py"):
            assert module.stem not in refused, module
