"""Threads that run ahead of each other: no list is read before it is written, or written again before it is read, whatever their order.

Two independent proofs: the positions, stamps and rings that :func:`snnlang.codegen.c_ahead.ahead` finds are played through with threads
that are interleaved by chance, and the compiled programs run under ThreadSanitizer.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_ahead import MOST_AHEAD, Ahead, ahead
from snnlang.codegen.c_sharing import share_out
from snnlang.codegen.target_c import emit
from snnlang.runtime.device_c import NativeDevice
from snnlang.runtime.device_interpreter import InterpreterDevice
from tests.codegen.plans import POST, SYNAPSE, I, add, c, launch, load, n, plan

SIZE = 8


def network(depth: int, lags: tuple[int, ...], *, reads_first: bool = False, recorded: bool = True) -> p.Plan:
    """Neurons that fire and push each other through several connections, each with its own delay."""
    arrays = [
        p.Array("v", (SIZE,)),
        *(p.Array(f"w{i}", (), connectivity=f"all{i}", fill=0.5) for i in range(len(lags))),
    ]
    pushes: list[p.PlanNode] = [
        launch(f"push{i}", k.Fan(f"all{i}", "pre", "spikes", lag), k.Accumulate("v", POST, load(f"w{i}", SYNAPSE)))
        for i, lag in enumerate(lags)
    ]
    fires: list[p.PlanNode] = [
        p.ClearList("spikes"),
        launch("fire", k.Each(SIZE), k.If(k.Compare(">", load("v"), c(1.0)), (k.Append("spikes"),), rare=True)),
    ]
    return plan(
        "chain",
        arrays,
        [*pushes, *fires] if reads_first else [*fires, *pushes],
        lists=[p.EventList("spikes", SIZE, depth)],
        connectivities=[
            p.Connectivity(f"all{i}", "dense", SIZE, SIZE, range(SIZE), range(SIZE), "dense") for i in range(len(lags))
        ],
        recorders=[p.EventRecorder("spikes", "spikes")] if recorded else [],
    )


def found_for(made: p.Plan) -> Ahead | None:
    return ahead(made, share_out(made))


# --- any order of the threads -----------------------------------------------------------------------------------------


END = -1


class Wrong(Exception):
    pass


class Player:
    """Threads that do what the printed loop does, one action at a time in an order by chance. A slot holds, for each thread, the step whose
    events it holds; each read must find the step that it asks for."""

    def __init__(self, made: p.Plan, how: Ahead, threads: int, seed: int) -> None:
        self.plan, self.how, self.threads = made, how, threads
        self.depth = how.depths["spikes"]
        self.slots = [[-1000] * threads for _ in range(self.depth)]
        self.stamps = [[-1000] * threads for _ in range(self.depth)]
        self.ended = [0] * threads
        self.chance = random.Random(seed)
        self.first = 0

    def run(self, count: int) -> None:
        programs = {thread: self.program(thread, count) for thread in range(self.threads)}
        waits: dict[int, int | None] = dict.fromkeys(programs)
        while programs:
            slow = self.chance.choice(list(programs))  # for a while: the others get as far as they may
            for _ in range(self.chance.randrange(1, 40)):
                ready = [thread for thread in programs if self.may(waits[thread])]
                fast = [thread for thread in ready if thread != slow] or ready
                if not fast:
                    raise Wrong("all threads wait for each other")
                thread = self.chance.choice(fast)
                try:
                    waits[thread] = next(programs[thread])
                except StopIteration:
                    del programs[thread]
                    break
        self.first += count

    def may(self, awaited: int | None) -> bool:
        if awaited == END:
            return len(set(self.ended)) == 1
        return awaited is None or self.stamps[awaited % self.depth] == [awaited] * self.threads

    def program(self, thread: int, count: int) -> Iterator[int | None]:
        """Yields the step whose stamps it waits for, END for all threads, or None."""
        how, nodes = self.how, self.plan.step
        for step in range(self.first, self.first + count):
            for position in range(len(nodes) + 1):
                if position == how.stamp + 1:
                    self.stamps[step % self.depth][thread] = step
                    yield None
                if position == how.look and step - how.steps >= self.first:
                    yield step - how.steps
                    if thread == 0 and self.plan.recorders:
                        self.read(step - how.steps)
                        yield None
                if position < len(nodes):
                    yield from self.node(nodes[position], thread, step)
        self.ended[thread] += 1
        yield END
        if thread == 0 and self.plan.recorders:
            for step in range(max(self.first, self.first + count - how.steps), self.first + count):
                self.read(step)

    def node(self, node: p.PlanNode, thread: int, step: int) -> Iterator[int | None]:
        if isinstance(node, p.ClearList):
            self.slots[step % self.depth][thread] = -500  # half written
            yield None
        elif isinstance(node, p.Launch) and isinstance(node.kernel.domain, k.Fan):
            self.read(step - node.kernel.domain.lag)
            yield None
            self.read(step - node.kernel.domain.lag)  # a long read finds the same until its end
            yield None
        else:
            yield None
            self.slots[step % self.depth][thread] = step
            yield None

    def read(self, step: int) -> None:
        if step >= 0 and self.slots[step % self.depth] != [step] * self.threads:
            raise Wrong(f"step {step} is read as {self.slots[step % self.depth]}")


CASES = [
    (depth, lags, reads_first, recorded)
    for lags in [(1,), (2,), (1, 1), (1, 4), (3,), (15, 15), (7, 2), (5, 40)]
    for depth in [max(lags) + 1]
    for reads_first in (False, True)
    for recorded in (True, False)
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_order_of_threads_mixes_steps(case: tuple[int, tuple[int, ...], bool, bool]) -> None:
    depth, lags, reads_first, recorded = case
    made = network(depth, lags, reads_first=reads_first, recorded=recorded)
    how = found_for(made)
    assert how is not None
    assert how.steps == min(MOST_AHEAD, *lags)
    for seed in range(12):
        player = Player(made, how, threads=2 + seed % 3, seed=seed)
        for count in (1, 7, 60):
            player.run(count)


@pytest.mark.parametrize("case", [case for case in CASES if case[2] is False], ids=str)
def test_what_was_found_is_needed(case: tuple[int, tuple[int, ...], bool, bool]) -> None:
    """With a ring one slot shorter, or stamps of one step less, some order of the threads mixes steps."""
    depth, lags, reads_first, recorded = case
    made = network(depth, lags, reads_first=reads_first, recorded=recorded)
    how = found_for(made)
    assert how is not None

    def fails(changed: Ahead) -> bool:
        for seed in range(300):
            try:
                Player(made, changed, threads=2, seed=seed).run(60)
            except Wrong:
                return True
        return False

    tight = how.depths["spikes"] == max(lags) + how.steps + 2
    assert not tight or fails(replace(how, depths={"spikes": how.depths["spikes"] - 1}))
    if how.steps == min(lags):
        assert fails(replace(how, steps=how.steps + 1, depths={"spikes": how.depths["spikes"] + 2}))


# --- where it is not so -----------------------------------------------------------------------------------------------


def test_events_that_arrive_in_their_own_step_need_barriers() -> None:
    assert found_for(network(2, (0,))) is None
    assert found_for(network(2, (1, 0))) is None


def test_values_that_are_recorded_or_read_by_others_need_barriers() -> None:
    made = network(2, (1,))
    assert found_for(made) is not None
    assert found_for(replace(made, recorders=(p.ValueRecorder("v", "v", None, 1),))) is None
    mirrored = k.Binary("-", n(SIZE - 1), I, "int")
    arrays = {**made.arrays, "u": p.Array("u", (SIZE,))}
    other = launch("mirror", k.Each(SIZE), k.Store("u", I, add(load("v", mirrored), c(1.0))))
    assert found_for(replace(made, arrays=arrays, step=(*made.step, other))) is None


def test_neurons_that_only_are_recorded_need_nothing_else() -> None:
    made = network(1, ())
    how = found_for(made)
    assert how is not None
    for seed in range(40):
        Player(made, how, threads=3, seed=seed).run(50)


def test_one_thread_keeps_its_short_ring() -> None:
    text = emit(network(2, (1,))).text
    assert (
        "snn_make_list(&m->spikes, m->spikes_size, threads > 1 ? m->spikes_depth_of_threads : m->spikes_depth, threads)"
        in text
    )


@pytest.mark.parametrize("reads_first", [True, False])
@pytest.mark.parametrize("lag", [1, 2, 6])
def test_what_is_recorded_does_not_depend_on_threads(lag: int, reads_first: bool) -> None:
    """Also of a list that nothing reads, which one thread keeps for a single step."""
    made = network(lag + 1, (lag,), reads_first=reads_first)
    arrays = {**made.arrays, "u": p.Array("u", (SIZE,))}
    rises: list[p.PlanNode] = [
        launch("rise", k.Each(SIZE), k.Store("v", I, add(load("v"), c(0.3)))),
        p.ClearList("others"),
        launch(
            "other",
            k.Each(SIZE),
            k.Store("u", I, add(load("u"), load("v"))),
            k.If(k.Compare(">", load("u"), c(4.0)), (k.Append("others"), k.Store("u", I, c(0.0))), rare=True),
        ),
    ]
    made = replace(
        made,
        arrays=arrays,
        step=(*rises, *made.step),
        lists={**made.lists, "others": p.EventList("others", SIZE, 1)},
        recorders=(*made.recorders, p.EventRecorder("others", "others")),
    )
    how = found_for(made)
    assert how is not None
    assert how.steps == min(MOST_AHEAD, lag)
    seen = []
    for device in (
        InterpreterDevice(made),
        NativeDevice(made),
        NativeDevice(made, threads=2),
        NativeDevice(made, threads=3),
    ):
        device.setup()
        device.coefficients()
        device.trial_start()
        drained = []
        for first, count in ((0, 1), (1, 40), (41, 9)):
            device.run(first, count)
            drained += [device.drain_events(label) for label in ("spikes", "others")]
        seen.append([(steps.tolist(), indices.tolist()) for steps, indices in drained])
    assert any(steps for steps, _ in seen[0])
    assert seen[0] == seen[1] == seen[2] == seen[3]


# --- the compiled programs --------------------------------------------------------------------------------------------

MODEL = """
from stdlib.neurons import CubaLIF

network Net(N = 300):
    population cell[N]: CubaLIF(v = uniform(-60 mV, -45 mV))
    connect excitatory = cell[0:240] -> cell.g_e: random(0.2), w = 6 mV, delay = {delay}
    connect inhibitory = cell[240:N] -> cell.g_i: random(0.2), w = -20 mV

simulate Net:
    dt = 0.1 ms
    duration = 40 ms
    record cell.spikes
"""


@pytest.mark.parametrize("delay", ["0.1 ms", "0.9 ms"])
def test_the_thread_sanitizer_finds_nothing(delay: str, tmp_path: Path) -> None:
    from snnlang.cli.program import run

    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "net.snn").write_text(MODEL.format(delay=delay), encoding="utf-8")
    out = tmp_path / "out"
    assert run(["compile", str(tmp_path / "net.snn"), "--target", "c", "-o", str(out)]) == 0
    text = (out / "Net.c").read_text(encoding="utf-8")
    assert "snn_await(&m->barrier" in text
    built = [compiler, "-g", "-O1", "-std=gnu11", "-fopenmp-simd", "-fsanitize=thread", "-pthread"]
    program = tmp_path / "net"
    made = subprocess.run(
        [*built, "-o", str(program), str(out / "main.c"), str(out / "Net.c"), "-lm"], capture_output=True, text=True
    )
    if made.returncode != 0 and "tsan" in made.stderr:
        pytest.skip("this compiler has no thread sanitizer")
    assert made.returncode == 0, made.stderr
    said = []
    for threads in (1, 3):
        ran = subprocess.run([str(program), "--threads", str(threads)], capture_output=True, text=True)
        if "unexpected memory mapping" in ran.stderr:
            pytest.skip("the thread sanitizer does not run on this system")
        assert ran.returncode == 0, ran.stderr
        assert "WARNING" not in ran.stderr
        said.append(ran.stdout)
    assert said[0] == said[1]
    assert "0 events" not in said[0]
