"""Connectivities to build: what every generator that repeats the recipes of codegen/patterns.py is asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from snnlang.codegen.connectivity import output_shape
from snnlang.codegen.plan import Connectivity
from snnlang.model import expression as e

KEY = 0xFEDC_BA98_7654_3210


def connectivity(
    pattern: str, pre: Any, post: Any, sizes: tuple[int, int], autapses: bool = True, /, **options: Any
) -> Connectivity:
    return Connectivity("c", "sparse", *sizes, pre, post, pattern, options, "s", autapses)


# --- conditions, which are compiled ------------------------------------------------------------------------------------


def _index(side: Any) -> e.Expr:
    return e.Variable("index", scope=side)


def _conditions() -> list[dict[str, Any]]:
    distance = e.Variable("distance")
    apart = e.Call("abs", (e.Binary("-", _index("pre"), _index("post")),))
    odd = e.Comparison("==", e.Call("mod", (_index("pre"), e.Constant(2.0))), e.Constant(1.0))
    same = e.Comparison("==", e.Position(0, "pre"), e.Position(1, "post"))
    line = e.Comparison(
        "<=",
        e.Binary("+", e.Binary("*", _index("pre"), e.Constant(0.1)), e.Constant(0.3)),
        e.Binary("*", _index("post"), e.Constant(0.1)),
    )
    curve = e.Comparison(
        ">", e.Binary("^", _index("post"), e.Constant(1.5)), e.Binary("/", _index("pre"), e.Constant(-3.0))
    )
    chosen = e.Select(odd, e.Unary("-", _index("post")), distance)
    return [
        {"condition": e.Comparison("<", apart, e.Constant(3.0)), "pre_shape": (40,), "post_shape": (40,)},
        {"condition": e.Comparison("<=", distance, e.Constant(1.5)), "pre_shape": (5, 8), "post_shape": (4, 10)},
        {
            "condition": e.Logical("and", (e.Logical("not", (same,)), e.Logical("or", (odd, same)))),
            "pre_shape": (2, 4, 5),
            "post_shape": (5, 8),
        },
        {"condition": line, "pre_shape": (40,), "post_shape": (40,)},
        {"condition": curve, "pre_shape": (40,), "post_shape": (40,)},
        {"condition": e.Comparison("<", chosen, e.Constant(2.5)), "pre_shape": (40,), "post_shape": (8, 5)},
        {
            "condition": e.Comparison("<", e.Constant(1.0), e.Constant(math.inf)),
            "pre_shape": (40,),
            "post_shape": (40,),
        },
        {"condition": e.Comparison("<", distance, e.Constant(30.0)), "pre_shape": (300,), "post_shape": (70000,)},
    ]


CONDITIONS = _conditions()


@st.composite
def parts(draw: st.DrawFn, size: int) -> Any:
    """A part of a population: all of it, a range, a range with steps, or chosen indices in any order."""
    start = draw(st.integers(0, size))
    stop = draw(st.integers(start, size))
    match draw(st.sampled_from(["all", "range", "steps", "ascending", "any"])):
        case "all":
            return range(size)
        case "range":
            return range(start, stop)
        case "steps":
            return range(start, stop, draw(st.integers(2, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    chosen = rng.permutation(size)[: stop - start].astype(np.int64)
    return np.sort(chosen) if draw(st.booleans()) else chosen


@st.composite
def connectivities(draw: st.DrawFn) -> tuple[Connectivity, int]:
    key = draw(st.sampled_from([KEY, 0, 1, 2**64 - 1]) | st.integers(0, 2**64 - 1))
    same = draw(st.booleans())
    pre_size = draw(st.sampled_from([0, 1, 2, 7, 64, 65, 130, 300]))
    post_size = pre_size if same else draw(st.sampled_from([0, 1, 3, 64, 129, 257, 300, 70000]))
    pre, post = draw(parts(pre_size)), draw(parts(post_size))
    if len(post) > 300:
        post = post[:300] if draw(st.booleans()) else post[-300:]
    autapses = not same or draw(st.booleans())
    multapses = draw(st.booleans())
    n, m = len(pre), len(post)
    pattern = draw(
        st.sampled_from(["random", "fixed_outdegree", "fixed_indegree", "fixed_total", "dense", "one_to_one", "edges"])
    )
    options: dict[str, Any] = {}
    match pattern:
        case "random":
            options = {"p": draw(st.sampled_from([0.0, 1e-9, 0.001, 0.02, 0.2, 0.5, 0.9, 1.0]) | st.floats(0.0, 1.0))}
        case "fixed_outdegree" | "fixed_indegree":
            size = (m if pattern == "fixed_outdegree" else n) - (not autapses)
            limit = max(0, 2 * size if multapses else size) if size > 0 else 0
            options = {"k": draw(st.integers(0, min(limit, 80)) | st.integers(0, limit)), "multapses": multapses}
        case "fixed_total":
            own = 0 if autapses else len(set(list(pre)) & set(list(post)))
            limit = max(0, n * m - own)
            total = draw(st.integers(0, min(limit, 200)) | st.integers(0, limit)) if limit else 0
            options = {"n": min(total, 20000), "multapses": multapses}
        case "one_to_one":
            n = m = min(n, m)
            pre, post = pre[:n], post[:n]
        case "edges":
            rng = np.random.default_rng(draw(st.integers(0, 1000)))
            count = 0 if n * m == 0 else draw(st.integers(0, 200))
            options = {"pre": rng.integers(0, max(n, 1), count), "post": rng.integers(0, max(m, 1), count)}
            autapses = True
    return connectivity(pattern, pre, post, (pre_size, post_size), autapses, **options), key


@st.composite
def windows(draw: st.DrawFn) -> tuple[Connectivity, int]:
    groups = draw(st.integers(1, 2))
    shape = (groups * draw(st.integers(1, 2)), draw(st.integers(1, 6)), draw(st.integers(1, 7)))
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 4)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    padding = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    pattern = draw(st.sampled_from(["conv2d", "local2d", "avg_pool", "max_pool"]))
    options: dict[str, Any] = {"pre_shape": shape, "kernel": kernel, "padding": padding, "stride": stride}
    if pattern.endswith("2d"):
        dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
        options |= {"channels": groups * draw(st.sampled_from([1, 3, 40])), "groups": groups, "dilation": dilation}
    output = output_shape(pattern, options)
    if min(output) < 1:
        options |= {"kernel": (1, 1), "stride": (1, 1)}
        output = output_shape(pattern, options)
    pre_size, post_size = math.prod(shape), math.prod(output)
    pre: Any = range(pre_size)
    post: Any = range(post_size)
    if draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 100)))
        pre, post = (rng.permutation(size + 5)[:size].astype(np.int64) for size in (pre_size, post_size))
        pre_size, post_size = pre_size + 5, post_size + 5
    size = max(pre_size, post_size)
    return connectivity(pattern, pre, post, (size, size), draw(st.booleans()), **options), KEY


def every_condition() -> list[tuple[Connectivity, int]]:
    cases = []
    for options in CONDITIONS:
        sizes = math.prod(options["pre_shape"]), math.prod(options["post_shape"])
        turned = np.arange(sizes[0] // 2, dtype=np.int64)[::-1].copy()
        for pre, post in ((range(sizes[0]), range(sizes[1])), (turned, range(3, min(sizes[1], 400), 2))):
            if len(post) < 1000:
                cases += [(connectivity("where", pre, post, sizes, same, **options), KEY) for same in (True, False)]
    return cases


def fixed_cases() -> list[tuple[Connectivity, int]]:
    """Each pattern at sizes where threads share the work, where rows are sorted in other ways, and with posts beyond 16 bits."""
    cases = []
    rng = np.random.default_rng(7)
    for sizes in ((200, 300), (90, 70000), (300, 300)):
        rows, columns = sizes
        mixed = rng.permutation(columns).astype(np.int64)[: min(columns, 5000)]
        options: list[tuple[str, dict[str, Any]]] = [
            ("random", {"p": 0.01}),
            ("random", {"p": 0.3}),
            ("fixed_outdegree", {"k": 40}),
            ("fixed_outdegree", {"k": 250, "multapses": False}),
            ("fixed_indegree", {"k": 1}),
            ("fixed_indegree", {"k": 60, "multapses": False} if columns < 1000 else {"k": 5, "multapses": False}),
            ("fixed_total", {"n": 3000}),
            ("fixed_total", {"n": 3000, "multapses": False}),
            ("fixed_total", {"n": 9000, "multapses": False}),
            ("fixed_total", {"n": rows * min(columns, 600) * 9 // 10, "multapses": False}),
        ]
        for pattern, chosen in options:
            for pre, post in (
                (range(rows), mixed),
                (rng.permutation(rows).astype(np.int64), range(columns - mixed.size, columns)),
            ):
                cases.append(
                    (connectivity(pattern, pre, post, sizes, rows != columns, **chosen), int(rng.integers(2**62)))
                )
    return cases
