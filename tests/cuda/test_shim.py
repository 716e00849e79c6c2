"""The shim runs CUDA as a device would, in any order of threads, and finds what a device would not forgive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snnlang.diagnostics import SnnError
from snnlang.runtime.cuda_shim import ShimBackend, ShimModule
from tests.targets import needs_shim

pytestmark = needs_shim

TEXT = r"""
struct snn_model { double *x; long long n; double *total; unsigned int *count; int *list; };
extern "C" { __constant__ struct snn_model model; }

#define EACH(i) long long i = blockIdx.x*(long long)blockDim.x + threadIdx.x; i < model.n; i += (long long)gridDim.x*blockDim.x

extern "C" __global__ void twice(void) { for (EACH(i)) model.x[i] *= 2.0; }

extern "C" __global__ void sum(long long scale)
{
    __shared__ double part[1024];
    double own = 0.0;
    for (EACH(i)) own += model.x[i];
    part[threadIdx.x] = own;
    __syncthreads();
    for (int half = blockDim.x/2; half > 0; half >>= 1) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) atomicAdd(model.total, part[0]*scale);
}

extern "C" __global__ void by_warps(void)
{
    double own = threadIdx.x;
    for (int apart = 16; apart; apart >>= 1) own += __shfl_down_sync(0xffffffffu, own, apart);
    if (threadIdx.x%32 == 0) atomicAdd(model.total, own);
}

extern "C" __global__ void votes(void)
{
    const unsigned even = __ballot_sync(0xffffffffu, threadIdx.x%2 == 0);
    if (threadIdx.x == 0) {
        model.list[0] = (int)even;
        model.list[1] = __any_sync(1u, 0);
    }
    const int last = __shfl_sync(0xffffffffu, (int)threadIdx.x, 31), up = __shfl_up_sync(0xffffffffu, (int)threadIdx.x, 1);
    if (threadIdx.x == 7) model.list[2] = last, model.list[3] = up;
    const unsigned alike = __match_any_sync(0xffffffffu, (int)(threadIdx.x/4));
    if (threadIdx.x == 9) model.list[4] = (int)alike;
}

extern "C" __global__ void append(void)
{
    for (EACH(i)) {
        if (i%3) continue;
        const unsigned here = __activemask();
        const int lane = threadIdx.x & 31, leader = __ffs(here) - 1;
        unsigned place = 0;
        if (lane == leader) place = atomicAdd(model.count, (unsigned)__popc(here));
        place = __shfl_sync(here, place, leader) + __popc(here & ((1u << lane) - 1));
        model.list[place] = (int)i;
    }
}

extern "C" __global__ void rounds(long long many)
{
    __shared__ int own;
    for (long long r = 0; r < many; r++) {
        if (threadIdx.x == 0) own = blockIdx.x;
        __syncthreads();
        if (own != (int)blockIdx.x) __trap();
        atomicAdd(model.count, 1u);
        snn_shim_grid_barrier();
        if (*model.count != (r + 1)*gridDim.x*blockDim.x) __trap();
        snn_shim_grid_barrier();
    }
}

__device__ volatile unsigned arrived, turn;
extern "C" __global__ void own_barrier(long long many)
{
    for (long long r = 0; r < many; r++) {
        atomicAdd(model.count, 1u);
        __syncthreads();
        if (threadIdx.x == 0) {
            const unsigned now = turn;
            if (atomicAdd((unsigned *)&arrived, 1u) == gridDim.x - 1) {
                arrived = 0;
                turn = now + 1;
            } else while (turn == now) __nanosleep(20);
        }
        __syncthreads();
        if (*model.count < (r + 1)*gridDim.x*blockDim.x) __trap();
    }
}

extern "C" __global__ void apart(void)
{
    if (threadIdx.x & 1) __syncthreads();
    else
        __syncthreads();
}
extern "C" __global__ void missing(void) { if (threadIdx.x != 3) __syncthreads(); else while (turn != 77) __nanosleep(1); }
extern "C" __global__ void beside(void) { model.x[model.n] = 1.0; }
extern "C" __global__ void unset(void) { __shared__ double part[2]; if (threadIdx.x == 0) model.x[0] = part[1]; }
extern "C" __global__ void no_barrier(void)
{
    __shared__ int seen[64];
    seen[threadIdx.x] = threadIdx.x;
    model.list[threadIdx.x] = seen[63 - threadIdx.x];
}
"""
COUNT = 1000


class Machine:
    """The text, loaded, with its memory."""

    def __init__(self, order: int) -> None:
        self.backend = ShimBackend(order=order)
        self.module: ShimModule = self.backend.module(TEXT, single=False, name="the text")
        self.x, self.total = self.backend.allocate(8 * COUNT), self.backend.allocate(8)
        self.count, self.list = self.backend.allocate(4), self.backend.allocate(4 * COUNT)
        address, nbytes = self.module.constant("model")
        assert nbytes == 40
        self.backend.upload(address, np.array([self.x, COUNT, self.total, self.count, self.list], np.int64))
        self.backend.upload(self.x, np.arange(COUNT, dtype=np.float64))

    def read(self, address: int, count: int, kind: Any) -> NDArray[Any]:
        into = np.empty(count, kind)
        self.backend.download(address, into)
        return into


@pytest.fixture(params=[0, 1, 2])
def machine(request: pytest.FixtureRequest) -> Machine:
    return Machine(request.param)


def test_sums_through_shared_memory_and_atomics(machine: Machine) -> None:
    machine.module.launch("twice", 3)
    machine.module.launch("sum", 4, (3,))
    assert machine.read(machine.total, 1, np.float64)[0] == 3 * COUNT * (COUNT - 1)


def test_warps_exchange_values(machine: Machine) -> None:
    machine.module.launch("by_warps", 2, block=64)
    assert machine.read(machine.total, 1, np.float64)[0] == 2 * 64 * 63 / 2
    machine.module.launch("votes", 1, block=32)
    assert machine.read(machine.list, 5, np.uint32).tolist() == [0x55555555, 0, 31, 6, 0xF00]


def test_lists_are_appended_once_each(machine: Machine) -> None:
    machine.module.launch("append", 2)
    found = machine.read(machine.count, 1, np.uint32)[0]
    assert sorted(machine.read(machine.list, found, np.int32)) == list(range(0, COUNT, 3))


@pytest.mark.parametrize("kernel", ["rounds", "own_barrier"])
def test_blocks_wait_for_each_other(machine: Machine, kernel: str) -> None:
    machine.module.launch(kernel, 4, (100,), cooperative=True)
    assert machine.read(machine.count, 1, np.uint32)[0] == 100 * 4 * 64


def test_a_graph_is_its_launches_repeated(machine: Machine) -> None:
    graph = machine.module.graph([("twice", 2), ("twice", 1)], 3)
    graph.launch()
    assert machine.read(machine.x, 2, np.float64)[1] == 2.0**6


def test_modules_of_one_text_have_their_own_variables(machine: Machine) -> None:
    other = machine.backend.module(TEXT, single=False, name="the text")
    address, nbytes = other.constant("model")
    assert address != machine.module.constant("model")[0]
    assert not machine.read(address, nbytes, np.uint8).any()


def test_orders_differ_where_a_barrier_is_missing() -> None:
    found = []
    for order in range(4):
        machine = Machine(order)
        machine.module.launch("no_barrier", 1, block=64)
        found.append(tuple(machine.read(machine.list, 64, np.int32)))
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        ("apart", "different barriers"),
        ("missing", "something that never happens"),
        ("rounds", "not launched as cooperative"),
    ],
)
def test_what_hangs_a_device_is_an_error(machine: Machine, kernel: str, said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        machine.module.launch(kernel, 2, (3,) if kernel == "rounds" else ())
    machine.module.launch("twice", 3)
    assert machine.read(machine.x, 2, np.float64)[1] == 2.0


def test_writing_beside_an_allocation_is_found(machine: Machine) -> None:
    machine.module.launch("beside", 1)
    with pytest.raises(RuntimeError, match="wrote after the 8000 bytes"):
        machine.backend.synchronize()


def test_copies_beside_an_allocation_are_found(machine: Machine) -> None:
    with pytest.raises(RuntimeError, match="in no allocation"):
        machine.backend.clear(machine.x + 8, 8 * COUNT)


def test_shared_memory_starts_as_nan(machine: Machine) -> None:
    machine.module.launch("unset", 1)
    assert np.isnan(machine.read(machine.x, 1, np.float64)[0])


def test_impossible_launches_are_errors(machine: Machine) -> None:
    with pytest.raises(RuntimeError, match="invalid configuration"):
        machine.module.launch("twice", 0)
    with pytest.raises(RuntimeError, match="too many blocks"):
        machine.module.launch("rounds", 5, (1,), cooperative=True)
    with pytest.raises(KeyError):
        machine.module.launch("nothing", 1)


def test_memory_ends() -> None:
    backend = ShimBackend(total=1000)
    first = backend.allocate(600)
    assert backend.memory() == (400, 1000)
    with pytest.raises(SnnError) as problem:
        backend.allocate(600)
    assert problem.value.diagnostics[0].code == "E741"
    backend.release(first)
    assert backend.allocate(1000) % 256 == 0


def test_a_text_that_is_refused_is_our_mistake() -> None:
    with pytest.raises(SnnError) as problem:
        ShimBackend().module("this is no C++", single=False, name="odd")
    assert problem.value.diagnostics[0].code == "E744"


def test_memory_starts_as_zeros_and_copies(machine: Machine) -> None:
    backend = machine.backend
    other = backend.allocate(8 * COUNT)
    assert not machine.read(other, COUNT, np.float64).any()
    backend.copy(other, machine.x, 8 * COUNT)
    into = backend.pinned(8 * COUNT)
    backend.start_download(other, into).wait()
    assert into.view(np.float64).tolist() == list(range(COUNT))


def test_flags_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'extern "C" { __constant__ long long model; }\nextern "C" __global__ void set(void) { model = GIVEN; }\n'
    found = np.zeros(1, np.int64)
    for value in (5, 6):
        monkeypatch.setenv("SNN_SHIM_FLAGS", f"-O0 -DGIVEN={value}")
        backend = ShimBackend()
        module = backend.module(text, single=False, name="the text")
        module.launch("set", 1)
        backend.download(module.constant("model")[0], found)
        assert found[0] == value
    monkeypatch.delenv("SNN_SHIM_FLAGS")
    with pytest.raises(SnnError, match="E744"):
        ShimBackend().module(text, single=False, name="the text")
