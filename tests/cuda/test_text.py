"""The printed CUDA itself: golden files (without the headers that every model carries), stages and barriers, and what nvcc says to it.

Golden files are rewritten by ``SNN_REWRITE=1 pytest tests/cuda/test_text.py``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import snnlang
from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen import target_cuda
from snnlang.codegen.cuda_layout import STRUCTS
from snnlang.codegen.cuda_stages import Settling, Stage, cut
from snnlang.codegen.simplify import simplify
from snnlang.codegen.target_cuda import emit, header
from tests.codegen.plans import PLANS, SINGLE, I, add, c, cuba, launch, load, plan
from tests.cuda import nvrtc
from tests.cuda.test_device import lowered, reductions, scheduled, settling, synapse_sums

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = Path(snnlang.__file__).parents[1] / "examples"
OWN = "/* --- the memory of this model"
nvcc = shutil.which("nvcc")


def golden(name: str, text: str) -> None:
    """Compare with a golden file, or write it."""
    path = GOLDEN / f"{name}.cu"
    if os.environ.get("SNN_REWRITE"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["cuba", "delayed", "plastic_dense", "coupled"])
def test_golden(name: str) -> None:
    text = emit(simplify(PLANS[name])).text
    golden(name, text[text.index(OWN) :])


def test_text_is_the_same_every_time() -> None:
    assert emit(cuba(30, 10)).text == emit(cuba(30, 10)).text


def test_sizes_are_given_not_printed() -> None:
    small, large = emit(cuba(300, 100)), emit(cuba(3000, 1000))
    assert small.text == large.text
    assert small.members != large.members


def test_members_stand_as_in_the_header() -> None:
    text = header("cuda", "model.cuh")
    for struct, names in STRUCTS.items():
        found = re.search(rf"typedef struct {struct} {{(.*?)}}", text, re.DOTALL)
        assert found, struct
        body = re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL)
        declared = [part.split()[-1].strip("*") for line in body.split(";") for part in line.split(",") if part.strip()]
        assert tuple(declared) == names


# --- stages -----------------------------------------------------------------------------------------------------------


def test_populations_advance_side_by_side_and_propagations_meet() -> None:
    stages = cut(simplify(cuba(30, 10))).step
    assert len(stages) == 2
    first, second = stages
    assert isinstance(first, Stage)
    assert isinstance(second, Stage)
    works = [task.work for task in second.tasks]
    assert sum(isinstance(work, p.Launch) and isinstance(work.kernel.domain, k.Fan) for work in works) == 4
    assert emit(cuba(30, 10)).barriers == 2


def test_own_elements_need_no_barrier() -> None:
    size = 8
    made = plan(
        "own",
        [p.Array("v", (size,)), p.Array("u", (size,))],
        [
            launch("first", k.Each(size), k.Store("v", I, add(load("v"), c(1.0)))),
            launch("second", k.Each(size), k.Store("u", I, load("v"))),
            p.Fill("v", 0.0),
        ],
    )
    assert len(cut(made).step) == 1
    elsewhere = k.Load("v", k.Binary("%", k.Binary("+", I, k.Const(1, "int"), "int"), k.Const(size, "int"), "int"))
    other = plan(
        "others", list(made.arrays.values()), [made.step[0], launch("second", k.Each(size), k.Store("u", I, elsewhere))]
    )
    assert len(cut(other).step) == 2


def test_lists_are_emptied_ahead() -> None:
    assert cut(cuba(30, 10)).early == {"E.spike", "I.spike"}
    assert cut(settling()).early == frozenset()
    assert cut(PLANS["delayed"]).late == frozenset(PLANS["delayed"].queues)


def test_what_settles_is_a_loop_of_stages() -> None:
    assert any(isinstance(part, Settling) for part in cut(settling()).step)
    assert emit(settling()).step == ()


# --- the compiler -----------------------------------------------------------------------------------------------------


def compiled(text: str, architecture: str, folder: Path, single: bool) -> str:
    """What nvcc says, with the registers of every kernel; warnings are errors."""
    source = folder / "model.cu"
    source.write_text(text, encoding="utf-8")
    command = [nvcc or "", f"-arch={architecture}", "-cubin", "-std=c++14", "-Xptxas", "-v", "-Werror", "all-warnings"]
    command += [f"--fmad={'true' if single else 'false'}", "-o", str(folder / "model.cubin"), str(source)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


@pytest.mark.skipif(nvcc is None, reason="no nvcc")
@pytest.mark.parametrize(
    ("made", "architecture"),
    [
        (SINGLE["cuba"], "sm_75"),
        (simplify(PLANS["cuba_delayed"]), "sm_90"),
        (lowered(SINGLE["noisy"]), "sm_75"),
        (PLANS["plastic_sparse"], "sm_90"),
        (PLANS["analogue_others"], "sm_90"),
        (PLANS["delayed_dense"], "sm_90"),
        (reductions(), "sm_75"),
        (scheduled(), "sm_90"),
        (settling(), "sm_90"),
        (synapse_sums(), "sm_90"),
    ],
    ids=lambda given: given if isinstance(given, str) else given.name,
)
def test_nvcc_takes_it_and_nothing_is_spilled(made: p.Plan, architecture: str, tmp_path: Path) -> None:
    said = compiled(emit(made).text, architecture, tmp_path, made.precision == "single")
    spilled = [int(number) for number in re.findall(r"(\d+) bytes spill", said)]
    frames = [int(number) for number in re.findall(r"(\d+) bytes stack frame", said)]
    # sine and cosine of large numbers keep a few words on the stack, in CUDA's own text
    assert max(frames) <= 48, said
    assert max(spilled) <= (64 if made.name == "sums" else 8), said  # ten loops in one kernel


def test_a_model_that_constant_memory_cannot_hold_lies_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """64 KiB of constant memory hold the members of some hundred connections; more of them are refused by ptxas."""
    made = simplify(SINGLE["cuba"])
    usual = emit(made)
    words = sum(len(STRUCTS.get(member.kind, ("",))) for member in usual.members)
    assert "__constant__ snn_model model;" in usual.text
    monkeypatch.setattr(target_cuda, "CONSTANT_BYTES", 8 * words)
    assert emit(made).text == usual.text
    monkeypatch.setattr(target_cuda, "CONSTANT_BYTES", 8 * words - 1)
    text = emit(made).text
    assert text == usual.text.replace("__constant__ snn_model", "__device__ snn_model")
    if nvcc is not None:
        compiled(text, "sm_75", tmp_path, single=True)


@pytest.mark.parametrize("name", ["cuba_delayed", "plastic_sparse", "coupled", "analogue_others"])
def test_nvrtc_takes_it_with_the_options_of_cupy(name: str) -> None:
    """And says nothing, for devices old and new."""
    made = lowered(simplify(PLANS[name]))
    for architecture in ("sm_75", "sm_100"):
        assert nvrtc.said(emit(made).text, single=False, architecture=architecture) == ""


@pytest.mark.skipif(nvcc is None, reason="no nvcc")
def test_what_changes_is_read_past_no_cache_that_is_not_kept_up(tmp_path: Path) -> None:
    """States are never loaded through the cache for constant data (ld.global.nc): other blocks write them while the kernel stays."""
    text = emit(simplify(SINGLE["cuba"])).text
    (tmp_path / "model.cu").write_text(text, encoding="utf-8")
    command = [
        nvcc or "",
        "-arch=sm_90",
        "-ptx",
        "-std=c++14",
        "-o",
        str(tmp_path / "model.ptx"),
        str(tmp_path / "model.cu"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    kernels = (tmp_path / "model.ptx").read_text().split(".visible .entry ")
    resident = next(kernel for kernel in kernels if kernel.startswith("snn_resident"))
    found = set(re.findall(r"ld\.global\.nc\.(\w+)", resident))
    assert found <= {"u16"}, found  # indices of post neurons, which nothing writes
