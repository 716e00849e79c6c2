"""What trained weights are worth: loss, accuracy and firing rates on data, and what there is to doubt in these figures.

Test data are measured where the block names some, else its validation data, else the data it was trained with, which say little of
others: :func:`doubts` says so, and tells a share kept for validation that another seed had chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snnlang.data.columns import Columns
from snnlang.data.given import is_pairs
from snnlang.diagnostics import Diagnostic, error
from snnlang.model.suggest import help_for, listing
from snnlang.runtime.training_data import TrainingData, measure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snnlang.runtime.network import Network

#: Data of a block, those that say most of other data first; each with its words.
KINDS = {"test": "test data", "validate": "validation data", "train": "training data"}


def evaluate(network: Network, x: Any = None, y: Any = None, which: str | None = None) -> dict[str, Any]:
    """``data`` (one of KINDS, or "given" for arrays), ``samples``, ``loss``, ``accuracy`` (None where nothing is classified), ``rates``.
    Raises E754 for data that the block does not name, E629 for samples without labels."""
    from collections.abc import Mapping

    training = network.training
    data = TrainingData(network.learner)
    if which is not None and which not in KINDS:
        raise error(
            "E754", f"there is no data `{which}`", training.span, help=help_for(which, KINDS) or f"choose {listing(KINDS)}"
        )
    if x is not None:
        if y is None and not isinstance(x, Mapping) and not is_pairs(x):
            raise error("E629", "samples without labels cannot be measured", training.span, help="write `net.evaluate(x, y)`")
        name, columns = "given", data.given(x, y)
    else:
        name = which or chosen(network)
        columns = _named(network, data, name)
    loss, accuracy = measure(network.learner, data.to_measure(columns), data.named)
    return {
        "data": name,
        "samples": len(next(iter(columns.values()))),
        "loss": loss,
        "accuracy": accuracy,
        "rates": network.learner.rates(data.some(columns)[0]),
    }


def chosen(network: Network) -> str:
    """Which data are measured where nobody says."""
    training = network.training
    return "test" if training.test is not None else "validate" if training.validate is not None else "train"


def doubts(network: Network, which: str | None, state: Mapping[str, Any]) -> list[Diagnostic]:
    """Why figures of data of the block may flatter; ``state`` is that of the checkpoint: W792, W793."""
    name, training = which or chosen(network), network.training
    if which is None and name == "train":
        return [
            Diagnostic(
                "W792",
                f"`{network.experiment.name}` names no test data: what is measured are the data it was trained with",
                training.span,
                severity="warning",
                help=(
                    'give data that it never saw, for example `test = digits(split = "test")`, or keep a part: `validate = 0.1`',
                    "`--data train` measures training data without this remark",
                ),
            )
        ]
    seed = state.get("seed")
    if name == "validate" and isinstance(training.validate, float) and seed not in (None, network.experiment.seed):
        return [
            Diagnostic(
                "W793",
                f"the part kept for validation is drawn with seed {network.experiment.seed}, and the training drew it with {seed}: "
                "the weights have seen most of it",
                training.span,
                severity="warning",
                help=(f"measure with the seed of the training: `--seed {seed}`",),
            )
        ]
    return []


def _named(network: Network, data: TrainingData, name: str) -> Columns:
    """The data of the block by this name."""
    columns = data.test() if name == "test" else data.validation() if name == "validate" else data.parts()[0]
    if columns is None:
        raise error(
            "E754",
            f"the `train` block names no data to {name}",
            network.training.span,
            help=f"add `{name} = …` to it, or measure others: `--data train`",
        )
    return columns
