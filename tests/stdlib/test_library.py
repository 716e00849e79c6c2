"""The library as a whole: it parses, checks without a remark, prints back as it stands, and documents itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import snnlang
from snnlang.compile import check_path
from snnlang.syntax import tree
from snnlang.syntax.format import format_file
from snnlang.syntax.parse import parse, read_source

ROOT = Path(snnlang.__file__).parent / "stdlib"
FILES = sorted(ROOT.rglob("*.snn"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]

#: What the library is asked to have.
EXPECTED = {
    "neurons": """
        IF SoftIF DIF HardDIF LIF DLIF SoftDLIF DelayedLIF DelayedHardLIF EulerLIF SoftEulerLIF SumLIF
        SoftSumLIF LowPassLIF SoftLowPassLIF SecondOrderLIF PSCLIF TSSLBP SpikeBP SpikeBPReadout CubaLIF QIF Theta EIF AdEx Izhikevich
        HodgkinHuxley ALIF AdaptiveLIF SRM0 CumulativeSRM EscapeLIF EscapeDLIF PCNN SimplePCNN ICM CCNN Poisson
        Bernoulli Regular SpikeSource Parrot StepCurrent SineCurrent NoiseCurrent Modulator""",
    "encoders": """
        Direct BernoulliRate SignedRate PoissonRate RegularRate LinearLatency LogLatency ChargeLatency RankOrder
        RankReceiver PhaseBits Oscillation Burst BurstIF GaussianField GaussianRate Difference SendOnDelta""",
    "synapses": "Delta Exponential Alpha BiExponential Conductance NMDA SaturatingNMDA TsodyksMarkram PSP DecayPSP",
    "plasticity": "STDP MultiplicativeSTDP PowerSTDP NearestSTDP TripletSTDP RSTDP",
}


def models(path: Path) -> list[tree.Model]:
    return [item for item in parse(read_source(path)).items if isinstance(item, tree.Model)]


def test_is_complete_and_names_are_unique() -> None:
    for folder, names in EXPECTED.items():
        found = [model.name for path in FILES if path.parent.name == folder for model in models(path)]
        assert sorted(found) == sorted(names.split())


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_checks_without_a_remark(path: Path) -> None:
    program, diagnostics = check_path(str(path))
    assert program is not None
    assert diagnostics == []


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_is_laid_out(path: Path) -> None:
    """As `snn fmt` writes it."""
    source = read_source(path)
    assert format_file(parse(source)) == source.text


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_documents_itself(path: Path) -> None:
    """Every model says what it is; every parameter, state, input and weight says what it stands for."""
    for item in parse(read_source(path)).items:
        if isinstance(item, tree.Function):
            assert item.doc, item.name
        if isinstance(item, tree.Model):
            assert item.doc, item.name
            for member in item.members:
                if isinstance(member, tree.Declaration) and not member.override:
                    assert member.doc, f"{item.name}.{member.name}"
