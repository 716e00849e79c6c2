"""One row per mathematical function: how each target writes it.

A printer looks a function up here and nowhere else; ``{0}``, ``{1}``, ``{2}`` are the operands: where a form is no
plain call they must be bracketed already. ``numpy`` works on arrays and on NumPy scalars alike; ``c`` is C11 for
double, its ``single`` form for float (also CUDA). Rows whose NumPy form is long are functions of
:mod:`snnlang.codegen.whole_array`; ``snn_`` functions are those of codegen/native/mathematics.h and quantiles.h, the
rest are the C library's.
"""

from __future__ import annotations

from snnlang.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Function:
    """``support`` says that the NumPy text calls a function of :mod:`snnlang.codegen.whole_array` of this name."""

    name: str
    arity: int
    numpy: str
    c: str
    single: str
    support: str = ""


def _row(name: str, arity: int, numpy: str, c: str, single: str = "", support: str = "") -> Function:
    return Function(name, arity, numpy, c, single or c, support)


_ROWS = (
    _row("exp", 1, "np.exp({0})", "snn_exp({0})", "snn_expf({0})"),
    _row("log", 1, "np.log({0})", "snn_log({0})", "snn_logf({0})"),
    _row("log10", 1, "np.log10({0})", "snn_log10({0})", "snn_log10f({0})"),
    _row("log1p", 1, "np.log1p({0})", "snn_log1p({0})", "snn_log1pf({0})"),
    _row("expm1", 1, "np.expm1({0})", "snn_expm1({0})", "snn_expm1f({0})"),
    _row("exprel", 1, "exprel({0})", "snn_exprel({0})", "snn_exprelf({0})", "exprel"),
    _row("sqrt", 1, "np.sqrt({0})", "sqrt({0})", "sqrtf({0})"),
    _row("abs", 1, "np.abs({0})", "fabs({0})", "fabsf({0})"),
    _row("sign", 1, "np.sign({0})", "snn_sign({0})", "snn_signf({0})"),
    _row("floor", 1, "np.floor({0})", "floor({0})", "floorf({0})"),
    _row("ceil", 1, "np.ceil({0})", "ceil({0})", "ceilf({0})"),
    _row("round", 1, "np.rint({0})", "rint({0})", "rintf({0})"),
    _row("sin", 1, "np.sin({0})", "snn_sin({0})", "snn_sinf({0})"),
    _row("cos", 1, "np.cos({0})", "snn_cos({0})", "snn_cosf({0})"),
    _row("tan", 1, "np.tan({0})", "snn_tan({0})", "snn_tanf({0})"),
    _row("asin", 1, "np.arcsin({0})", "asin({0})", "asinf({0})"),
    _row("acos", 1, "np.arccos({0})", "acos({0})", "acosf({0})"),
    _row("atan", 1, "np.arctan({0})", "atan({0})", "atanf({0})"),
    _row("sinh", 1, "np.sinh({0})", "snn_sinh({0})", "snn_sinhf({0})"),
    _row("cosh", 1, "np.cosh({0})", "snn_cosh({0})", "snn_coshf({0})"),
    _row("tanh", 1, "np.tanh({0})", "snn_tanh({0})", "snn_tanhf({0})"),
    _row("sigmoid", 1, "sigmoid({0})", "snn_sigmoid({0})", "snn_sigmoidf({0})", "sigmoid"),
    _row("relu", 1, "np.maximum({0}, 0)", "snn_relu({0})", "snn_reluf({0})"),
    _row("softplus", 1, "np.logaddexp({0}, 0)", "snn_softplus({0})", "snn_softplusf({0})"),
    _row("erf", 1, "erf({0})", "snn_erf({0})", "snn_erff({0})", "erf"),
    _row("heaviside", 1, "np.heaviside({0}, 1)", "snn_heaviside({0})", "snn_heavisidef({0})"),
    _row("min", 2, "np.minimum({0}, {1})", "snn_min({0}, {1})", "snn_minf({0}, {1})"),
    _row("max", 2, "np.maximum({0}, {1})", "snn_max({0}, {1})", "snn_maxf({0}, {1})"),
    _row("atan2", 2, "np.arctan2({0}, {1})", "atan2({0}, {1})", "atan2f({0}, {1})"),
    _row("mod", 2, "np.mod({0}, {1})", "snn_mod({0}, {1})", "snn_modf({0}, {1})"),
    _row(
        "poisson_quantile",
        2,
        "poisson_quantile({0}, {1})",
        "snn_poisson_quantile({0}, {1})",
        "snn_poisson_quantilef({0}, {1})",
        "poisson_quantile",
    ),
    _row(
        "gamma_quantile",
        2,
        "gamma_quantile({0}, {1})",
        "snn_gamma_quantile({0}, {1})",
        "snn_gamma_quantilef({0}, {1})",
        "gamma_quantile",
    ),
    _row("clip", 3, "np.clip({0}, {1}, {2})", "snn_clip({0}, {1}, {2})", "snn_clipf({0}, {1}, {2})"),
)

#: By name: the functions of :data:`snnlang.model.expression.FUNCTIONS` and the quantiles that draws are lowered to.
#: ``int`` and ``real`` are conversions that printers write themselves.
FUNCTIONS: dict[str, Function] = {row.name: row for row in _ROWS}
