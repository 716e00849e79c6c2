"""Connectivity built in C is, synapse for synapse, the one built with NumPy: every pattern, part, option and number of threads.

A small C program reads wirings as numbers and prints rows, columns, shares of threads, the most memory it held and the time it took.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from snnlang.codegen.connectivity import generate
from snnlang.codegen.plan import Connectivity, Stream
from snnlang.codegen.wiring import condition_c, wiring

from .wirings import CONDITIONS, KEY, connectivities, connectivity, every_condition, fixed_cases, windows

HERE = Path(__file__).parent
HEADERS = HERE.parents[1] / "codegen" / "native"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")

FAST = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
PLAIN = ("-O1",)
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@functools.cache
def program(flags: tuple[str, ...]) -> Path:
    """The C program, compiled."""
    folder = Path(tempfile.mkdtemp(prefix="snn-wire-"))
    texts = [
        f"static int condition_{number}(int64_t pre, int64_t post)\n{{\n{condition_c(options)}\n}}\n"
        for number, options in enumerate(CONDITIONS)
    ]
    names = ", ".join(f"condition_{number}" for number in range(len(CONDITIONS)))
    table = f"static int (*const conditions[])(int64_t, int64_t) = {{{names}}};\n"
    (folder / "conditions.h").write_text("\n".join(texts) + table)
    warnings = ("-fopenmp-simd", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function")
    includes = (f"-I{HEADERS}", f"-I{folder}")
    assert COMPILER is not None
    command = [
        COMPILER,
        "-std=gnu11",
        *warnings,
        *flags,
        *includes,
        str(HERE / "wire.c"),
        "-o",
        str(folder / "wire"),
        "-pthread",
        "-lm",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "wire"


# --- asking it ---------------------------------------------------------------------------------------------------------


def numbers(c: Connectivity, key: int, threads: tuple[int, int], quiet: bool) -> str:
    """A case as the program reads it."""
    w = wiring(c, Stream("s", "a", "b", key))
    assert w.shared is None
    condition = next(
        (n for n, options in enumerate(CONDITIONS) if options["condition"] is c.options.get("condition")), -1
    )
    scalars = [
        w.pattern,
        w.pre_size,
        w.post_size,
        w.rows,
        w.columns,
        w.pre_first,
        w.post_first,
        w.autapses,
        w.multapses,
    ]
    words = [int(quiet), condition, *threads, *scalars, w.key, w.p.hex(), w.k, *w.shape]
    for array in (w.pre_part, w.post_part, w.row_start, w.post):
        words += [-1] if array is None else [array.size, *array.tolist()]
    return " ".join(map(str, words))


def run(cases: list[str], flags: tuple[str, ...] = FAST) -> list[str]:
    done = subprocess.run(
        [str(program(flags))], input=f"{len(cases)}\n" + "\n".join(cases), capture_output=True, text=True
    )
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-3000:]}"
    return done.stdout.splitlines()


def compare(every: list[tuple[Connectivity, int]], flags: tuple[str, ...] = FAST, most: int = 4) -> None:
    """Every connectivity, with 1 to ``most`` threads, is what NumPy makes."""
    lines = run([numbers(c, key, (1, most), quiet=False) for c, key in every], flags)
    at = 0
    for c, key in every:
        built = generate(c, Stream("s", "a", "b", key))
        shared = np.empty(0, np.int32) if built.weight_index is None else built.weight_index
        column_pre = built.pre_of[built.column_synapse]
        for threads in range(1, most + 1):
            found: dict[str, Any] = {}
            for line in lines[at : at + 9]:
                name, _, rest = line.partition(" ")
                found[name] = np.array(rest.split(), float if name == "made" else np.int64)
            at += 9
            what = f"{c.pattern} {c.options} {threads} threads"
            assert found["made"][0] == built.n, what
            for name, expected in (
                ("row_start", built.row_start),
                ("post", built.post),
                ("shared", shared),
                ("pre", built.pre_of),
                ("column_start", built.column_start),
                ("column_synapse", built.column_synapse),
                ("column_pre", column_pre),
                ("astray", np.zeros(1, np.int64)),
            ):
                assert np.array_equal(found[name], expected), f"{what}: {name}"
    assert at == len(lines)


# --- what is asked -----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(connectivities(), min_size=1, max_size=3))
@example([(connectivity("random", range(1), range(1), (1, 1), p=2.225073858507203e-309), 0)])
@example([(connectivity("random", range(7), range(300), (7, 300), p=5e-324), 0)])
def test_equal_to_numpy(every: list[tuple[Connectivity, int]]) -> None:
    compare(every)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(windows())
def test_windows_are_equal_to_numpy(case: tuple[Connectivity, int]) -> None:
    compare([case])


def test_conditions() -> None:
    compare(every_condition())


@pytest.mark.parametrize("flags", [FAST, PLAIN], ids=["fast", "plain"])
def test_larger_ones(flags: tuple[str, ...]) -> None:
    compare(fixed_cases() if flags == FAST else fixed_cases()[::3], flags, 3)


def test_the_sanitizers_find_nothing() -> None:
    cases = [*every_condition()[::3], *fixed_cases()[:2], *fixed_cases()[4:20:3]]
    empty = [
        connectivity("random", range(0), range(5), (3, 5), p=0.5),
        connectivity("fixed_outdegree", range(1), range(1), (1, 1), k=1, multapses=False),
        connectivity("fixed_total", range(5), range(0), (5, 0), n=0),
        connectivity("dense", range(4), np.array([3, 1, 0]), (4, 4), False),
        connectivity("edges", range(3), range(3), (3, 3), pre=[2, 0, 0], post=[1, 1, 0]),
        connectivity("conv2d", range(25), range(50), (25, 50), pre_shape=(1, 5, 5), channels=2, kernel=3, padding=1),
    ]
    try:
        program(SANITIZED)
    except AssertionError:
        pytest.skip("the compiler has no sanitizers")
    compare([*cases, *((c, KEY) for c in empty)], SANITIZED, 3)


def test_too_few_partners_do_no_harm() -> None:
    """Elaboration refuses what asks for more partners than there are; where it did not, nothing may be written astray."""
    try:
        program(SANITIZED)
    except AssertionError:
        pytest.skip("the compiler has no sanitizers")
    greedy = [
        connectivity("fixed_outdegree", range(1), range(1), (1, 1), False, k=3),
        connectivity("fixed_indegree", range(1), range(1), (1, 1), False, k=3, multapses=False),
        connectivity("fixed_outdegree", range(4), range(4), (4, 4), False, k=9, multapses=False),
        connectivity("fixed_total", range(1), range(1), (1, 1), False, n=3),
        connectivity("fixed_total", range(3), range(3), (3, 3), False, n=9, multapses=False),
    ]
    run([numbers(c, KEY, (1, 2), quiet=True) for c in greedy], SANITIZED)


def test_gaps_are_the_same_over_many_rows() -> None:
    """Hundreds of thousands of gaps: the quick logarithm is nowhere another whole number than NumPy's."""
    cases = [
        (connectivity("random", range(1000), range(2000), (1000, 2000), p=p), KEY + int(1e6 * p))
        for p in (0.003, 0.05, 0.4)
    ]
    for c, key in cases:
        lines = run([numbers(c, key, (1, 1), quiet=False)])
        built = generate(c, Stream("s", "a", "b", key))
        assert np.array_equal(np.array(lines[2].split()[1:], np.int64), built.post)
        assert np.array_equal(np.array(lines[1].split()[1:], np.int64), built.row_start)


def test_memory_and_time(record_property: Any) -> None:
    """Ten million synapses of every drawing pattern: the most memory held at once is within 1.5 times that of the result."""
    n, million = 31623, 10**6
    every = {
        "random": connectivity("random", range(n), range(n), (n, n), p=0.01),
        "random, a million neurons": connectivity("random", range(million), range(million), (million, million), p=1e-5),
        "random, no autapses": connectivity("random", range(n), range(n), (n, n), False, p=0.01),
        "fixed_outdegree": connectivity("fixed_outdegree", range(n), range(n), (n, n), k=316, multapses=False),
        "fixed_indegree": connectivity("fixed_indegree", range(n), range(n), (n, n), k=316, multapses=False),
        "fixed_total": connectivity("fixed_total", range(n), range(n), (n, n), n=10**7),
        "fixed_total, different": connectivity("fixed_total", range(n), range(n), (n, n), n=10**7, multapses=False),
        "one row": connectivity(
            "fixed_outdegree", range(1), range(million), (1, million), k=million // 2, multapses=False
        ),
        "half of all": connectivity(
            "fixed_total", range(3000), range(3000), (3000, 3000), n=4_600_000, multapses=False
        ),
    }
    lines = run([numbers(c, KEY, (1, 2), quiet=True) for c in every.values()])
    for number, name in enumerate(every):
        for threads in (1, 2):
            _, count, peak, kept, seconds = lines[2 * number + threads - 1].split()
            record_property(
                f"{name}, {threads} threads",
                f"{count} synapses, {seconds} s, {int(peak) / int(kept):.2f} times the memory",
            )
            print(
                f"{name}, {threads} threads: {count} synapses, {seconds} s, {int(peak) / int(kept):.2f} times the memory"
            )
            assert int(peak) <= 1.5 * int(kept), name


SWITCHES: dict[str, tuple[str, dict[str, Any]]] = {
    "DENSE": ("dense", {}),
    "ONE_TO_ONE": ("one_to_one", {}),
    "RANDOM": ("random", {"p": 0.3}),
    "FIXED_OUTDEGREE": ("fixed_outdegree", {"k": 37, "multapses": False}),
    "FIXED_INDEGREE": ("fixed_indegree", {"k": 5}),
    "FIXED_TOTAL": ("fixed_total", {"n": 900, "multapses": False}),
    "WINDOW": ("conv2d", {"pre_shape": (1, 5, 8), "channels": 1, "kernel": 3, "padding": 1}),
    "WHERE": ("where", CONDITIONS[1]),
    "GIVEN": ("edges", {"pre": [5, 1, 1], "post": [3, 39, 0]}),
}


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("chosen", [False, True], ids=["ranges", "parts"])
def test_each_pattern_compiled_alone(switch: str, chosen: bool) -> None:
    """A model compiles only the generators that it needs: each works without the others."""
    pattern, options = SWITCHES[switch]
    part: Any = np.arange(40, dtype=np.int64)[::-1].copy() if chosen else range(40)
    flags = tuple(f"-DSNN_WITH_{name}={int(name == switch)}" for name in SWITCHES)
    cases = [(connectivity(pattern, part, part, (40, 40), same, **options), KEY) for same in (True, pattern == "edges")]
    compare(cases, ("-O0", f"-DSNN_WITH_PARTS={int(chosen)}", *flags), 2)
