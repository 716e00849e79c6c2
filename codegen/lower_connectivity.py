"""Lower a projection's pattern: which synapses exist, as a connectivity of the plan."""

from __future__ import annotations

from typing import Literal

import numpy as np

from snnlang.codegen.lower_network import Lowering, shape_of, size_of
from snnlang.codegen.plan import Connectivity
from snnlang.model.network import Endpoint, Pattern, Projection


def lower_connectivity(low: Lowering, projection: Projection) -> str:
    """Register which synapses exist."""
    assembly = low.assembly
    pattern: Pattern = projection.pattern
    pre_size = size_of(low, projection.pre.path)
    post_size = size_of(low, projection.post.path)
    pre_part, post_part = _part(projection.pre, pre_size), _part(projection.post, post_size)
    kind: Literal["dense", "one_to_one", "sparse"] = "sparse"
    options = dict(pattern.options)
    if pattern.kind == "dense":
        kind = "dense" if _contiguous(pre_part) and _contiguous(post_part) else "sparse"
    elif pattern.kind in ("one_to_one", "flatten"):
        kind = "one_to_one" if _contiguous(pre_part) and _contiguous(post_part) else "sparse"
    shared = 0
    if pattern.kind in ("conv2d", "local2d", "avg_pool", "max_pool"):
        options["pre_shape"] = _channels_first(projection.pre.shape)
    if pattern.kind == "conv2d":
        height, width = options["kernel"]
        shared = options["channels"] * (options["pre_shape"][0] // options.get("groups", 1)) * height * width
    if pattern.kind == "where":
        options["condition"] = pattern.condition
        options["pre_shape"] = shape_of(low, projection.pre.path)
        options["post_shape"] = shape_of(low, projection.post.path)
    name = assembly.unique(projection.path)
    same = projection.pre.path == projection.post.path
    autapses = bool(options.get("autapses", True)) or not same
    stream = ""
    if pattern.kind in ("random", "fixed_indegree", "fixed_outdegree", "fixed_total"):
        stream = assembly.add_stream(projection.path, "connectivity")
    assembly.connectivities[name] = Connectivity(
        name,
        kind,
        pre_size,
        post_size,
        pre_part,
        post_part,
        "one_to_one" if pattern.kind == "flatten" else pattern.kind,
        options,
        stream,
        autapses,
        shared,
        False,
        projection.path,
        projection.span,
    )
    return name


def _part(endpoint: Endpoint, size: int) -> range | np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return range(size) if endpoint.indices is None else endpoint.indices


def _contiguous(part: range | np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> bool:
    return isinstance(part, range) and (len(part) == 0 or part.step == 1)


def _channels_first(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) == 1:
        return (1, 1, shape[0])
    if len(shape) == 2:
        return (1, shape[0], shape[1])
    return (int(np.prod(shape[:-2], dtype=np.int64)), shape[-2], shape[-1])
