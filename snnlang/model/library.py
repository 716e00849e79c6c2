"""Finding imported files: ``from stdlib.neurons import LIF``, ``from .mine import Foo``.

A module is a file, or a folder in which each file holds one idea; a folder is indexed by a scan of its first words, so that only the
files that are needed are parsed. Every file is read once in a run. Nothing outside the shipped library and the folders of the importing
file is looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from snnlang import stdlib
from snnlang.diagnostics import Collector, Label, SnnError, Source, Span
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Names
from snnlang.reading import consult, read_source
from snnlang.syntax import tree
from snnlang.syntax.parse import parse_recovering

_DECLARED = re.compile(r"^(?:neuron|synapse|func|kernel|network|const)[ \t]+(\w+)", re.MULTILINE)

Named = tree.Const | tree.Function | tree.Model | tree.Network


@dataclass
class Module:
    """A parsed file: what it declares, and the modules that its imports come from (None: the import failed).

    ``names`` is the table of its constants and functions, filled by the checker.
    """

    file: tree.File
    place: Path
    items: dict[str, Named] = field(default_factory=dict)
    imports: dict[str, tuple[Module | None, Span]] = field(default_factory=dict)
    names: Names = field(default_factory=Names)

    @property
    def name(self) -> str:
        return self.file.span.source.name

    def owner(self, name: str) -> Module | None:
        """The module that declares a name this file can use; None where nothing does or its import failed."""
        if name in self.items:
            return self
        return self.imports[name][0] if name in self.imports else None


class Library:
    """Every file of one run, parsed at most once. ``roots`` maps the first word of an import to a folder."""

    def __init__(self, roots: dict[str, Path] | None = None) -> None:
        self.roots = roots if roots is not None else {"stdlib": Path(next(iter(stdlib.__path__)))}
        self._modules: dict[Path, Module | None] = {}
        self._folders: dict[Path, dict[str, list[Path]]] = {}
        self._loading: list[tuple[Path, str]] = []

    def module(self, file: tree.File, collector: Collector) -> Module:
        """The module of a file that is already parsed; its imports are loaded."""
        place = Path(file.span.source.name)
        module = Module(file, place)
        self._loading.append((_key(place), place.name))
        try:
            self._fill(module, collector)
        finally:
            self._loading.pop()
        return module

    def names(self, folder: str) -> dict[str, Path]:
        """Every name that a folder of the shipped library declares (``neurons``), with its file."""
        place = self.roots["stdlib"] / folder
        return {name: paths[0] for name, paths in sorted(self._index(place).items())}

    def shipped(self, name: str) -> Module | None:
        """A file of the shipped library by its name (``surrogates``), without a report when it is missing."""
        path = self.roots["stdlib"] / f"{name}.snn"
        if not path.is_file():
            return None
        source = Source(str(path), "")
        return self._load(path, Span(source, 0, 0), Collector())

    # --- loading ------------------------------------------------------------------------------------------------------

    def _fill(self, module: Module, collector: Collector) -> None:
        for item in module.file.items:
            if isinstance(item, (tree.Const, tree.Function, tree.Model, tree.Network)):
                first = module.items.setdefault(item.name, item)
                if first is not item:
                    collector.error(
                        "E104",
                        f"`{item.name}` is declared twice in this file",
                        _name_span(item),
                        "the second time",
                        labels=(Label(_name_span(first), "the first time"),),
                        help="rename one of them",
                    )
        for item in module.file.items:
            if isinstance(item, tree.Import):
                self._import(module, item, collector)

    def _import(self, module: Module, node: tree.Import, collector: Collector) -> None:
        files = self._find(module, node, collector)
        for position, name in enumerate(node.names):
            span = node.name_spans[position] if position < len(node.name_spans) else node.span
            if name in module.imports or name in module.items:
                first = module.imports[name][1] if name in module.imports else _name_span(module.items[name])
                collector.error(
                    "E104",
                    f"`{name}` is declared twice in this file",
                    span,
                    "imported here",
                    labels=(Label(first, "declared here"),),
                    help="leave one of them out",
                )
                continue
            module.imports[name] = (self._owner(node, name, span, files, collector), span)

    def _owner(
        self, node: tree.Import, name: str, span: Span, files: Path | None, collector: Collector
    ) -> Module | None:
        """The module that declares an imported name."""
        if files is None:
            return None
        text = _import_text(node)
        path = files
        if files.is_dir():
            index = self._index(files)
            found = index.get(name)
            if found is None:
                collector.error(
                    "E106", f"`{text}` has no `{name}`", span, "not there", help=self._elsewhere(name, list(index))
                )
                return None
            if len(found) > 1:
                places = " and ".join(f"`{path.name}`" for path in found)
                collector.error(
                    "E126",
                    f"`{text}` has two `{name}`",
                    span,
                    f"in {places}",
                    help=f"name the file: `from {text}{'' if text.endswith('.') else '.'}{found[0].stem} import {name}`",
                )
                return None
            path = found[0]
        target = self._load(path, node.span, collector)
        if target is None:
            return None
        if name not in target.items:
            helps = self._elsewhere(name, list(target.items))
            if name in target.imports:
                helps = (f"`{path.name}` imports it itself; import it from where it is declared",)
            if name not in target.file.lost:
                collector.error("E106", f"`{text}` has no `{name}`", span, "not there", help=helps)
            return None
        return target

    def _elsewhere(self, name: str, here: list[str]) -> tuple[str, ...]:
        """Where else a name exists, or the nearest one."""
        for root, folder in self.roots.items():
            if not folder.is_dir():
                continue
            for place in sorted(folder.rglob("*.snn")):
                if name in _DECLARED.findall(_text(place)):
                    parts = place.relative_to(folder).with_suffix("").parts
                    shorter = parts[:-1] if len(parts) > 1 else parts
                    return (f"it is in `{'.'.join((root, *shorter))}`",)
        return help_for(name, here) or ((f"it has {listing(sorted(here))}",) if here else ("it declares nothing",))

    def _find(self, module: Module, node: tree.Import, collector: Collector) -> Path | None:
        """The file or folder that an import names."""
        folder = module.place.parent
        tried: list[str] = []
        path = node.path
        if node.dots:
            for _ in range(node.dots - 1):
                folder = folder.parent if folder.name not in ("", "..") else folder / ".."
        elif path and path[0] in self.roots:
            folder, path = self.roots[path[0]], path[1:]
        else:
            text = ".".join(node.path)
            near = help_for(path[0] if path else "", self.roots)
            beside = folder.joinpath(*path)
            if beside.with_suffix(".snn").is_file() or beside.is_dir():
                near = (f"write `from .{text} import …` for a file beside this one",)
            collector.error(
                "E105",
                f"there is no module `{text}`",
                node.span,
                "not found",
                help=near
                or (f"the shipped library is `stdlib`; write `from .{text} import …` for a file beside this one",),
            )
            return None
        base = folder.joinpath(*path)
        consult(base)
        if path:
            file = base.with_name(base.name + ".snn")
            consult(file)
            if file.is_file():
                return file
            tried.append(self._shown(file))
        if base.is_dir():
            return base
        tried.append(self._shown(base) + "/")
        names = (
            []
            if not base.parent.is_dir()
            else [p.stem for p in sorted(base.parent.iterdir()) if p.suffix == ".snn" or p.is_dir()]
        )
        near = help_for(path[-1], names) if path else ()
        collector.error(
            "E105",
            f"there is no module `{_import_text(node)}`",
            node.span,
            "not found",
            help=(f"tried {' and '.join(tried)}", *near),
        )
        return None

    def _load(self, path: Path, span: Span, collector: Collector) -> Module | None:
        key = _key(path)
        names = [name for _, name in self._loading]
        for position, (loading, _) in enumerate(self._loading):
            if loading == key:
                chain = " -> ".join([*names[position:], path.name])
                collector.error(
                    "E107",
                    "these files import each other in a circle",
                    span,
                    chain,
                    help="move what both need into a third file",
                )
                return None
        if key in self._modules:
            return self._modules[key]
        self._modules[key] = None
        try:
            source = read_source(path)
        except SnnError as failure:
            for diagnostic in failure.diagnostics:
                collector.add(diagnostic if diagnostic.span is not None else replace(diagnostic, span=span))
            return None
        source = Source(self._shown(path), source.text)
        file, diagnostics = parse_recovering(source)
        for diagnostic in diagnostics:
            collector.add(diagnostic)
        if file is None:
            return None
        module = Module(file, path)
        self._loading.append((key, path.name))
        try:
            self._fill(module, collector)
        finally:
            self._loading.pop()
        self._modules[key] = module
        return module

    def _index(self, folder: Path) -> dict[str, list[Path]]:
        """The names declared by the files of a folder, by a cheap scan."""
        if folder not in self._folders:
            index: dict[str, list[Path]] = {}
            for path in sorted(folder.glob("*.snn")):
                consult(path)
                for name in _DECLARED.findall(_text(path)):
                    files = index.setdefault(name, [])
                    if path not in files:
                        files.append(path)
            self._folders[folder] = index
        return self._folders[folder]

    def _shown(self, path: Path) -> str:
        """A path for messages: from the library's root, else as it was reached."""
        for name, folder in self.roots.items():
            if path.is_relative_to(folder):
                return Path(name, path.relative_to(folder)).as_posix()
        return path.as_posix()


def _key(path: Path) -> Path:
    return path.resolve()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _import_text(node: tree.Import) -> str:
    return "." * node.dots + ".".join(node.path)


def _name_span(item: Named) -> Span:
    """The name in the head of an item."""
    given = getattr(item, "name_span", None)
    if isinstance(given, Span):
        return given
    start = item.span.text.find(item.name)
    return (
        item.span
        if start < 0
        else Span(item.span.source, item.span.start + start, item.span.start + start + len(item.name))
    )
