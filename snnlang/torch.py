"""A network of a ``train`` block as a module of PyTorch: our forward and backward passes inside somebody's model.

>>> import snnlang, snnlang.torch                                              # doctest: +SKIP
>>> spiking = snnlang.torch.module(snnlang.load("digits.snn"), "out.v:mean")   # doctest: +SKIP
>>> model = torch.nn.Sequential(torch.nn.Linear(9, 64), spiking)               # doctest: +SKIP

Parameters share their memory with the network's weights, so that an optimizer of PyTorch trains the network and ``net.save`` writes
what it made. Gradients with respect to the inputs are passed on. The passes run on the CPU, and what they computed has no second
derivative. Refused: anything but real, dense, finite tensors (E843, E628), unknown readouts (E751), samples of another shape (E753),
and pickling (E844).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import error

if TYPE_CHECKING:
    from snnlang.runtime.learning_engine import Engine
    from snnlang.runtime.load import Model
    from snnlang.runtime.network import Network

try:
    import torch
    from torch.autograd.function import once_differentiable
except ImportError:
    raise error(
        "E806", "snnlang.torch needs PyTorch, which is not installed", help="install it: pip install snnlang[torch]"
    ) from None

Values = NDArray[Any]


def module(net: Network | Model | str | os.PathLike[str], *readouts: str, steps_first: bool = False) -> Module:
    """A module whose forward and backward passes are the network's.

    ``net`` is a network (``model.network()``), a model, whose first ``train`` block is then taken with new weights, or its file.
    ``readouts`` say what comes out: ``"out.v"`` or ``"h.spikes"`` in every step, ``"out.v:mean"`` (``sum``, ``count``, ``end``) over all
    steps; without any, what the loss of the block reads. One readout comes out as a tensor, several as a tuple.

    Samples are (batch, ...) shaped like the network's input, the same in every step, or (batch, steps, ...); readouts of every step
    are (batch, steps, neurons), the others (batch, neurons). With ``steps_first`` steps stand before samples, as most models of
    spiking networks have it: (steps, batch, ...). A network with several inputs takes them in their order, or by name.

    The passes run on the CPU in the precision of the network; tensors from another device are moved there, and what comes out is moved
    back, in the precision of the tensors that came. Parameters that left their bounds are put back before the next pass.

    Raises E751 (no such readout), E754 (a file without a ``train`` block) and E769 (a network of target cuda).
    """
    return Module(_network(net), readouts, steps_first)


class Module(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """See :func:`module`. ``net`` is the network, ``names`` its names of the parameters by those of this module."""

    def __init__(self, net: Network, readouts: tuple[str, ...] = (), steps_first: bool = False) -> None:
        super().__init__()
        learner = net.learner
        if learner.arrays.apart:
            raise error(
                "E769",
                "modules of PyTorch compute on the CPU, and this network computes on a CUDA device",
                help="load the network with `target=\"c\"`; the module moves tensors of a GPU there and back",
            )
        self.net = net
        self.steps_first = steps_first
        self._asked = readouts
        self.readouts = tuple(learner.readout(label) for label in readouts) or learner.readouts
        self.inputs = tuple(described.path for described in net.experiment.network.inputs)
        self.names: dict[str, str] = {}
        for one in learner.trained:
            name = _identifier(one.name, self.names)
            self.names[name] = one.name
            view = learner.parameters[one.start : one.stop].reshape(one.shape)
            self.register_parameter(name, torch.nn.Parameter(torch.from_numpy(view)))
        for measured, value in learner.measured().items():  # running statistics move on in training, as those of PyTorch do
            self.register_buffer(_identifier(measured, {**self.names, **self._buffers}), torch.from_numpy(value))
        self._engines: dict[tuple[frozenset[str], bool], Engine] = {}
        self._settled = learner.settled
        self.turn = 0  # counts forward passes: whose memory an engine holds
        self._seen: Values = learner.parameters.copy()

    @torch.compiler.disable  # type: ignore[untyped-decorator, unused-ignore]
    def forward(self, *values: Any, **named: Any) -> Any:
        """The readouts of a batch; see :func:`module` for shapes."""
        given = {**dict(zip(self.inputs, values)), **named}
        if len(values) + len(named) != len(self.inputs) or set(given) != set(self.inputs):
            raise error(
                "E843",
                f"{len(values) + len(named)} arrays were given, and the network has {len(self.inputs)} inputs",
                help="give one for each of " + ", ".join(f"`{name}`" for name in self.inputs),
            )
        tensors = [self._tensor(name, given[name]) for name in self.inputs]
        parameters = [getattr(self, name) for name in self.names]
        made = _Passes.apply(self, torch.is_grad_enabled(), *tensors, *parameters)
        first = given[self.inputs[0]]
        if isinstance(first, torch.Tensor):  # what follows computes where and how the layers before do
            made = tuple(value.to(first.device, first.dtype if first.is_floating_point() else None) for value in made)
        return made[0] if len(made) == 1 else tuple(made)

    def extra_repr(self) -> str:
        """What comes in and out, for ``print(model)``."""
        outputs = ", ".join(readout.label for readout in self.readouts)
        return f"{', '.join(self.inputs)} -> {outputs}; {self.net.training.steps} steps, {self.net.target}"

    # --- PyTorch's habits ---------------------------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict[int, Any]) -> Module:
        """A module of a network of its own, with the same weights; what PyTorch's averages of models and many trainers make."""
        made = Module(self.net.copy(), self._asked, self.steps_first)
        made.train(self.training)
        memo[id(self)] = made
        own = dict(made.named_parameters())
        for name, parameter in self.named_parameters():
            own[name].requires_grad_(parameter.requires_grad)
            memo[id(parameter)] = own[name]
        return made

    def __getstate__(self) -> Any:
        raise error(
            "E844",
            "a module of snnlang.torch is not pickled: its passes are compiled code of this process",
            help="save its numbers, `safetensors.torch.save_file(model.state_dict(), path)`, and load them into a module that is made anew",
        )

    def _apply(self, fn: Any, recurse: bool = True) -> Module:
        """``to``, ``double``, ``cuda`` and their like leave parameters where the network has them: what goes in and out is moved."""
        return self

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
        """Copied into the network's memory, ``assign = True`` or not."""
        super()._load_from_state_dict(state_dict, prefix, {**local_metadata, "assign_to_params_buffers": False}, *rest)

    # --- arrays -------------------------------------------------------------------------------------------------------

    def _tensor(self, name: str, value: Any) -> Any:
        value = torch.as_tensor(value)
        if value.is_complex() or value.layout != torch.strided:
            raise error(
                "E843",
                f"the input `{name}` is a tensor of {value.dtype}, {value.layout}, and passes run on dense real numbers",
                help="give `x.real`, or `x.to_dense()`",
            )
        value = value.to("cpu", self._real())
        if not bool(torch.isfinite(value).all()):  # a test of an event would take it for a silent neuron
            raise error(
                "E628",
                f"the input `{name}` holds values that are not finite",
                help="look at the layers before: `torch.autograd.set_detect_anomaly(True)` finds the first such gradient",
            )
        size = next(i.size for i in self.net.experiment.network.inputs if i.path == name)
        if self.steps_first and value.dim() > 1 and value.numel() != value.shape[0] * size:
            value = value.transpose(0, 1)
        return value

    def _real(self) -> Any:
        return torch.float32 if self.net.learner.real == np.float32 else torch.float64

    @contextmanager
    def borrowed(self, tensors: Sequence[Any]) -> Iterator[None]:
        """Compute with these parameters. They are the network's own, unless ``torch.func.functional_call`` gave others for a while."""
        learner = self.net.learner
        foreign = [
            (one, tensor)
            for one, tensor in zip(learner.trained, tensors)
            if tensor.data_ptr() != learner.parameters[one.start :].ctypes.data
        ]
        kept = learner.parameters.copy() if foreign else None
        for one, tensor in foreign:
            learner.parameters[one.start : one.stop] = tensor.detach().cpu().numpy().reshape(-1)
        try:
            if not np.array_equal(self._seen, learner.parameters):
                learner.bound()
                self._seen[...] = learner.parameters
            yield
        finally:
            if kept is not None:
                learner.parameters[...] = kept

    # --- passes -------------------------------------------------------------------------------------------------------

    def run(self, given: Mapping[str, Values], keep: bool, sample: int, training: bool) -> tuple[Engine, tuple[Values, ...]]:
        """One forward pass and its engine; ``keep`` for a backward pass to come, ``training`` with dropout and statistics of the batch."""
        arrays, once = self.net.learner.inputs(given)
        key = (once, keep)
        if self._settled != self.net.learner.settled:
            self._engines.clear()
            self._settled = self.net.learner.settled
        if key not in self._engines:
            self._engines[key] = self.net.learner.make_engine(self.readouts, once, keep)
        engine = self._engines[key]
        batch = next(iter(given.values())).shape[0]
        self.net.learner.masks(batch if training else None, sample)
        with self.net.learner.arrays.said():
            made = engine.forward(arrays, keep=keep, sample=sample, training=training)
        return engine, tuple(made[readout.label] for readout in self.readouts)

    def turned(self, value: Values) -> Values:
        """A readout's axes between the engine, which has (steps, batch, neurons), and the user: both ways are the same."""
        if value.ndim == 3 and not self.steps_first:
            return value.transpose(1, 0, 2)
        return value


class _Passes(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """Inputs, then parameters, to readouts."""

    @staticmethod
    def forward(ctx: Any, of: Module, enabled: bool, *tensors: Any) -> Any:
        learner, count = of.net.learner, len(of.inputs)
        given = {name: tensor.detach().numpy() for name, tensor in zip(of.inputs, tensors)}
        keep = enabled and any(ctx.needs_input_grad)
        ctx.of, ctx.count, ctx.sample, ctx.training = of, count, learner.samples, of.training
        with of.borrowed(tensors[count:]):
            ctx.engine, made = of.run(given, keep, learner.samples, of.training)
        if keep:
            learner.samples += next(iter(given.values())).shape[0]
            of.turn += 1
            ctx.turn = of.turn
            ctx.save_for_backward(*tensors)
        return tuple(torch.from_numpy(np.array(of.turned(value), order="C")) for value in made)

    @staticmethod
    @once_differentiable  # type: ignore[misc, untyped-decorator, unused-ignore]
    def backward(ctx: Any, *adjoints: Any) -> Any:
        of, engine, count = ctx.of, ctx.engine, ctx.count
        learner = of.net.learner
        tensors = ctx.saved_tensors  # refused by PyTorch where one was changed since
        wanted = ctx.needs_input_grad[2 : 2 + count]
        with of.borrowed(tensors[count:]):
            if ctx.turn != of.turn:  # another forward pass came between: this one goes again
                given = {name: tensor.detach().numpy() for name, tensor in zip(of.inputs, tensors)}
                running = {name: value.copy() for name, value in learner.measured().items()}
                engine, _ = of.run(given, True, ctx.sample, ctx.training)
                for name, value in learner.measured().items():  # they moved on when it went first
                    value[...] = running[name]
                of.turn += 1
                ctx.turn = of.turn
            learner.masks(tensors[0].shape[0] if ctx.training else None, ctx.sample)
            engine.want_inputs = any(wanted)
            bars = {
                readout.label: np.ascontiguousarray(of.turned(adjoint.detach().numpy()), learner.real)
                for readout, adjoint in zip(of.readouts, adjoints)
            }
            with learner.arrays.said():
                learner.backward(engine, bars)
        back: list[Any] = [None, None]
        for name, tensor, asked in zip(of.inputs, tensors, wanted):
            value = engine.input_gradients[name] if asked else None
            if value is not None and name not in engine.once:
                value = value.transpose(1, 0, 2)
            back.append(None if value is None else torch.from_numpy(np.array(value, order="C")).reshape(tensor.shape))
        for one, tensor in zip(learner.trained, tensors[count:]):
            gradient = learner.gradients[one.start : one.stop].reshape(one.shape).copy()
            back.append(torch.from_numpy(gradient).to(tensor.device, tensor.dtype))
        return tuple(back)


def _network(net: Any) -> Network:
    from snnlang.runtime.load import Model, load
    from snnlang.runtime.network import Network

    if isinstance(net, Network):
        return net
    if not isinstance(net, Model | str | os.PathLike):
        raise error(
            "E843", f"{type(net).__name__} is no network of snnlang", help="give a network, a model or the path of a file"
        )
    model = net if isinstance(net, Model) else load(net)
    return model.network()


def _identifier(name: str, taken: Mapping[str, str]) -> str:
    """``image->h.x.w`` as a name that PyTorch takes: ``image_to_h_x_w``."""
    made = "".join(c if c.isalnum() else "_" for c in name.replace("->", "_to_"))
    while made in taken or hasattr(torch.nn.Module, made):
        made += "_"
    return made


__all__ = ["Module", "module"]
