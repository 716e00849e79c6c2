"""The interpreter as a device: slow, obvious, and the oracle of the tests. Its methods are those of NumpyDevice."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.interpret import Interpreter
from snnlang.codegen.plan import Plan, ValueRecorder
from snnlang.runtime.device_numpy import Snapshot

Values = NDArray[Any]


class InterpreterDevice:
    """Runs a plan item by item in plain Python."""

    text = ""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.machine = Interpreter(plan)

    @property
    def step(self) -> int:
        """The next step to run."""
        return self.machine.step

    @step.setter
    def step(self, step: int) -> None:
        self.machine.step = step

    def setup(self) -> None:
        """Run the plan's setup nodes."""
        self.machine.setup()

    def coefficients(self) -> None:
        """Compute coefficients again."""
        self.machine.coefficients()

    def trial_start(self, step: int | None = None) -> None:
        """Empty lists and queues, refill holds, clocks, histories and scratch, run the plan's trial_start nodes."""
        self.machine.trial_start(step)

    def run(self, first_step: int, count: int) -> None:
        """Run steps first_step .. first_step + count - 1."""
        self.machine.run(first_step, count)

    def trial_end(self) -> None:
        """Run the plan's trial_end nodes."""
        self.machine.trial_end()

    def _slot(self, array: str) -> list[Any]:
        slots = self.machine.arrays[array]
        return slots[(self.step - 1) % len(slots)]

    def read(self, array: str) -> Values:
        """A copy of an array; of a ring, the slot of the last step that ran."""
        described = self.plan.arrays[array]
        real = np.float64 if self.plan.precision == "double" else np.float32
        values = np.array(self._slot(array), {"real": real, "int": np.int64, "bool": bool}[described.type])
        return values if described.shape or described.connectivity else values[0:1].reshape(())

    def write(self, array: str, values: Any) -> None:
        """Set an array, or the slot of a ring that the last step wrote."""
        slot = self._slot(array)
        given = np.asarray(values)
        flat = given.ravel() if given.size == len(slot) else np.broadcast_to(given, len(slot))
        slot[:] = [self.machine._typed(value, self.plan.arrays[array].type) for value in flat.tolist()]

    def snapshot(self) -> Snapshot:
        """A copy of all that changes while running, but the records."""
        machine = self.machine
        return Snapshot(
            machine.step, copy.deepcopy(machine.arrays), copy.deepcopy(machine.lists), copy.deepcopy(machine.queues)
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        machine = self.machine
        machine.step = snapshot.step
        machine.arrays, machine.lists, machine.queues = copy.deepcopy(
            (snapshot.arrays, snapshot.lists, snapshot.queues)
        )

    def synapses(self, connectivity: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(pre, post) of every synapse."""
        pre, post = self.machine.pairs[connectivity]
        return np.array(pre, np.int32), np.array(post, np.int32)

    @property
    def nbytes(self) -> int:
        """Bytes that the numbers would take in arrays."""
        return sum(8 * len(slot) for slots in self.machine.arrays.values() for slot in slots)

    def drain_events(self, label: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(steps, indices) of the events recorded since the last call."""
        record = self.machine.records[label]
        steps, indices = (
            np.array([step for step, _ in record], np.int64),
            np.array([index for _, index in record], np.int64),
        )
        record.clear()
        return steps, indices

    def drain_values(self, label: str) -> tuple[NDArray[np.int64], Values]:
        """(steps, rows) of the values recorded since the last call."""
        record = self.machine.records[label]
        recorder = next(r for r in self.plan.recorders if r.label == label)
        assert isinstance(recorder, ValueRecorder)
        current = self.read(recorder.array)
        shape = current.shape if recorder.indices is None else (len(recorder.indices),)
        rows = np.array([values for _, values in record], current.dtype).reshape(len(record), *shape)
        steps = np.array([step for step, _ in record], np.int64)
        record.clear()
        assert rows.size == len(steps) * math.prod(shape)
        return steps, rows
