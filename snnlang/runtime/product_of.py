"""Which product carries a link: from the connectivity of a plan to a class of :mod:`snnlang.runtime.products`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.cell import refusal
from snnlang.codegen.connectivity import generate
from snnlang.codegen.learning_plan import Link
from snnlang.codegen.patterns import window
from snnlang.codegen.plan import Connectivity, Plan
from snnlang.codegen.population_sums import ALL
from snnlang.runtime.device_numpy import NumpyDevice
from snnlang.runtime.native_convolution import NativeConvolution
from snnlang.runtime.native_lists import NativeLists, NativeSparse
from snnlang.runtime.native_products import Native, NativeDense, NativePool
from snnlang.runtime.products import Dense, OneToOne, Part, Product, Sparse, Total
from snnlang.runtime.windows import Convolution, Pool, Window

Values = NDArray[Any]


def product_of(
    link: Link,
    c: Connectivity,
    plan: Plan,
    device: NumpyDevice,
    native: Native | None = None,
    lists: NativeLists | None = None,
) -> tuple[Product, tuple[int, ...]]:
    """The product, and the shape of weights that it wants (() where the plan's own will do). ``native`` and ``lists``: compiled where
    that is faster."""
    scale = link.scale
    for factor in link.factors:
        scale *= float(np.asarray(device.read(factor)))
    rows, columns = len(c.pre_part), len(c.post_part)
    if link.late is not None:
        return _late(link, c, plan, device, scale, lists)
    if c.pattern == ALL:
        return Total(scale), ()
    if c.kind == "dense":
        mask = None
        if not c.autapses:
            own = np.equal.outer(np.asarray(c.pre_part), np.asarray(c.post_part))
            mask = np.where(own, 0.0, 1.0).astype(np.float32 if plan.precision == "single" else np.float64)
        made: Product = (
            Dense(rows, columns, scale, mask) if native is None else NativeDense(native, rows, columns, scale, mask)
        )
        if rows != c.pre_size or columns != c.post_size:
            made = Part(made, _place(c.pre_part), _place(c.post_part))
        return made, (rows, columns)
    if c.kind == "one_to_one":
        return OneToOne(_place(c.pre_part), _place(c.post_part), scale), (rows,)
    whole = rows == c.pre_size and columns == c.post_size
    if c.pattern in ("conv2d", "avg_pool", "max_pool") and whole:
        image, output, kernel, stride, padding, dilation, groups = window(c.pattern, c.options, columns)
        seen = Window(image, output, kernel, stride, padding, dilation)
        if c.pattern == "conv2d":
            if native is not None:
                return NativeConvolution(native, seen, groups, scale), (c.shared_size,)
            return Convolution(seen, groups, scale), (c.shared_size,)
        greatest = link.pool == "max"
        if greatest and link.weight and scale * float(np.asarray(device.read(link.weight)).reshape(-1)[0]) < 0:
            raise refusal(link.name, "a maximum of negative multiples, which is a minimum", link.span)
        return Pool(seen, scale, greatest) if native is None else NativePool(native, seen, scale, greatest), ()
    if link.pool:
        raise refusal(link.name, "a maximum over what arrives", link.span)
    pre_of, post_of = (np.asarray(side, np.int64) for side in device.synapses(link.connectivity))
    shared = None
    if c.shared_size:
        shared = np.asarray(generate(c, plan.streams.get(c.stream)).weight_index, np.int64)
        return _listed(lists, pre_of, post_of, c, scale, shared), (c.shared_size,)
    return _listed(lists, pre_of, post_of, c, scale, None), (pre_of.size,)


def _late(
    link: Link, c: Connectivity, plan: Plan, device: NumpyDevice, scale: float, lists: NativeLists | None
) -> tuple[Product, tuple[int, ...]]:
    """The synapses of one delay, as a list; the weights are those of all."""
    pre_of, post_of = (np.asarray(side, np.int64) for side in device.synapses(link.connectivity))
    chosen = np.flatnonzero(np.asarray(device.read(plan.late[link.connectivity][0])).reshape(-1) == link.late)
    shape: tuple[int, ...] = (pre_of.size,)
    weight = chosen
    if c.shared_size:
        weight, shape = np.asarray(generate(c, plan.streams.get(c.stream)).weight_index, np.int64)[chosen], (c.shared_size,)
    elif c.kind == "dense":
        shape = (len(c.pre_part), len(c.post_part))
        if not c.autapses:
            chosen = weight = chosen[pre_of[chosen] != post_of[chosen]]
    return _listed(lists, pre_of[chosen], post_of[chosen], c, scale, weight), shape


def _listed(
    lists: NativeLists | None, pre_of: Values, post_of: Values, c: Connectivity, scale: float, weight: Values | None
) -> Product:
    if lists is None:
        return Sparse(pre_of, post_of, c.pre_size, c.post_size, scale, weight)
    return NativeSparse(lists, pre_of, post_of, c.pre_size, c.post_size, scale, weight)


def _place(part: Any) -> slice | Values:
    if isinstance(part, range):
        return slice(part.start, part.stop, part.step)
    return np.asarray(part, np.int64)


def fan_in(c: Connectivity, weights: int) -> float:
    """How many synapses end on one post neuron, on average."""
    if c.kind == "dense":
        return float(len(c.pre_part))
    if "kernel" in c.options and "channels" in c.options:
        depth = int(c.options["pre_shape"][0]) // int(c.options.get("groups") or 1)
        kernel = c.options["kernel"]
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        return float(depth * height * width)
    return 1.0 if c.kind == "one_to_one" else weights / max(1, len(c.post_part))
