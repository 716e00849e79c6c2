"""How a training will be computed, in words and as kernels: ``snn explain`` and ``snn show --stage forward|backward`` of a ``train`` block.

Everything is read from the engine of the target that will train. Memory is that of the arrays which one sample fills, times the batch; of
target cuda, which needs its device for that, what is estimated before anything is allocated there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from snnlang.codegen.learning_plan import Link
from snnlang.codegen.passes import KEPT
from snnlang.codegen.plan_text import kernel_text
from snnlang.model.elaborate import Overrides
from snnlang.model.loaders import LOADERS
from snnlang.model.model import Program
from snnlang.runtime import native_cycles
from snnlang.runtime.cuda_failure import size
from snnlang.runtime.engine_cells import CellRun
from snnlang.runtime.learning_engine import Engine
from snnlang.runtime.native_convolution import FEWEST, NativeConvolution
from snnlang.runtime.native_products import RARE, WORTH_LISTS, NativeDense
from snnlang.runtime.network import Network
from snnlang.runtime.pass_runner import LANES
from snnlang.runtime.products import Dropped, Part, Product

#: What carries a connection, by the class of its product; others are told by their own first sentence.
_PRODUCTS = {
    "Dense": "a matrix product",
    "NativeDense": "a matrix product",
    "NativeConvolution": "a convolution",
    "NativePool": "a pool",
    "Sparse": "a list of synapses",
    "NativeSparse": "a list of synapses",
    "OneToOne": "neuron to neuron",
    "Total": "a sum over all neurons",
    "Convolution": "a convolution",
    "Pool": "a pool",
    "Transposed": "a matrix product with the transposed weights of another connection",
}


def explain_training(program: Program, overrides: Overrides, name: str | None = None) -> str:
    """Layers and their order, what is computed once, folded, kept and computed again, products, parameters and memory."""
    network, target = _network(program, overrides, name)
    learner, training = network.learner, network.training
    device = target == "cuda"
    changing = _changes(network)
    engine = learner.engine(frozenset() if changing else frozenset(training.inputs), True)
    shown = ", ".join(f"`{path}`" for path in training.inputs)
    way = "changes from step to step" if changing else "stays the same in every step"
    lines = [
        f"{network.experiment.name}: trains network {network.experiment.network.name}, {training.steps} steps of "
        f"{network.experiment.dt:g} ms, {learner.real.name}, target {target}, seed {network.experiment.seed}",
        f"{training.epochs} epochs, batches of {training.batch}, {training.optimizer.name}, "
        f"{learner.parameters.size:,} trained numbers; the loss reads {', '.join(readout.label for readout in learner.readouts)}",
        "",
        f"Layers, in the order of the forward pass (where {shown} {way})",
    ]
    for layer in learner.layers.layers:
        lines += _layer(engine, layer.cells, bool(layer.links))
    lines += ["", "Connections"]
    lines += [_connection(engine, link, training.batch) for link in learner.layers.links]
    lines += ["", "Backward pass"]
    lines += _backward(network, engine)
    lines += ["", "Trained"]
    for one in learner.trained:
        shape = " x ".join(map(str, one.shape)) or "one number"
        within = "" if one.low is None and one.high is None else f", kept within {_end(one.low)} to {_end(one.high)}"
        lines.append(f"  {one.name}: {shape}{within}")
    lines += [f"  {path}.{variable}: frozen" for path, variable in training.freeze]
    return "\n".join([*lines, "", *_memory(network, engine, device)])


def pass_text(
    program: Program, overrides: Overrides, stage: Literal["forward", "backward"], name: str | None = None
) -> str:
    """The kernels of the passes, one for each population, in the intermediate language."""
    network = Network(program, name, replace(overrides, target="numpy"))  # whose kernels are the same and need no compiler
    engine = network.learner.engine(frozenset(network.training.inputs), True)
    parts = ["\n".join(kernel_text(getattr(run.passes, stage))) for run in engine.runs.values()]
    parts += [f"# {path} is folded: what it reads is weighted and summed over the steps" for path in engine.folded]
    return "\n\n".join(parts)


def _network(program: Program, overrides: Overrides, name: str | None) -> tuple[Network, str]:
    """The network on the target that will train it, with the name of that; of cuda the network on numpy, of the same passes and order."""
    from snnlang.model.elaborate import elaborate
    from snnlang.runtime import cuda_choice
    from snnlang.runtime.compiler import find

    chosen = str(overrides.target or elaborate(program, name, overrides).settings.get("target", "auto"))
    host = chosen if chosen not in ("auto", "cuda") else "c" if chosen == "auto" and find() is not None else "numpy"
    network = Network(program, name, replace(overrides, target=host))
    training = network.training
    if chosen == "auto" and cuda_choice.installed() and cuda_choice.pays_training(network.learner.plan, training.batch, training.steps):
        chosen = "cuda"
    return network, "cuda" if chosen == "cuda" else host


# --- forward ----------------------------------------------------------------------------------------------------------


def _layer(engine: Engine, cells: tuple[str, ...], cyclic: bool) -> list[str]:
    lines = []
    if cyclic and len(cells) > 1:
        lines.append(f"  {', '.join(cells)}: a cycle, step by step together{_whole(engine, cells[0])}")
    for path in cells:
        cell = engine.learning.cells[path]
        count = f"  {path}: {cell.size} {'pre neurons of the connection' if cell.connection else 'neurons'}, "
        if path in engine.folded:
            lines.append(f"{count}linear and read as a weighted sum: folded into weights of what arrives in each step")
            continue
        run = engine.runs[path]
        if run.still:
            way = "the same in every step: computed once"
        elif cyclic:
            way = "step by step" if len(cells) > 1 else f"step by step, because it is on a cycle{_whole(engine, path)}"
        else:
            way = f"all {engine.segment} steps{' of a segment' if engine.segment < engine.steps else ''} at once"
        lines.append(count + way)
        lines.append(f"    {_kept(engine, run)}")
    return lines


def _changes(network: Network) -> bool:
    """Whether samples of the block's own data change from step to step, as far as their loader tells without reading them."""
    data, inputs = network.training.data, network.experiment.network.inputs
    known = LOADERS.get(data.loader)
    if known is None:
        return False
    pixels = {"digits": 64, "mnist": 784, "fashion_mnist": 784}.get(data.loader)
    frames = any(option.name == "steps" for option in known.options)
    return frames or (pixels is not None and len(inputs) == 1 and inputs[0].size * network.training.steps == pixels)


def _whole(engine: Engine, path: str) -> str:
    cycle = engine.cycle_of(path)
    return "" if cycle is None else "; one call takes a block of samples through all steps before the next block"


def _kept(engine: Engine, run: CellRun) -> str:
    """What one step leaves for the way back."""
    if engine.recomputes(run):
        way = f"its steps are computed again on the way back, {LANES} neurons at a time"
        return f"keeps nothing: what arrives is the same in every step, and {way}"
    inputs = [name for name in run.passes.kept if name in run.cell.inputs]
    kept = [name for name in run.passes.kept if name not in run.cell.inputs]
    names = {let.name for let in run.cell.body}
    again = [name for name in _loaded(run) if name in names and name not in kept]
    text = f"keeps {_count(len(kept))} for each neuron, step and sample"
    if kept:
        text += f" ({', '.join(_plain(run, kept))})"
    if inputs:
        text += f", reads {', '.join(_plain(run, inputs))} as it came"
    if again:
        text += f"; computes {', '.join(_plain(run, again))} again"
    for name, place in engine.in_place(run).items():
        what = "what is sent" if name in run.output_modes else _plain(run, [name.removesuffix(KEPT)])[0]
        text += f"; {what} lies where {', '.join(_plain(run, [place]))} arrived"
    return text


def _loaded(run: CellRun) -> list[str]:
    """Names of the forward pass that the backward kernel computes anew."""
    from snnlang.codegen import kernel as k

    found = [s.name for s in k.walk_statements(run.passes.backward.body) if isinstance(s, k.Let)]
    return list(dict.fromkeys(found))


def _plain(run: CellRun, names: list[str]) -> list[str]:
    """``v_new__now`` as a reader knows it: ``v_new``; what was there before the step as ``v before``."""
    made = []
    for name in names:
        before = name.endswith("__before")
        short = name.removesuffix("__now").removesuffix("__before").removesuffix("_before" if before else "")
        prefix = "".join(c if c.isalnum() else "_" for c in run.path) + "_"
        made.append(short.removeprefix(prefix) + (" before" if before else ""))
    return made


def _count(number: int) -> str:
    return "nothing" if not number else "one number" if number == 1 else f"{number} numbers"


def _connection(engine: Engine, link: Link, batch: int) -> str:
    title = link.name.partition(": ")[0]
    if link.after in engine.learning.cells and engine.learning.cells[link.after].connection:
        title += ", to what it keeps for its pre neurons"
    if link.kind == "bias":
        return f"  {title}: added once"
    product: Product = engine.wiring.products[link.name]
    part = ""
    if isinstance(product, Dropped):
        product, part = product.inner, " with dropout"
    stage = engine.wiring.stages.get(link.name)
    if stage is not None:
        over = "all steps" if stage.rule.over_time else "each step"
        each = f"{stage.channels} channels" if stage.places > 1 else "each neuron"
        part += f", batch normalisation of {each} over {over}"
    if isinstance(product, Part):
        product, part = product.inner, f" between parts of the populations{part}"
    name = type(product).__name__
    once = link.after in engine.folded or engine.is_still(link.name)
    chosen = _choice(engine, link, product, batch if once else batch * engine.segment)
    carried = chosen or _PRODUCTS.get(name) or (type(product).__doc__ or name).split(".")[0].lower()
    if link.after in engine.folded:
        way = "of sums over the steps, once for each batch"
    elif once:
        way = "once for each batch, forwards and backwards"
    elif any(link in layer.links for layer in engine.learning.layers):
        way = "in each step, its gradient from all steps together"
    else:
        way = "one for all steps together"
    late = f", {link.lag} step{'s' if link.lag > 1 else ''} late" if link.lag else ""
    return f"  {title}: {carried}{part}, {way}{late}"


def _choice(engine: Engine, link: Link, product: Product, rows: int) -> str:
    """What a product of so many rows chooses by the part of its senders that are active, where there is a choice."""
    if isinstance(product, NativeDense):
        cycle = engine.cycle_of(link.after)
        if cycle is not None and cycle is engine.cycle_of(link.before):
            return f"a matrix product, or gathered rows where fewer than {native_cycles.RARE:.0%} of the senders are active"
        if product.post < 8 or product.mask is not None or rows * product.pre * product.post < WORTH_LISTS:
            return ""
        few = f"gathered rows where fewer than {RARE:.0%} of the senders are active"
        return f"a matrix product, groups of rows that are zero together where that is faster, or {few}"
    if isinstance(product, NativeConvolution) and min(product.inputs, product.outputs) >= FEWEST:
        few = f"passing over channels that are not active where fewer than {product.skips:.0%} are"
        return f"a convolution, {few}" + ("; backwards in tiles of fewer multiplications" if product.tiled else "")
    return ""


# --- backward, memory -------------------------------------------------------------------------------------------------


def _backward(network: Network, engine: Engine) -> list[str]:
    training = network.training
    lines = [
        "  the derivative of events is the surrogate; gradients "
        + ("pass" if training.through_reset else "stop at")
        + " resets"
    ]
    lines += [
        f"  {path}: its backward pass is the adjoint block of {run.cell.written.model}"
        for path, run in engine.runs.items()
        if run.cell.written is not None
    ]
    if training.truncate is not None:
        lines.append(f"  gradients flow back through {training.truncate} steps (`truncate`)")
    if engine.segment < engine.steps:
        number = -(-engine.steps // engine.segment)
        lines.append(
            f"  {number} segments of {engine.segment} steps: each but the last is computed once more on the way back"
        )
        deep = len({link.after for link in engine.learning.links if _gathered(engine, link)})
        if deep:
            more = f"{deep} more passes, forwards and backwards" if deep > 1 else "one more pass, forwards and backwards"
            lines.append(f"  statistics of batch normalisation over time are gathered over all segments: {more}")
    else:
        lines.append(
            "  all steps are kept: nothing is computed a second time from its start (`checkpoint` trades time for memory)"
        )
    return lines


def _gathered(engine: Engine, link: Link) -> bool:
    """Whether a connection is normalised over steps that are not all there at once."""
    stage = engine.wiring.stages.get(link.name)
    return stage is not None and stage.rule.over_time and not engine.is_still(link.name)


def _memory(network: Network, engine: Engine, device: bool) -> list[str]:
    learner, training = network.learner, network.training
    if device:
        sample = engine.memory(1)
    else:
        steps = () if engine.once else (training.steps,)
        zeros = {i.path: np.zeros((*steps, 1, i.size), learner.real) for i in network.experiment.network.inputs}
        readouts = engine.forward(zeros, keep=True)
        learner.backward(engine, {label: np.zeros_like(value) for label, value in readouts.items()})
        sample = engine.buffer_bytes()
    from snnlang.runtime.optimizers import Optimizer

    optimizer = Optimizer(training.optimizer.name, training.optimizer.options, learner.parameters[:1], False)
    copies = 2 + len(optimizer.memory)
    together = learner.micro_batch(engine, training.batch)
    left = learner.left(engine, training.batch)
    weights = learner.parameters.nbytes * copies - sum((one.stop - one.start) * learner.real.itemsize for one in left)
    total = sample * together + weights
    whose = "a batch" if together == training.batch else f"{together} that go together, of a batch of {training.batch}"
    names = ", ".join(f"`{one.name}`" for one in left)
    return [
        f"Memory beside the data: about {size(total)}",
        f"  {size(sample)} for each sample of {whose}: {size(sample * together)}",
        f"  {size(weights)} for weights, gradients and the optimizer ({copies} numbers for each weight"
        + (f", one less of {names}: its gradient goes to the optimizer as it is made)" if left else ")"),
    ]


def _end(value: float | None) -> str:
    return "∞" if value is None else f"{value:g}"


__all__ = ["explain_training", "pass_text"]
