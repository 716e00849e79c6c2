"""Products in groups of four rows against NumPy's in float64: every shape, density and number of threads, and who chooses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnlang.runtime import native_groups, native_products
from snnlang.runtime.native_groups import GROUP, Grouping, Groups
from snnlang.runtime.native_products import Native, NativeDense
from tests.targets import needs_compiler

pytestmark = needs_compiler
Values = np.ndarray[Any, Any]
PRECISIONS = ["single", "double"]
#: rows, terms, columns: fewer rows than a group, odd numbers, one of each, whole and broken vectors and panels, rows a power of two apart
SHAPES = [
    *[(1, 1, 1), (3, 70, 33), (4, 64, 16), (5, 1, 80), (17, 200, 1), (37, 131, 45), (64, 129, 150), (16, 300, 161)],
    *[(9, 65, 256), (33, 64, 512), (130, 100, 97), (8, 1100, 20)],
]
DENSITIES = [0.0, 0.05, 0.5, 1.0]


def sparse(rng: np.random.Generator, shape: tuple[int, ...], part: float, like: np.dtype[Any]) -> Values:
    return (rng.normal(size=shape) * (rng.random(shape) < part)).astype(like)


def multiplied(grouping: Grouping, groups: Groups | None, a: Values, b: Values, out: Values, factor: float, add: bool) -> Values:
    assert groups is not None
    grouping.multiply(groups, a, b, out, factor, add)
    return out


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows, terms, columns", SHAPES)
@pytest.mark.parametrize("part", DENSITIES)
def test_products_equal_those_of_numpy(
    precision: str, rows: int, terms: int, columns: int, part: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways, set and added, in one pass and in several."""
    rng, native = np.random.default_rng(rows + columns), Native(precision)
    grouping, tolerance = Grouping(native), 1e-13 if precision == "double" else 3e-6
    a, b = sparse(rng, (rows, terms), part, native.real), rng.normal(size=(terms, columns)).astype(native.real)
    c = rng.normal(size=(rows, columns)).astype(native.real)
    forward, back = a.astype(np.float64) @ b.astype(np.float64), a.T.astype(np.float64) @ c.astype(np.float64)
    for span in (1024, 64):
        monkeypatch.setattr(native_groups, "SPAN_OF_ROWS", span)
        monkeypatch.setattr(native_groups, "SPAN_OF_COLUMNS", span - 17)
        for add in (False, True):
            made = multiplied(grouping, grouping.of_rows(a), a, b, np.full((rows, columns), 7, native.real), -0.5, add)
            assert np.abs(made - (7 * add - 0.5 * forward)).max() <= tolerance * max(7.0, np.abs(forward).max())
            made = multiplied(grouping, grouping.of_columns(a), a, c, np.full((terms, columns), 7, native.real), -0.5, add)
            assert np.abs(made - (7 * add - 0.5 * back)).max() <= tolerance * max(7.0, np.abs(back).max())


def test_nothing_is_written_beside_the_product() -> None:
    """The last rows and columns of a product in the midst of an array that is not its own."""
    native, rng = Native("single"), np.random.default_rng(0)
    grouping, a, b = Grouping(native), sparse(rng, (7, 90), 0.5, native.real), rng.normal(size=(90, 19)).astype(np.float32)
    around = np.full(7 * 19 + 200, 5, np.float32)
    multiplied(grouping, grouping.of_rows(a), a, b, around[100 : 100 + 7 * 19].reshape(7, 19), 1.0, False)
    assert (around[:100] == 5).all()
    assert (around[-100:] == 5).all()
    assert np.allclose(around[100:-100].reshape(7, 19), a @ b, atol=1e-4)


def test_what_is_no_number_counts_as_active() -> None:
    native, rng = Native("single"), np.random.default_rng(1)
    grouping, b = Grouping(native), rng.normal(size=(80, 20)).astype(np.float32)
    a, d = sparse(rng, (10, 80), 0.1, native.real), rng.normal(size=(10, 20)).astype(np.float32)
    a[3, 7], a[8, 70] = np.nan, np.inf
    made = multiplied(grouping, grouping.of_rows(a), a, b, np.empty((10, 20), np.float32), 1.0, False)
    assert np.isnan(made[3]).all()
    assert np.isinf(made[8]).all()
    assert np.isfinite(np.delete(made, (3, 8), 0)).all()
    made = multiplied(grouping, grouping.of_columns(a), a, d, np.empty((80, 20), np.float32), 1.0, False)
    assert np.isnan(made[7]).all()
    assert np.isinf(made[70]).all()
    assert np.isfinite(np.delete(made, (7, 70), 0)).all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_bit_depends_on_the_grouping(precision: str) -> None:
    """A row alone, and the same row among others in any order, have the same bits; the order of the terms is theirs."""
    native, rng = Native(precision), np.random.default_rng(2)
    grouping = Grouping(native)
    a, b = sparse(rng, (41, 150), 0.3, native.real), rng.normal(size=(150, 70)).astype(native.real)
    together = multiplied(grouping, grouping.of_rows(a), a, b, np.empty((41, 70), native.real), 1.0, False)
    shuffled = rng.permutation(41)
    mixed = np.ascontiguousarray(a[shuffled])
    other = multiplied(grouping, grouping.of_rows(mixed), mixed, b, np.empty((41, 70), native.real), 1.0, False)
    assert np.array_equal(together[shuffled], other)
    for row in range(0, 41, 8):
        alone = np.ascontiguousarray(a[row : row + 1])
        made = multiplied(grouping, grouping.of_rows(alone), alone, b, np.empty((1, 70), native.real), 1.0, False)
        assert np.array_equal(made[0], together[row])
    turned = np.ascontiguousarray(a.T)  # columns of it are the rows: neighbours in groups, instead of like ones
    columns = multiplied(grouping, grouping.of_columns(turned), turned, b, np.empty((41, 70), native.real), 1.0, False)
    assert np.array_equal(columns, together)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_threads_change_no_bit(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_products, "WORTH", 1)
    rng = np.random.default_rng(3)
    made: list[tuple[Values, Values]] = []
    for threads in (1, 2, 3, 5):
        native = Native(precision, threads)
        grouping, draw = Grouping(native), np.random.default_rng(4)
        a, b = sparse(draw, (50, 140), 0.4, native.real), draw.normal(size=(140, 90)).astype(native.real)
        c = draw.normal(size=(50, 90)).astype(native.real)
        first = multiplied(grouping, grouping.of_rows(a), a, b, rng.normal(size=(50, 90)).astype(native.real), 1.5, False)
        second = multiplied(grouping, grouping.of_columns(a), a, c, np.ones((140, 90), native.real), 1.5, True)
        made.append((first, second))
    for one, other in made[1:]:
        assert np.array_equal(one, made[0][0])
        assert np.array_equal(other, made[0][1])


def test_like_rows_are_found() -> None:
    """Sixteen pictures, each five times with other numbers and far apart: groups leave out all that is zero in a picture, but for
    the few groups that rows are left over for."""
    native, rng = Native("single"), np.random.default_rng(5)
    pictures = rng.random((16, 320)) < 0.4
    a = (np.tile(pictures, (5, 1)) * rng.uniform(1, 2, (80, 320))).astype(np.float32)
    groups = Grouping(native).of_rows(a)
    assert groups is not None
    assert groups.order is not None
    assert sorted(groups.order) == list(range(80))
    alone = np.count_nonzero(a) / a.size
    unlike = 1 - (1 - alone) ** GROUP
    assert alone <= groups.density < alone + 0.25 * (unlike - alone)
    halves = (np.arange(320) // 160 == rng.integers(0, 2, 64)[:, None]).astype(np.float32)  # one of two halves each
    found = Grouping(native).of_rows(halves)
    assert found is not None
    assert found.density <= 0.55


def test_density_is_that_of_groups() -> None:
    native, rng = Native("double"), np.random.default_rng(6)
    a = sparse(rng, (90, 202), 0.2, native.real)
    grouping = Grouping(native)
    columns = grouping.of_columns(a)
    assert columns is not None
    padded = np.pad(a, ((0, 0), (0, 2))) != 0
    assert columns.density == pytest.approx(padded.reshape(90, 51, 4).any(2).mean(), abs=1e-12)
    assert grouping._look(a) == pytest.approx(padded[::5].reshape(-1, 51, 4).any(2).mean(), abs=1e-12)
    rows = grouping.of_rows(a)
    assert rows is not None
    assert rows.order is not None
    chosen = np.append(rows.order, rows.order[-1:].repeat(2)).reshape(-1, 4)
    assert rows.density == pytest.approx((a != 0)[chosen].any(1).mean(), abs=1e-12)


def test_groups_are_refused_where_another_way_is_faster() -> None:
    native, rng = Native("single"), np.random.default_rng(7)
    grouping = Grouping(native)
    halves = np.repeat(rng.random((40, 64)) < 0.45, 8, 1).repeat(4, 0).astype(np.float32)  # (160, 512)
    loose = sparse(rng, (160, 512), 0.7, native.real)
    for back in (False, True):
        assert grouping.worth(halves, 400, 0.45, False, back) is not None
        assert grouping.worth(loose, 400, 0.7, False, back) is None
        assert grouping.worth(halves, 400, 0.05, True, back) is None  # so few that rows are gathered
        assert grouping.worth(halves, 8, 0.45, False, back) is None  # the lists would cost more than the product
        assert grouping.worth(halves[:, :100], 400, 0.45, False, back) is None


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_connection_takes_them_by_what_is_sent(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    native, rng = Native(precision, 2), np.random.default_rng(8)
    product = NativeDense(native, 512, 150, 0.5)
    taken: list[bool] = []
    multiply = Grouping.multiply

    def counted(*given: Any) -> None:
        taken.append(True)
        multiply(*given)

    monkeypatch.setattr(Grouping, "multiply", counted)
    w, bars = rng.normal(size=512 * 150).astype(native.real), rng.normal(size=(160, 150)).astype(native.real)
    like = np.repeat(rng.random((40, 64)) < 0.45, 8, 1).repeat(4, 0)
    for mask, times in ((like, 3), (rng.random((160, 512)) < 0.8, 0), (rng.random((160, 512)) < 0.05, 0)):
        taken.clear()
        x = (mask * rng.normal(size=(160, 512))).astype(native.real)
        exact, slope = 0.5 * x.astype(np.float64) @ w.reshape(512, 150).astype(np.float64), 0.5 * x.T.astype(np.float64) @ bars
        out, gradient = np.zeros((160, 150), native.real), np.zeros_like(w)
        product.forward(x, w, out, False)
        product.forward(x, w, out, True)
        product.gradient(x, bars, gradient, False)
        assert len(taken) == times
        assert np.allclose(out, 2 * exact, rtol=0, atol=1e-3 if precision == "single" else 1e-11)
        assert np.allclose(gradient.reshape(512, 150), slope, rtol=0, atol=1e-3 if precision == "single" else 1e-11)
