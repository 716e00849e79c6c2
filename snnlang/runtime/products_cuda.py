"""What connections do to whole batches on a device: CuPy's matrix products (cuBLAS), and kernels of our own for windows and lists.

The classes mirror those of :mod:`snnlang.runtime.products` and :mod:`snnlang.runtime.windows`, from which they are made; the kernels are in
codegen/cuda/products.cuh. Each number is written by one thread in a fixed order, so the same bits come every time. A product that has no
class here goes through the host (:class:`OnHost`): right, and slow.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnlang.runtime import products, windows

if TYPE_CHECKING:
    from snnlang.runtime.products import Product

Values = NDArray[Any]
#: Numbers that the gathered columns of one piece hold: large products keep a device busy.
PIECE = 1 << 26


class Place(Protocol):
    """What a product needs of the device's arrays."""

    xp: Any

    def up(self, value: Values) -> Values:
        """A copy of a host's array."""
        ...

    def down(self, value: Any) -> Values:
        """The numbers on the host."""
        ...

    def address(self, value: Values) -> int:
        """Where an array begins."""
        ...

    def table(self, entries: tuple[int, ...]) -> int:
        """The address of 64-bit whole numbers on the device."""
        ...

    def kernel(self, name: str, real: Any, items: int, arguments: tuple[int, ...]) -> None:
        """Start a kernel of products.cuh with a thread for each item."""
        ...


def device_product(product: Product, place: Place) -> Product:
    """The same product on the device."""
    match product:
        case products.Dense(pre=pre, post=post, scale=scale, mask=mask):
            return Dense(place, pre, post, scale, mask)
        case products.Sparse():
            return Sparse(place, product)
        case products.OneToOne(pre_at=pre_at, post_at=post_at, scale=scale):
            return OneToOne(place, pre_at, post_at, scale)
        case products.Part(inner=inner, pre_at=pre_at, post_at=post_at):
            return Part(place, device_product(inner, place), pre_at, post_at)
        case products.Transposed(inner=inner):
            return products.Transposed(device_product(inner, place))
        case products.Dropped(inner=inner):
            return product.on(device_product(inner, place), place.xp, place.up)
        case windows.Convolution(window=window, groups=groups, scale=scale):
            return Convolution(place, window, groups, scale)
        case windows.Pool(window=window, scale=scale, greatest=greatest):
            return Pool(place, window, scale, greatest)
    return OnHost(place, product)


def through_host(product: Product) -> bool:
    """Whether a product of this module computes on the host."""
    if isinstance(product, Part | products.Transposed | products.Dropped):
        return through_host(product.inner)
    return isinstance(product, OnHost)


class Dense:
    """Every pre neuron to every post neuron."""

    trained = True

    def __init__(self, place: Place, pre: int, post: int, scale: float, mask: Values | None) -> None:
        self.xp, self.pre, self.post, self.scale = place.xp, pre, post, scale
        self.mask = None if mask is None else place.up(mask)

    def matrix(self, weight: Values) -> Values:
        """(pre, post), scaled and without the synapses that are not there."""
        made = weight.reshape(self.pre, self.post)
        if self.mask is not None:
            made = made * self.mask
        return made if self.scale == 1.0 else made * made.dtype.type(self.scale)

    def _product(self, a: Values, b: Values, out: Values, add: bool) -> None:
        if add:
            out += self.xp.matmul(a, b)
        else:
            self.xp.matmul(a, b, out=out)

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        self._product(sent, self.matrix(weight), out, add)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        self._product(arrived, self.matrix(weight).T, out, add)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        made = self.xp.matmul(sent.T, arrived)
        if self.scale != 1.0:
            made *= made.dtype.type(self.scale)
        if self.mask is not None:
            made *= self.mask
        out += made.reshape(out.shape)


def _bits(value: float) -> int:
    """A double as the whole number that kernels take."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def _grouped(of: Values, count: int) -> tuple[Values, Values]:
    """(where each group begins, its members in their order)."""
    order = np.argsort(of, kind="stable").astype(np.int64)
    start = np.concatenate(([0], np.cumsum(np.bincount(of, minlength=count)))).astype(np.int64)
    return start, order


class Sparse:
    """Listed synapses: a thread for each neuron and row goes through its own."""

    trained = True

    def __init__(self, place: Place, listed: products.Sparse) -> None:
        self.place, self.xp = place, place.xp
        self.pre, self.post, self.scale = listed.pre, listed.post, listed.scale
        whole = [np.ascontiguousarray(side, np.int64) for side in (listed.pre_of, listed.post_of)]
        self.count = int(whole[0].size)
        self.pre_of, self.post_of = (place.up(side) for side in whole)
        self.into = tuple(place.up(part) for part in _grouped(whole[1], self.post))
        self.out_of = tuple(place.up(part) for part in _grouped(whole[0], self.pre))
        self.shared: Values | None = None
        if listed.shared is not None:
            number = np.ascontiguousarray(listed.shared, np.int64)
            self.shared = place.up(number)
            self.members = tuple(place.up(part) for part in _grouped(number, int(number.max(initial=-1)) + 1))

    def _run(self, lists: Any, source: Values, weight: Values, values: Values, out: Values, add: bool) -> None:
        rows, neurons, sources = values.shape[0], out.shape[1], values.shape[1]
        at = self.place.address
        number = 0 if self.shared is None else at(self.shared)
        table = self.place.table((at(lists[0]), at(lists[1]), at(source), number, at(weight), at(values), at(out)))
        single = int(weight.size == 1 and self.shared is None)
        given = (table, rows, sources, neurons, single, _bits(self.scale), int(add))
        self.place.kernel("snn_synapses", values.dtype, rows * neurons, given)

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        self._run(self.into, self.pre_of, weight, self.xp.ascontiguousarray(sent), out, add)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        self._run(self.out_of, self.post_of, weight, self.xp.ascontiguousarray(arrived), out, add)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        sent, arrived = self.xp.ascontiguousarray(sent), self.xp.ascontiguousarray(arrived)
        made = self.xp.empty(self.count, out.dtype)
        at = self.place.address
        table = self.place.table((at(self.pre_of), at(self.post_of), at(sent), at(arrived), at(made)))
        given = (table, self.count, sent.shape[0], self.pre, self.post, _bits(self.scale))
        self.place.kernel("snn_slopes", out.dtype, self.count, given)
        if self.shared is not None:
            start, members = self.members
            table = self.place.table((at(start), at(members), at(made), at(out)))
            self.place.kernel("snn_weights_shared", out.dtype, start.size - 1, (table, start.size - 1))
        elif out.size == 1:
            out += made.sum()
        else:
            out += made.reshape(out.shape)


def _part(place: Place, at: slice | Values) -> Any:
    return at if isinstance(at, slice) else place.up(np.ascontiguousarray(at, np.int64))


class OneToOne:
    """Each neuron to its partner."""

    trained = True

    def __init__(self, place: Place, pre_at: slice | Values, post_at: slice | Values, scale: float) -> None:
        self.pre_at, self.post_at, self.scale = _part(place, pre_at), _part(place, post_at), scale

    def _weights(self, weight: Values) -> Values:
        made: Values = weight.reshape(-1) * weight.dtype.type(self.scale)
        return made

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        if not add:
            out[...] = 0
        out[:, self.post_at] += sent[:, self.pre_at] * self._weights(weight)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        if not add:
            out[...] = 0
        out[:, self.pre_at] += arrived[:, self.post_at] * self._weights(weight)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        made = (sent[:, self.pre_at] * arrived[:, self.post_at]).sum(axis=0) * out.dtype.type(self.scale)
        if out.size == 1:
            out += made.sum()
        else:
            out += made.reshape(out.shape)


class Part:
    """Another product between parts of two populations."""

    trained = True

    def __init__(self, place: Place, inner: Product, pre_at: slice | Values, post_at: slice | Values) -> None:
        self.inner, self.contiguous = inner, place.xp.ascontiguousarray
        self.pre_at, self.post_at = _part(place, pre_at), _part(place, post_at)

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        if not add:
            out[...] = 0
        made = self.contiguous(out[:, self.post_at])
        self.inner.forward(self.contiguous(sent[:, self.pre_at]), weight, made, True)
        out[:, self.post_at] = made

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        if not add:
            out[...] = 0
        made = self.contiguous(out[:, self.pre_at])
        part = None if sent is None else self.contiguous(sent[:, self.pre_at])
        self.inner.transpose(self.contiguous(arrived[:, self.post_at]), weight, made, True, part)
        out[:, self.pre_at] = made

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        self.inner.gradient(self.contiguous(sent[:, self.pre_at]), self.contiguous(arrived[:, self.post_at]), out)


def _numbers(window: windows.Window) -> tuple[int, ...]:
    """``snn_window`` of products.cuh."""
    w = window
    return (*w.image, *w.output[1:], *w.kernel, *w.stride, *w.padding, *w.dilation)


class Convolution:
    """Shared kernels that slide over images: columns (taps, images, windows), then one matrix product for each group."""

    trained = True

    def __init__(self, place: Place, window: windows.Window, groups: int, scale: float) -> None:
        self.place, self.xp, self.window, self.groups, self.scale = place, place.xp, window, groups, scale
        self.outputs = window.output[0] // groups
        self.taps = window.image[0] // groups * window.kernel[0] * window.kernel[1]
        self.windows = window.output[1] * window.output[2]

    def _pieces(self, count: int) -> list[slice]:
        step = max(1, PIECE // max(1, self.groups * self.taps * self.windows))
        return [slice(first, min(count, first + step)) for first in range(0, count, step)]

    def _columns(self, images: Values) -> Values:
        count = images.shape[0]
        made = self.xp.empty((self.groups, self.taps, count * self.windows), images.dtype)
        table = self.place.table((self.place.address(images), self.place.address(made), *_numbers(self.window)))
        self.place.kernel("snn_columns", images.dtype, made.size, (table, count))
        return made  # type: ignore[no-any-return]

    def _kernels(self, weight: Values, group: int) -> Values:
        made: Values = weight.reshape(self.groups, self.outputs, self.taps)[group]
        return made if self.scale == 1.0 else made * made.dtype.type(self.scale)

    def _outputs(self, values: Values, group: int) -> Values:
        """(outputs of the group, images*windows) as a contiguous array of its own."""
        shaped = values.reshape(-1, self.groups * self.outputs, self.windows)
        part = shaped[:, group * self.outputs : (group + 1) * self.outputs].transpose(1, 0, 2)
        made: Values = self.xp.ascontiguousarray(part).reshape(self.outputs, -1)
        return made

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        sent = self.xp.ascontiguousarray(sent)
        for piece in self._pieces(sent.shape[0]):
            columns = self._columns(sent[piece])
            target = out[piece].reshape(-1, self.groups * self.outputs, self.windows)
            for group in range(self.groups):
                made = self.xp.matmul(self._kernels(weight, group), columns[group])
                shaped = made.reshape(self.outputs, -1, self.windows).transpose(1, 0, 2)
                part = target[:, group * self.outputs : (group + 1) * self.outputs]
                if add:
                    part += shaped
                else:
                    part[...] = shaped

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        for piece in self._pieces(arrived.shape[0]):
            bars, target = arrived[piece], out[piece]
            count = bars.shape[0]
            columns = self.xp.empty((self.groups, self.taps, count * self.windows), arrived.dtype)
            for group in range(self.groups):
                self.xp.matmul(self._kernels(weight, group).T, self._outputs(bars, group), out=columns[group])
            table = self.place.table((self.place.address(columns), self.place.address(target), *_numbers(self.window)))
            self.place.kernel("snn_images", arrived.dtype, target.size, (table, count, int(add)))

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        sent = self.xp.ascontiguousarray(sent)
        total = out.reshape(self.groups, self.outputs, self.taps)
        for piece in self._pieces(sent.shape[0]):
            columns, bars = self._columns(sent[piece]), arrived[piece]
            for group in range(self.groups):
                made = self.xp.matmul(self._outputs(bars, group), columns[group].T)
                total[group] += made if self.scale == 1.0 else made * made.dtype.type(self.scale)


class Pool:
    """The sum over windows times ``scale``, or, where ``greatest``, the greatest value."""

    trained = False

    def __init__(self, place: Place, window: windows.Window, scale: float, greatest: bool) -> None:
        self.place, self.xp, self.window, self.scale, self.greatest = place, place.xp, window, scale, greatest

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        sent = self.xp.ascontiguousarray(sent)
        arrays = tuple(self.place.address(value) for value in (sent, weight, out))
        table = self.place.table((*arrays, *_numbers(self.window)))
        given = (table, sent.shape[0], int(self.greatest), _bits(self.scale), int(add))
        self.place.kernel("snn_pool", sent.dtype, out.size, given)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        arrived = self.xp.ascontiguousarray(arrived)
        images = out if sent is None else self.xp.ascontiguousarray(sent)
        arrays = tuple(self.place.address(value) for value in (arrived, weight, out, images))
        table = self.place.table((*arrays, *_numbers(self.window)))
        given = (table, arrived.shape[0], int(self.greatest), _bits(self.scale), int(add))
        self.place.kernel("snn_pool_back", arrived.dtype, out.size, given)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        raise AssertionError("a pool has no weights to train")


class OnHost:
    """A product that only the host knows: numbers go there and come back."""

    def __init__(self, place: Place, inner: Product) -> None:
        self.place, self.inner, self.trained = place, inner, inner.trained

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        down = self.place.down
        made = np.array(down(out))
        self.inner.forward(down(sent), down(weight), made, add)
        out[...] = self.place.up(made)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        down = self.place.down
        made = np.array(down(out))
        self.inner.transpose(down(arrived), down(weight), made, add, None if sent is None else down(sent))
        out[...] = self.place.up(made)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        made = np.array(self.place.down(out))
        self.inner.gradient(self.place.down(sent), self.place.down(arrived), made)
        out[...] = self.place.up(made)


__all__ = ["PIECE", "Convolution", "Dense", "OnHost", "OneToOne", "Part", "Pool", "Sparse", "device_product", "through_host"]
