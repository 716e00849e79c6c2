"""A network that can be trained from Python: ``net = snnlang.load("model.snn").network()``; arrays in, arrays out.

>>> net = snnlang.load("digits.snn").network()     # doctest: +SKIP
>>> history = net.train(x, y, epochs=5)             # doctest: +SKIP
>>> scores = net.forward(x)["o.v:mean"]             # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.plan import Plan
from snnlang.diagnostics import Diagnostic, SnnError, error
from snnlang.model.elaborate import Overrides, elaborate
from snnlang.model.learning import Training
from snnlang.model.model import Program
from snnlang.model.suggest import listing
from snnlang.model.weights import Weights, drawn_otherwise
from snnlang.runtime.checkpoint import Checkpoint, fit, load, save
from snnlang.runtime.learner import Learner, on_device
from snnlang.runtime.learning_arrays import Arrays, HostArrays
from snnlang.runtime.threads import cores
from snnlang.runtime.training import History, Trainer

Values = NDArray[Any]
#: Threads of a training for which nobody said how many: the cores of the machine, as far as a batch has work for them.
MOST_THREADS = 16


class Network:
    """The network of a ``train`` block with its weights.

    Inputs are arrays (samples, ...) shaped like the network's input, or (samples, steps, ...); a network with several inputs takes a
    mapping. Readouts are what the loss reads: by label, (samples, neurons) where it sums over time, else (steps, samples, neurons).
    """

    def __init__(self, program: Program, name: str | None = None, overrides: Overrides | None = None) -> None:
        from snnlang.compile import PRECISIONS, plan_training

        options = overrides or Overrides()
        self._made_of = program, name, options
        if name is None:
            from snnlang.model.model import experiment_name

            name = next((experiment_name(e) for e in program.experiments if e.kind == "train"), None)
        self.experiment = elaborate(program, name, options)
        if self.experiment.training is None:
            raise error(
                "E754",
                f"`{self.experiment.name}` is no `train` block",
                self.experiment.span,
                help="name a `train` block",
            )
        self.warnings: tuple[Diagnostic, ...] = self.experiment.warnings
        precision = PRECISIONS[str(options.precision or self.experiment.settings.get("precision", "float32"))]
        plan = plan_training(self.experiment, precision)
        chosen = str(options.target or self.experiment.settings.get("target", "auto"))
        threads = int(options.threads or self.experiment.settings.get("threads") or min(cores(), MOST_THREADS))
        self.target, arrays, more = _target(chosen, plan, self.training, threads)
        self.warnings += more
        self.learner = Learner(self.experiment, plan, target=self.target, threads=threads, arrays=arrays)
        self.warnings += arrays.warnings()
        if options.weights is not None:
            self._take(options.weights)

    @property
    def training(self) -> Training:
        assert self.experiment.training is not None
        return self.experiment.training

    @property
    def weights(self) -> dict[str, Values]:
        """Every trained array by its name, and the running statistics of batch normalisations; writing into them changes the network.
        On target cuda they are CuPy's, which other libraries share through DLPack (``torch.from_dlpack(net.weights[name])``)."""
        return {**self.learner.named(), **self.learner.measured()}

    # --- learning -----------------------------------------------------------------------------------------------------

    def train(
        self,
        x: Any = None,
        y: Any = None,
        *,
        validation: Any = None,
        test: Any = None,
        augment: Any = None,
        epochs: int | None = None,
        out: str | Path | None = None,
        resume: bool = False,
        say: Callable[[str], None] | None = None,
        progress: bool = False,
        tensorboard: bool = False,
        model_hash: str = "",
    ) -> History:
        """Train with arrays, or with the block's own data; returns what each epoch gave. ``out`` is a directory for weights and metrics.

        Instead of ``x, y``: columns by name, or any iterable of pairs (sample, label), such as a data set of PyTorch or tonic, as ``x``;
        ``validation`` and ``test`` take the same. Events are shown as as many frames as the block has steps.

        ``augment`` takes the place of the block's: a function ``f(sample)`` or ``f(sample, generator)``, an object of
        ``snnlang.data.augment``, a name such as ``"shift"``, or a list of these. Samples to learn from go through it, in every epoch anew.
        """
        if epochs is not None and (isinstance(epochs, bool) or not isinstance(epochs, int | np.integer) or epochs < 1):
            raise error("E754", f"`epochs` is a whole number from 1, and this is {epochs!r}", help="write `epochs = 10`")
        given: dict[str, Any] = {}
        if x is not None:
            given["data"] = x if y is None else (x, y)
        if validation is not None:
            given["validate"] = validation
        if test is not None:
            given["test"] = test
        if augment is not None:
            given["augment"] = augment
        trainer = Trainer(
            self.learner,
            data=given,
            out=out,
            resume=resume,
            epochs=epochs,
            say=say,
            progress=progress,
            tensorboard=tensorboard,
            model_hash=model_hash,
        )
        return trainer.run()

    def forward(self, x: Any) -> dict[str, Values]:
        """What the loss would read of a batch."""
        return self.learner.forward(self._inputs(x))

    def grad(self, x: Any, y: Any) -> tuple[float, dict[str, Values]]:
        """The mean loss of a batch and its derivative by every trained array."""
        inputs = self._inputs(x)
        targets = self.learner.fetched(y)
        first = next(iter(inputs.values()))
        samples = first.shape[0] if first.ndim else 1
        if targets.shape[:1] != (samples,):
            has = f"y has {len(targets)}" if targets.ndim else "y is a single number"
            raise error(
                "E627",
                f"{samples} samples need {samples} labels or targets, and {has}",
                self.training.span,
                help="give one row for each sample",
            )
        if not samples:
            raise error("E627", "the batch has no samples", self.training.span, "empty", help="give at least one row")
        if targets.dtype.kind not in "biuf":
            raise error(
                "E631",
                f"the labels are {targets.dtype}, not numbers",
                self.training.span,
                help="number the classes from 0, for example with numpy.unique",
            )
        columns: dict[str, Values] = {**{n: v for n, v in inputs.items() if not on_device(v)}, self._label(): targets}
        outcome = self.learner.learn(inputs, columns)
        return outcome.loss, {
            one.name: self.learner.gradients[one.start : one.stop].reshape(one.shape).copy()
            for one in self.learner.trained
        }

    def evaluate(
        self, x: Any = None, y: Any = None, *, which: Literal["test", "validate", "train"] | str | None = None
    ) -> dict[str, Any]:
        """Loss, accuracy and firing rates on arrays, or on data of the block: its test data, else its validation data, else those it
        trains with. Every sample counts once, as it is: nothing is augmented, nothing is kept for validation. ``data`` of the result
        says which they were."""
        from snnlang.runtime.evaluation import evaluate

        return evaluate(self, x, y, which)

    # --- weights ------------------------------------------------------------------------------------------------------

    def copy(self) -> Network:
        """A network of its own with the same numbers: training one leaves the other as it is."""
        program, name, options = self._made_of
        made = Network(program, name, replace(options, weights=None))
        held = made.learner.held()
        for key, value in self.learner.held().items():
            held[key][...] = value
        more = {one.name: self.learner.arrays.down(self.learner.values[one.array]) for one in self.learner.untrained}
        made.learner.put({**more, **held})
        made.learner.samples = self.learner.samples
        return made

    def save(self, path: str | Path) -> None:
        """Write the weights as safetensors."""
        save(path, Checkpoint(self.learner.held(), (), {"seed": self.experiment.seed}))

    def load(self, path: str | Path) -> None:
        """Take over weights that were saved, those of what is frozen here too. Raises E840 (no such file, damaged) and E841 (of another
        network, or of synapses that another seed had drawn)."""
        found = load(path)
        seed = found.state.get("seed")
        self._take(Weights(found.weights, f"'{path}'", seed if isinstance(seed, int) else None))

    def _take(self, weights: Weights) -> None:
        held, untrained = self.learner.held(), {one.name: one for one in self.learner.untrained}
        for name in weights.arrays:
            if name in untrained and name not in held:
                held[name] = self.learner.arrays.down(self.learner.values[untrained[name].array]).copy()
        seeds = drawn_otherwise(self.experiment, weights)
        fit(weights.arrays, held, weights.origin, untrained, seeds)
        self.learner.put(held)

    # --- arrays -------------------------------------------------------------------------------------------------------

    def _inputs(self, x: Any) -> dict[str, Values]:
        if not isinstance(x, Mapping):
            x = dict.fromkeys(self.training.inputs, x)
        unlike = [*(name for name in self.training.inputs if name not in x), *(name for name in x if name not in self.training.inputs)]
        if unlike:
            raise error(
                "E753",
                f"the network's inputs are {listing(self.training.inputs)}, and what is given is {listing(x)}",
                self.training.span,
                help="give one array for every input, by its name",
            )
        return {name: self._array(name, value) for name, value in x.items()}

    def _array(self, name: str, value: Any) -> Values:
        """Samples that are finite; those on a device stay there and are not looked at."""
        if on_device(value):
            there: Values = value
            return there
        made = self.learner.fetched(value)
        if made.dtype.kind not in "biuf":
            raise error("E628", f"the samples of `{name}` are {made.dtype}, not numbers", self.training.span, help="give numbers")
        if made.dtype.kind == "f" and not np.isfinite(made).all():
            row = int(np.argwhere(~np.isfinite(made))[0][0]) if made.ndim else 0
            raise error(
                "E628",
                f"sample {row} of `{name}` holds a value that is not finite",
                self.training.span,
                help="remove or replace NaN and infinity",
            )
        return made

    def _label(self) -> str:
        columns = [name for name in self.training.columns if name not in self.training.inputs.values()]
        return columns[0] if columns else "label"


def _target(
    chosen: str, plan: Plan, training: Training, threads: int
) -> tuple[Literal["c", "numpy", "cuda"], Arrays, tuple[Diagnostic, ...]]:
    """The target of a training with its arrays. ``auto``: a device where a batch is work enough for one and one answers, else c where a
    compiler works, else numpy with a warning."""
    from snnlang.runtime import cuda_choice, learning_cuda
    from snnlang.runtime.compiler import require
    from snnlang.runtime.device import fallback

    more: tuple[Diagnostic, ...] = ()
    if chosen == "c":
        require()
        return "c", HostArrays("c", threads), ()
    if chosen == "numpy":
        return "numpy", HostArrays("numpy"), ()
    if chosen == "cuda":
        return "cuda", learning_cuda.opened(), ()
    if chosen != "auto":
        raise error("E756", f"target {chosen} cannot train", help="use c, numpy or cuda, or leave the target out")
    if cuda_choice.installed() and cuda_choice.pays_training(plan, training.batch, training.steps):
        try:
            return "cuda", learning_cuda.opened(), ()
        except SnnError as problem:
            more = (cuda_choice.unused(problem),)
    warning = fallback()
    if warning is None:
        return "c", HostArrays("c", threads), more
    return "numpy", HostArrays("numpy"), (*more, warning)
