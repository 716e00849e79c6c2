"""A CUDA text and what must be given to it at run time: what the printer makes, the cache keeps and the CUDA device takes."""

from __future__ import annotations

from snnlang.frozen import dataclass


@dataclass(frozen=True, slots=True)
class CudaMember:
    """A member of ``struct snn_model``, or several: ``kind`` is ``whole``, ``number``, ``stream``, ``array``, ``clock``, ``partials`` (8
    bytes each) or a struct of :data:`snnlang.codegen.cuda_layout.STRUCTS` (8 bytes each field). ``of`` is its value as text (whole,
    number) or the name of what it stands for in the plan.
    """

    name: str
    kind: str
    of: str


@dataclass(frozen=True, slots=True)
class CudaKernel:
    """A ``__global__`` function: ``items`` is the largest number of elements that one of its loops visits; ``fans`` are connectivities
    whose synapses it visits, with the side (pre, post, or empty for all)."""

    name: str
    items: int
    fans: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CudaCode:
    """``setup`` .. ``trial_end``: kernels in order, each with the step as its argument. ``step``: the kernels of one step without
    arguments, in order (of two steps where one has a single kernel); empty where the plan must stay resident (``snn_resident``).
    ``barriers`` is how many times all threads meet in a step. ``whole`` etc. are in ``members``.
    """

    text: str
    members: tuple[CudaMember, ...]
    setup: tuple[CudaKernel, ...]
    coefficients: tuple[CudaKernel, ...]
    trial_start: tuple[CudaKernel, ...]
    trial_end: tuple[CudaKernel, ...]
    step: tuple[CudaKernel, ...]
    resident: CudaKernel
    barriers: int
    #: Lists in which an item may be met twice (they have marks), and those that are emptied a step ahead (one more slot).
    inserts: tuple[str, ...] = ()
    early: tuple[str, ...] = ()
    #: Queues that are emptied a step later (one more slot).
    late: tuple[str, ...] = ()
