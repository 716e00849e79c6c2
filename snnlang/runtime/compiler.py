"""The machine's C compiler: found, called at most once for a model, its libraries kept in the cache.

Looking for a compiler starts no process: it is known by the path, the size and the time of its program. A compiled library is kept under
the hash of its text, of the compiler, of the flags and of the processor (``-march=native`` makes it this processor's own). An entry names
the digest of its library, which is checked before it is loaded: a damaged one is built again. Where nothing can be cached, it is built in
a temporary folder every time; what only that needs is imported then.
A model is compiled as two halves at the same time (see SNN_HALF in codegen/native/model.h).

Refused: a machine without a compiler (E733), a compiler that compiles nothing (E734), a place where nothing can be written or loaded
(E736). A text that a working compiler refuses is our mistake (E735): it is kept and named.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from snnlang import cache
from snnlang.diagnostics import Diagnostic, SnnError, error
from snnlang.frozen import dataclass

if TYPE_CHECKING:
    import subprocess

Mathematics = Literal["fast", "strict"]
Family = Literal["gcc", "clang", "zig", "unknown"]

#: Changes when a library is built another way from the same text.
EDITION = "2"
KIND = "native"
SUFFIX = ".dll" if sys.platform == "win32" else ".so"
#: Without these a library cannot be made; every other flag is dropped where a compiler does not know it.
NEEDED = ("-std=gnu11", "-fPIC", "-shared", "-pthread")
#: How much effort goes into the loop over time, and into what runs once. More gains nothing: what must be vectorised says so in the text.
MOST, LEAST = "-O2", "-O1"
#: What GCC compiles the functions of batches with: all that their loops gain from -O2, fused products and whole vectors, in two thirds of
#: its time.
BATCHES = (
    "-O1",
    "-fstrict-aliasing",
    "-fexpensive-optimizations",
    "-ftree-pre",
    "-ftree-loop-vectorize",
    "-fvect-cost-model=very-cheap",
    "-fno-ivopts",
)
_INSTALL = {
    "linux": (
        "install one: 'apt install gcc libc6-dev' (or your system's package of gcc), or 'pip install snnlang[cc]'",
    ),
    "darwin": ("install one: 'xcode-select --install', or 'pip install snnlang[cc]'",),
    "win32": ("install one: 'pip install snnlang[cc]', or gcc from https://www.msys2.org",),
}
_TRIAL = """\
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
double snn_trial(double x) { return exp(x); }
"""
_loaded: dict[str, ctypes.CDLL] = {}


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C compiler: how it is started, what kind it is, and what tells it from another one."""

    command: tuple[str, ...]
    family: Family
    mark: str

    @property
    def name(self) -> str:
        """As a user would type it."""
        return " ".join(self.command)


@dataclass(frozen=True, slots=True)
class Library:
    """A loaded library; ``seconds`` is the time that compiling took, 0 when it came from the cache."""

    handle: ctypes.CDLL
    cached: bool
    seconds: float


# --- which compiler ---------------------------------------------------------------------------------------------------


def find() -> Compiler | None:
    """The compiler of ``$SNN_CC``, of ``$CC``, then ``cc``, ``gcc``, ``clang`` on the path, then the ziglang package; None without one.

    A program named by ``$SNN_CC`` is taken or nothing is: whoever names one wants no other. No process is started.
    """
    return _find(os.environ.get("SNN_CC", ""), os.environ.get("CC", ""), os.environ.get("PATH", os.defpath))


def require() -> Compiler:
    """The compiler; raises E733 without one."""
    found = find()
    if found is None:
        raise SnnError(missing())
    return found


def missing() -> Diagnostic:
    """E733: there is no compiler, and what to install."""
    named = os.environ.get("SNN_CC", "")
    if named:
        message = f"SNN_CC names the C compiler '{named}', and there is no such program"
        return Diagnostic("E733", message, help=("name one that is there, or unset SNN_CC",))
    advice = _INSTALL.get(sys.platform, ("install gcc or clang, or 'pip install snnlang[cc]'",))
    message = "the target c needs a C compiler, and none was found (cc, gcc, clang, ziglang)"
    return Diagnostic("E733", message, help=(*advice, "or run with --target numpy"))


@lru_cache(maxsize=8)
def _find(named: str, usual: str, path: str) -> Compiler | None:
    if named:
        return _of_text(named, path)
    for text in (usual, "cc", "gcc", "clang"):
        found = _of_text(text, path) if text else None
        if found is not None:
            return found
    return _of_package()


def _of_text(text: str, path: str) -> Compiler | None:
    """A compiler written as in a shell, with or without arguments (``ccache gcc``)."""
    if os.path.isfile(text):
        words = [text]
    else:
        words = text.split()
    program = _program(words[0], path) if words else None
    if program is None:
        return None
    last = next((word for word in reversed(words) if not word.startswith("-")), words[0])
    described = _program(last, path) or program  # of `ccache gcc`, gcc tells the family
    found = _compiler((program, *words[1:]), described)
    return replace(found, family="zig") if found is not None and "ziglang" in words else found  # python -m ziglang cc


def _program(name: str, path: str) -> str | None:
    if sys.platform == "win32":
        from shutil import which  # endings of programs

        return which(name, path=path)
    places = [name] if "/" in name else [os.path.join(place or ".", name) for place in path.split(os.pathsep)]
    return next((place for place in places if os.path.isfile(place) and os.access(place, os.X_OK)), None)


def _of_package() -> Compiler | None:
    """The Zig compiler that ``pip install snnlang[cc]`` brings."""
    from importlib.util import find_spec

    spec = find_spec("ziglang")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        program = Path(place) / ("zig.exe" if sys.platform == "win32" else "zig")
        if program.is_file():
            return _compiler((str(program), "cc"), str(program))
    return None


def _compiler(command: tuple[str, ...], program: str) -> Compiler | None:
    real = os.path.realpath(program)
    try:
        about = os.stat(real)
    except OSError:
        return None
    return Compiler(command, _family(os.path.basename(real)), f"{real} {about.st_size} {about.st_mtime_ns}")


def _family(program: str) -> Family:
    name = program.lower()
    if "zig" in name:
        return "zig"
    if "clang" in name or (sys.platform == "darwin" and name in ("cc", "gcc")):
        return "clang"
    return "gcc" if "gcc" in name else "unknown"


# --- what it is told --------------------------------------------------------------------------------------------------


def flags(compiler: Compiler, math: Mathematics = "fast", fused: bool = False, model: bool = True) -> tuple[str, ...]:
    """The flags for a model or what computes batches, before the compiler's own refusals; ``$SNN_CFLAGS`` adds to them.

    No flag lets the compiler reorder sums or forget about infinities and nan. What ``fast`` gives up is the last bits of exp, log and the
    like (see codegen/native/mathematics.h), and where ``fused`` the rounding between a product and a sum: in single precision, and in
    models whose neurons compute such functions. All others round as written, so that chaotic networks give the spikes of the others.
    """
    machine = _machine()
    x86 = machine in ("x86_64", "amd64", "i386", "i686")
    chosen = ["-std=gnu11", *((MOST,) if model or compiler.family != "gcc" else BATCHES)]
    chosen.append("-mcpu=native" if machine in ("arm64", "aarch64") else "-march=native")
    if x86 and compiler.family != "zig":
        chosen.append("-mprefer-vector-width=512")
    chosen += ["-fopenmp-simd", "-fno-math-errno", "-Werror=implicit-function-declaration"]
    if math == "fast":
        chosen.append("-fno-trapping-math")
    # a product and a sum become one operation, and a division by what is the same for all neurons becomes a product
    chosen += ["-ffp-contract=fast", "-freciprocal-math"] if math == "fast" and fused else ["-ffp-contract=off"]
    if compiler.family == "zig":
        chosen.append("-fno-sanitize=undefined")
    return (*chosen, "-fPIC", "-shared", "-pthread", *os.environ.get("SNN_CFLAGS", "").split())


def _flags_of(compiler: Compiler, text: str, math: Mathematics) -> tuple[str, ...]:
    """The flags for a text: that products and sums may be fused, and that loops gain from addresses that are counted on, is said at its
    beginning, that it is a model by its halves."""
    head = text[:2000]
    given = flags(compiler, math, "#define SNN_FUSED 1" in head, _is_model(text))
    return tuple(flag for flag in given if flag != "-fno-ivopts") if "#define SNN_ADDRESSES 1" in head else given


def _is_model(text: str) -> bool:
    return "#if SNN_HALF " in text


def _machine() -> str:
    if hasattr(os, "uname"):
        return os.uname().machine.lower()
    import platform

    return platform.machine().lower()


@lru_cache(maxsize=1)
def processor() -> str:
    """What makes this processor's code its own: its name and the instructions that it knows."""
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
                first = file.read(16384).split("\n\n", 1)[0]
        except OSError:
            first = ""
        told = (
            "model name",
            "flags",
            "features",
            "cpu implementer",
            "cpu part",
            "cpu variant",
            "isa",
            "cpu",
            "machine",
        )
        lines = [line for line in first.splitlines() if line.split(":")[0].strip().lower() in told]
        if lines:
            return "\n".join(lines)
    if sys.platform == "darwin":
        name = ctypes.create_string_buffer(256)
        size = ctypes.c_size_t(len(name))
        ctypes.CDLL(None).sysctlbyname(b"machdep.cpu.brand_string", name, ctypes.byref(size), None, 0)
        return f"{_machine()} {name.value.decode(errors='replace')}"
    import platform

    return f"{platform.machine()} {platform.processor()} {os.environ.get('PROCESSOR_IDENTIFIER', '')}"


# --- a library --------------------------------------------------------------------------------------------------------


def library(text: str, math: Mathematics = "fast", name: str = "model") -> Library:
    """The library of a C text: loaded already, from the cache, or compiled now. ``name`` is for messages. Raises E733 to E736."""
    compiler = require()
    key = _key(compiler, text, math)
    if key in _loaded:
        return Library(_loaded[key], True, 0.0)
    handle, seconds = _stored(key), 0.0
    cached = handle is not None
    if handle is None:
        began = time.perf_counter()
        handle = _made(compiler, text, math, key, name)
        seconds = time.perf_counter() - began
    _loaded[key] = handle
    return Library(handle, cached, seconds)


def is_cached(text: str, math: Mathematics = "fast") -> bool:
    """Whether a text's library would come from the cache; also when there is no compiler: False."""
    compiler = find()
    return compiler is not None and _place(_key(compiler, text, math)) is not None


def _key(compiler: Compiler, text: str, math: Mathematics) -> str:
    return cache.key(
        EDITION,
        text,
        compiler.mark,
        *compiler.command,
        *_flags_of(compiler, text, math),
        processor(),
        sys.platform,
    )


def _place(key: str) -> Path | None:
    """Where the sound library of a key is. Libraries are named by their content, so two processes never disturb each other."""
    told = cache.read(KIND, key, ".sum")
    if told is None or len(told) != 64 or not told.isalnum():
        return None
    digest = told.decode("ascii", "replace")
    data = cache.read(KIND, digest, SUFFIX)
    if data is None or hashlib.sha256(data).hexdigest() != digest:
        return None
    return cache.path(KIND, digest, SUFFIX)


def _stored(key: str) -> ctypes.CDLL | None:
    place = _place(key)
    return None if place is None else _load(place)


def _load(place: Path, said: list[str] | None = None) -> ctypes.CDLL | None:
    """The library, or None with the reason in ``said``: a file system that forbids programs, a name that is nowhere."""
    try:
        return ctypes.CDLL(str(place))
    except OSError as problem:
        if said is not None:
            said.append(str(problem))
        return None


def _made(compiler: Compiler, text: str, math: Mathematics, key: str, name: str) -> ctypes.CDLL:
    refused: list[str] = []
    for workshop in _workshops(refused):
        built = _built(compiler, text, math, workshop, name, refused)
        if built is None:
            continue
        data = built.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        place = cache.write(KIND, digest, data, SUFFIX)
        if place is not None:
            cache.write(KIND, key, digest.encode(), ".sum")
        said: list[str] = []
        handle = (_load(place, said) if place is not None else None) or _load(built, said)
        if handle is not None:
            return handle
        if "symbol" in said[-1]:
            raise SnnError(_our_mistake(compiler, _flags_of(compiler, text, math), text, said[-1], name))
        refused.append(f"{workshop} allows no programs")
    raise error(
        "E736",
        f"the compiled model can be stored nowhere: {'; '.join(refused) or 'there is no temporary folder'}",
        help=("make room, or name a folder for temporary files with TMPDIR", "or run with --target numpy"),
    )


def _workshops(refused: list[str]) -> Iterator[Path]:
    """Folders to compile in, one at a time: a temporary one, else one in the cache. They go when they were used."""
    import tempfile

    places: list[str | None] = [None]
    cached = cache.path(KIND, cache.key("workshop"))
    if cached is not None:
        places.append(str(cached.parent))
    for place in places:
        try:
            made = tempfile.TemporaryDirectory(prefix="snnlang-", dir=place, ignore_cleanup_errors=True)
        except OSError as problem:
            refused.append(f"{place or 'the folder for temporary files'}: {problem.strerror or problem}")
            continue
        with made as folder:
            yield Path(folder)


def _built(
    compiler: Compiler, text: str, math: Mathematics, workshop: Path, name: str, refused: list[str]
) -> Path | None:
    """The library in the workshop; None, with the reason in ``refused``, when there is no room. Raises E734 and E735."""
    wanted = _flags_of(compiler, text, math)
    known = _accepted(compiler, wanted)
    source = workshop / "model.c"
    try:
        source.write_text(text, encoding="utf-8")
    except OSError as problem:
        refused.append(f"{workshop}: {problem.strerror or problem}")
        return None
    compile = _compile_halves if _is_model(text) else _compile
    built, output = compile(compiler, known, source)
    if built is None and known == wanted:
        known = _probe(compiler, wanted, workshop, output)
        if known != wanted:
            built, output = compile(compiler, known, source)
    if built is not None:
        return built
    if "No space left" in output or "quota exceeded" in output:
        refused.append(f"{workshop}: no space left on device")
        return None
    raise SnnError(_our_mistake(compiler, known, text, output, name))


def _compile(compiler: Compiler, chosen: tuple[str, ...], source: Path) -> tuple[Path | None, str]:
    """Compile a file beside itself: the library or None, and what the compiler said. Raises E734 when it cannot be started."""
    made = source.with_name(source.stem + SUFFIX)
    fine, output = _all_ended(
        [_started(compiler, (*chosen, "-o", made.name, source.name, "-lm"), source.parent)], compiler
    )
    return (made if fine and made.is_file() else None), output


def _compile_halves(compiler: Compiler, chosen: tuple[str, ...], source: Path) -> tuple[Path | None, str]:
    """The same for a model, whose halves are compiled at the same time: what runs in every step, and with less effort all around it."""
    loop = tuple(flag for flag in chosen if flag != "-shared")
    rest = tuple(LEAST if flag == MOST else flag for flag in loop)
    made = source.with_name(source.stem + SUFFIX)
    jobs = [(loop, "1", "loop.o"), (rest, "2", "rest.o")]
    halves = [
        _started(compiler, (*told, "-DSNN_HALF=" + half, "-c", "-o", object_, source.name), source.parent)
        for told, half, object_ in jobs
    ]
    fine, output = _all_ended(halves, compiler)
    if not fine:
        return None, output
    objects = [object_ for _, _, object_ in jobs]
    fine, said = _all_ended([_started(compiler, (*chosen, "-o", made.name, *objects, "-lm"), source.parent)], compiler)
    return (made if fine and made.is_file() else None), output + said


def _started(compiler: Compiler, arguments: tuple[str, ...], folder: Path) -> subprocess.Popen[bytes]:
    """The compiler at work in a folder. Raises E734 when it cannot be started."""
    import subprocess

    try:
        return subprocess.Popen(
            [*compiler.command, *arguments],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as problem:
        raise SnnError(_does_not_work(compiler, problem.strerror or str(problem))) from None


def _all_ended(processes: list[subprocess.Popen[bytes]], compiler: Compiler) -> tuple[bool, str]:
    """Wait for compilers: whether all succeeded, and what they said. Raises E734 when one was ended."""
    output = "".join(process.communicate()[0].decode("utf-8", "replace") for process in processes)
    if any(process.returncode < 0 for process in processes) or "Killed" in output:
        raise SnnError(_does_not_work(compiler, "it was ended by the system; is there enough memory?"))
    return all(process.returncode == 0 for process in processes), output


# --- compilers that are not as usual ----------------------------------------------------------------------------------


def _flags_key(compiler: Compiler, wanted: tuple[str, ...]) -> str:
    return cache.key(EDITION, "flags", compiler.mark, *compiler.command, *wanted, processor())


def _accepted(compiler: Compiler, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The flags that this compiler is known to take; all of them as long as nothing is known."""
    import json

    told = cache.read(KIND, _flags_key(compiler, wanted), ".flags")
    try:
        refused = set(json.loads(told)) if told is not None else set()
    except (ValueError, TypeError):
        refused = set()
    return tuple(flag for flag in wanted if flag not in refused)


def _probe(compiler: Compiler, wanted: tuple[str, ...], workshop: Path, output: str) -> tuple[str, ...]:
    """Find out which flags a compiler takes, one at a time, after it refused something. Raises E734 when it compiles nothing, and
    where it refuses a flag of $SNN_CFLAGS."""
    import json

    source = workshop / "trial.c"
    try:
        source.write_text(_TRIAL, encoding="utf-8")
    except OSError:
        return wanted
    if _compile(compiler, wanted, source)[0] is not None:
        return wanted
    plain, said = _compile(compiler, NEEDED, source)
    if plain is None:
        if "No space left" in said:
            return wanted
        raise SnnError(_does_not_work(compiler, _first_error(said or output)))
    optional = [flag for flag in wanted if flag not in NEEDED]
    refused = [flag for flag in optional if _compile(compiler, (*NEEDED, flag), source)[0] is None]
    own = [flag for flag in os.environ.get("SNN_CFLAGS", "").split() if flag in refused]
    if own:  # what somebody asked for is not left out in silence
        raise SnnError(
            Diagnostic(
                "E734",
                f"the C compiler '{compiler.name}' does not know {own[0]}",
                help=("SNN_CFLAGS names it: take it out", "or name another compiler with SNN_CC"),
            )
        )
    cache.write(KIND, _flags_key(compiler, wanted), json.dumps(refused).encode(), ".flags")
    return tuple(flag for flag in wanted if flag not in refused)


def _first_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[0] if lines else "it says nothing")[:200]


def _does_not_work(compiler: Compiler, reason: str) -> Diagnostic:
    advice = _INSTALL.get(sys.platform, ("install gcc or clang",))
    named = "SNN_CC" if os.environ.get("SNN_CC") else "CC" if os.environ.get("CC") else ""
    helps = (f"{named} names it: name another one",) if named else advice
    return Diagnostic(
        "E734", f"the C compiler '{compiler.name}' does not work: {reason}", help=(*helps, "or run with --target numpy")
    )


def _our_mistake(compiler: Compiler, used: tuple[str, ...], text: str, output: str, name: str) -> Diagnostic:
    """E735, with the text and the compiler's words kept where the user finds them."""
    message = f"the C compiler refuses the code of {name}: {_first_error(output)}"
    command = " ".join([*compiler.command, *used, "model.c", "-lm"])
    helps = ["this is a mistake in snnlang, not in your file: please report it, with the files that were kept"]
    folder = _keep(text, f"{command}\n\n{output}")
    if folder is not None:
        helps.append(f"the code is '{folder / 'model.c'}', the compiler's words are '{folder / 'compiler.txt'}'")
    return Diagnostic("E735", message, help=(*helps, "run with --target numpy meanwhile"))


def _keep(text: str, said: str) -> Path | None:
    """A folder that stays, with a text and what was said about it; None where none can be made."""
    import tempfile

    try:
        folder = Path(tempfile.mkdtemp(prefix="snnlang-refused-"))
        (folder / "model.c").write_text(text, encoding="utf-8")
        (folder / "compiler.txt").write_text(said, encoding="utf-8")
    except OSError:
        return None
    return folder


__all__ = [
    "Compiler",
    "Library",
    "Mathematics",
    "find",
    "flags",
    "is_cached",
    "library",
    "missing",
    "processor",
    "require",
]
