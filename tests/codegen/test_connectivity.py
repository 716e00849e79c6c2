"""Every pattern against a slow generator written from its definition, and against the statistics that its name promises."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from snnlang.codegen import patterns as pt
from snnlang.codegen.connectivity import Built, condition_text, count_expected, edge_order, generate, output_shape
from snnlang.codegen.plan import Connectivity, Stream
from snnlang.codegen.random import uniform
from snnlang.model import expression as e

KEY = 0x1234_5678_9ABC_DEF1
STREAM = Stream("s", "a", "b", KEY)


def connect(
    pattern: str,
    pre: Any,
    post: Any,
    /,
    sizes: tuple[int, int] | None = None,
    autapses: bool = True,
    kind: Any = "sparse",
    **options: Any,
) -> Built:
    first, second = (range(x) if isinstance(x, int) else x for x in (pre, post))
    sizes = sizes or (max(first) + 1, max(second) + 1)
    connectivity = Connectivity("c", kind, *sizes, first, second, pattern, options, "s", autapses)
    built = generate(connectivity, STREAM)
    if kind == "sparse":
        assert built.row_start.shape == (sizes[0] + 1,)
        assert built.row_start[-1] == built.n == built.post.size
        assert built.post.dtype == built.pre_of.dtype == np.int32
        for i in range(sizes[0]):
            assert np.all(np.diff(built.post[built.row_start[i] : built.row_start[i + 1]]) >= 0)
        for j in range(sizes[1]):
            reached = built.column_synapse[built.column_start[j] : built.column_start[j + 1]]
            assert np.all(built.post[reached] == j)
            assert np.all(np.diff(built.pre_of[reached]) >= 0)
        assert built.column_start[-1] == built.n
    assert built.n <= 1 or built.nbytes >= 0
    return built


def listed(built: Built) -> list[tuple[int, int]]:
    pre, post = built.pairs
    return list(zip(pre.tolist(), post.tolist()))


# --- slow generators --------------------------------------------------------------------------------------------------


def slow_random(rows: int, columns: int, p: float) -> list[tuple[int, int]]:
    found = []
    for row in range(rows):
        column, ordinal = -1, 0
        while p > 0.0:
            u = uniform(KEY, row, ordinal)
            gap = 0.0 if p >= 1.0 else math.floor(math.log1p(-u) / math.log1p(-p))
            column, ordinal = column + 1 + int(gap), ordinal + 1
            if column >= columns:
                break
            found.append((row, column))
    return found


def slow_choice(item: int, size: int, k: int, multapses: bool, own: int = -1) -> list[int]:
    room = size - (own >= 0)
    chosen: list[int] = []
    for ordinal in range(k):
        u = uniform(KEY, item, ordinal)
        if multapses:
            chosen.append(math.floor(u * room))
        else:
            last = room - k + ordinal
            drawn = math.floor(u * (last + 1))
            chosen.append(last if drawn in chosen else drawn)
    return sorted(x + 1 if 0 <= own <= x else x for x in chosen)


def slow_total(rows: int, columns: int, n: int, multapses: bool, own: bool) -> list[tuple[int, int]]:
    every = [x for x in itertools.product(range(rows), range(columns)) if not own or x[0] != x[1]]
    invert = not multapses and 2 * n > len(every)
    wanted, ordinal = (len(every) - n if invert else n), 0
    chosen: list[tuple[int, int]] = []
    while len(chosen) < wanted:
        drawn = divmod(math.floor(uniform(KEY, 0, ordinal) * rows * columns), columns)
        ordinal += 1
        if (not own or drawn[0] != drawn[1]) and (multapses or drawn not in chosen):
            chosen.append(drawn)
    return [x for x in every if x not in chosen] if invert else sorted(chosen)


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.999, 1.0])
@pytest.mark.parametrize("shape", [(7, 13), (40, 1), (1, 300), (25, 25)])
def test_random(shape: tuple[int, int], p: float) -> None:
    assert listed(connect("random", *shape, p=p)) == slow_random(*shape, p)
    assert listed(connect("random", *shape, p=p, autapses=False)) == [x for x in slow_random(*shape, p) if x[0] != x[1]]


def test_random_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = listed(connect("random", 60, 80, p=0.2))
    monkeypatch.setattr(pt, "BLOCK", 64)
    assert listed(connect("random", 60, 80, p=0.2)) == whole
    assert listed(connect("fixed_indegree", 60, 80, k=7)) == sorted(
        (i, j) for j in range(80) for i in slow_choice(j, 60, 7, True)
    )
    assert listed(connect("where", 60, 80, condition=NEAR, pre_shape=(60,), post_shape=(80,))) == [
        (i, j) for i in range(60) for j in range(80) if abs(i - j) < 3
    ]


def test_random_has_the_right_density_everywhere() -> None:
    built = connect("random", 2000, 1500, p=0.03)
    assert abs(built.n - 90_000) < 4.5 * math.sqrt(90_000)
    degrees = np.clip(np.diff(built.row_start), 30, 60)
    law = stats.binom(1500, 0.03)
    expected = np.array([law.cdf(30), *law.pmf(np.arange(31, 60)), law.sf(59)]) * 2000
    assert stats.chisquare(np.bincount(degrees - 30, minlength=31), expected).pvalue > 1e-4
    columns = np.bincount(built.post, minlength=1500)
    assert abs(columns.var() / (2000 * 0.03 * 0.97) - 1.0) < 0.2
    assert len(set(listed(built))) == built.n


@pytest.mark.parametrize("multapses", [True, False])
@pytest.mark.parametrize("autapses", [True, False])
@pytest.mark.parametrize("k", [0, 1, 5, 19])
def test_fixed_degrees(k: int, autapses: bool, multapses: bool) -> None:
    out = [(i, j) for i in range(20) for j in slow_choice(i, 20, k, multapses, -1 if autapses else i)]
    assert listed(connect("fixed_outdegree", 20, 20, k=k, multapses=multapses, autapses=autapses)) == out
    into = sorted((i, j) for j in range(20) for i in slow_choice(j, 20, k, multapses, -1 if autapses else j))
    assert listed(connect("fixed_indegree", 20, 20, k=k, multapses=multapses, autapses=autapses)) == into
    if not multapses:
        assert len(set(out)) == len(out) == 20 * k
    if not autapses:
        assert all(i != j for i, j in out + into)


def test_both_ways_of_remembering_agree() -> None:
    few, many = (
        connect("fixed_outdegree", 3, 300, k=24, multapses=False),
        connect("fixed_outdegree", 3, 300, k=200, multapses=False),
    )
    assert listed(few) == [(i, j) for i in range(3) for j in slow_choice(i, 300, 24, False)]
    assert listed(many) == [(i, j) for i in range(3) for j in slow_choice(i, 300, 200, False)]


def test_indegree_chooses_every_neuron_equally() -> None:
    built = connect("fixed_indegree", 50, 4000, k=10, multapses=False)
    assert stats.chisquare(np.bincount(built.pre_of, minlength=50)).pvalue > 1e-4


@pytest.mark.parametrize("multapses", [True, False])
@pytest.mark.parametrize("autapses", [True, False])
@pytest.mark.parametrize("n", [0, 1, 30, 70, 90])
def test_fixed_total(n: int, autapses: bool, multapses: bool) -> None:
    assert listed(connect("fixed_total", 10, 10, n=n, multapses=multapses, autapses=autapses)) == slow_total(
        10, 10, n, multapses, not autapses
    )


# --- geometry ---------------------------------------------------------------------------------------------------------


def slow_windows(
    shape: tuple[int, int, int],
    output: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> list[tuple[int, int, int]]:
    (depth, height, width), (channels, out_height, out_width) = shape, output
    found = []
    for o, y, x, c, ky, kx in itertools.product(
        *map(range, (channels, out_height, out_width, depth // groups, *kernel))
    ):
        row, column = y * stride[0] - padding[0] + ky * dilation[0], x * stride[1] - padding[1] + kx * dilation[1]
        source = o // (channels // groups) * (depth // groups) + c
        if 0 <= row < height and 0 <= column < width:
            weight = ((o * (depth // groups) + c) * kernel[0] + ky) * kernel[1] + kx
            found.append(((source * height + row) * width + column, (o * out_height + y) * out_width + x, weight))
    return sorted(found)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 2),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(1, 2),
    st.integers(1, 2),
)
def test_convolution(
    groups: int, height: int, width: int, ky: int, kx: int, stride: int, padding: int, dilation: int, per_group: int
) -> None:
    shape, channels = (groups * 2, height, width), groups * per_group
    options: dict[str, Any] = {
        "pre_shape": shape,
        "channels": channels,
        "kernel": (ky, kx),
        "stride": stride,
        "padding": padding,
        "dilation": (dilation, 1),
        "groups": groups,
    }
    output = output_shape("conv2d", options)
    if min(output) < 1:
        return
    built = connect("conv2d", int(np.prod(shape)), int(np.prod(output)), **options)
    assert built.weight_index is not None
    slow = slow_windows(shape, output, (ky, kx), (stride, stride), (padding, padding), (dilation, 1), groups)
    assert sorted(zip(built.pre_of.tolist(), built.post.tolist(), built.weight_index.tolist())) == slow
    connectivity = Connectivity(
        "c",
        "sparse",
        int(np.prod(shape)),
        int(np.prod(output)),
        range(int(np.prod(shape))),
        range(int(np.prod(output))),
        "conv2d",
        options,
    )
    assert count_expected(connectivity) == built.n
    assert connect("local2d", int(np.prod(shape)), int(np.prod(output)), **options).weight_index is None


@pytest.mark.parametrize("kernel", [(3, 3), (2, 2), (2, 3), (4, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_same_padding_keeps_the_size(kernel: tuple[int, int], stride: int) -> None:
    size = math.ceil(7 / stride)
    before = ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
    built = connect(
        "conv2d",
        49,
        size * size,
        pre_shape=(1, 7, 7),
        channels=1,
        kernel=kernel,
        stride=(stride, stride),
        padding=before,
    )
    assert built.weight_index is not None
    slow = slow_windows((1, 7, 7), (1, size, size), kernel, (stride, stride), before, (1, 1), 1)
    assert sorted(zip(built.pre_of.tolist(), built.post.tolist(), built.weight_index.tolist())) == slow


def test_pooling_covers_every_cell_once() -> None:
    built = connect("max_pool", 3 * 36, 3 * 9, pre_shape=(3, 6, 6), kernel=2)
    assert built.n == 108
    assert built.weight_index is None
    for i, j in listed(built):
        c, y, x = np.unravel_index(i, (3, 6, 6))
        assert np.unravel_index(j, (3, 3, 3)) == (c, y // 2, x // 2)
    overlapping = connect("avg_pool", 25, 4, pre_shape=(1, 5, 5), kernel=(3, 3), stride=(2, 2))
    assert np.bincount(overlapping.post).tolist() == [9, 9, 9, 9]


def variable(name: str, scope: Any = "self") -> e.Expr:
    return e.Variable(name, scope=scope)


NEAR: e.Expr = e.Comparison(
    "<", e.Call("abs", (e.Binary("-", variable("index", "pre"), variable("index", "post")),)), e.Constant(3.0)
)


def test_where_sees_indices_positions_and_distance() -> None:
    close = e.Comparison("<=", variable("distance"), e.Constant(1.5))
    odd = e.Comparison("==", e.Call("mod", (variable("index", "pre"), e.Constant(2.0))), e.Constant(1.0))
    same_row = e.Comparison("==", e.Position(0, "pre"), e.Position(0, "post"))
    condition = e.Logical("and", (close, e.Logical("or", (odd, e.Logical("not", (same_row,))))))
    built = connect("where", 30, 30, condition=condition, pre_shape=(5, 6), post_shape=(5, 6), autapses=False)

    def holds(i: int, j: int) -> bool:
        (a, b), (c, d) = divmod(i, 6), divmod(j, 6)
        return i != j and math.hypot(a - c, b - d) <= 1.5 and (i % 2 == 1 or a != c)

    assert listed(built) == [(i, j) for i in range(30) for j in range(30) if holds(i, j)]
    assert "distance = np.sqrt(" in condition_text({"condition": condition, "pre_shape": (5, 6), "post_shape": (5, 6)})


def test_where_of_a_part_uses_indices_of_the_population() -> None:
    part = range(10, 20)
    built = connect("where", part, part, (30, 30), condition=NEAR, pre_shape=(30,), post_shape=(30,))
    assert listed(built) == [(i, j) for i in part for j in part if abs(i - j) < 3]


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern,options",
    [
        ("random", {"p": 0.4}),
        ("fixed_indegree", {"k": 3}),
        ("fixed_total", {"n": 17, "multapses": False}),
        ("fixed_outdegree", {"k": 2, "multapses": False}),
        ("dense", {}),
    ],
)
def test_parts_are_the_whole_pattern_moved(pattern: str, options: dict[str, Any]) -> None:
    whole = listed(connect(pattern, 8, 9, **options))
    ranges = connect(pattern, range(5, 13), range(20, 29), (40, 50), **options)
    assert listed(ranges) == [(i + 5, j + 20) for i, j in whole]
    pre, post = np.array([30, 2, 7, 9, 11, 1, 3, 39]), np.array([9, 8, 7, 6, 5, 4, 3, 2, 1])
    assert listed(connect(pattern, pre, post, (40, 50), **options)) == sorted(
        (int(pre[i]), int(post[j])) for i, j in whole
    )
    kept = connect(pattern, np.arange(10, 18), np.arange(14, 23), (40, 50), autapses=False, **options)
    assert all(i != j for i, j in listed(kept))


def test_edges_keep_track_of_the_file() -> None:
    rng = np.random.default_rng(1)
    pre, post = rng.integers(0, 6, 40), rng.integers(0, 7, 40)
    built = connect("edges", 6, 7, pre=pre, post=post)
    order = edge_order(pre, post)
    assert built.order is not None
    assert built.order.tolist() == order.tolist()
    assert listed(built) == list(zip(pre[order].tolist(), post[order].tolist()))
    turned = connect("edges", np.arange(6)[::-1], 7, (6, 7), pre=pre, post=post)
    assert turned.order is not None
    assert listed(turned) == [(5 - int(pre[k]), int(post[k])) for k in turned.order]


def test_dense_and_one_to_one_need_no_arrays() -> None:
    dense = connect("dense", range(2, 5), range(1, 3), (6, 6), kind="dense")
    assert listed(dense) == [(i, j) for i in (2, 3, 4) for j in (1, 2)]
    assert dense.nbytes == 0
    single = connect("one_to_one", range(2, 5), np.array([5, 1, 0]), (6, 6), kind="one_to_one")
    assert listed(single) == [(2, 5), (3, 1), (4, 0)]
    assert listed(connect("flatten", 4, 4)) == [(i, i) for i in range(4)]


def test_expected_counts() -> None:
    def expected(pattern: str, **options: Any) -> float:
        return count_expected(Connectivity("c", "sparse", 100, 50, range(100), range(50), pattern, options))

    assert expected("random", p=0.1) == 500
    assert expected("fixed_indegree", k=3) == 150
    assert expected("fixed_outdegree", k=3) == 300
    assert expected("fixed_total", n=77) == 77
    assert expected("dense") == 5000
    assert expected("edges", pre=[1, 2], post=[3, 4]) == 2
    near = expected("where", condition=NEAR, pre_shape=(100,), post_shape=(50,))
    assert 100 < near < 400


def test_speed() -> None:
    def seconds(n: int, p: float) -> float:
        begin = time.perf_counter()
        Built("sparse", n, n, range(n), range(n), "random", {"p": p}, KEY)
        return time.perf_counter() - begin

    assert min(seconds(4000, 0.02) for _ in range(5)) < 0.06 * 3  # three times the aim: other work shares this machine
