"""The passes of a cell as CUDA: a thread takes one neuron of one sample through all steps, with its states in registers.

    NAME(table, fixed, batch, size, first, last, origin, sample)

``table`` are the addresses of the arrays of :mod:`snnlang.codegen.passes_layout` in their order; at ``fixed`` lie dt and the time offset
(two doubles) and the keys of the streams. Both are on the device, and all arguments are 64-bit whole numbers. Neighbours in a warp are
neighbours in memory. Of a trained parameter each thread leaves its own sum over the steps, (batch, size): whoever called adds them up,
so that the order of threads changes no bit.

    NAME(table, fixed, batch, first, last, origin, sample)

is a cycle: populations that send to each other. A block takes one sample through all steps, and its threads meet after every population.
Products within the cycle are sums over rows of the weights that each thread makes for its neuron; what sent nothing costs nothing.
``table`` holds for each population its size and the addresses of its arrays, then for each connection in it five numbers: what is sent
(at the cycle's first step), the weights, the arrivals, the number of senders, the lag in steps; backwards what is sent are adjoints of
arrivals, and the weights lie transposed.

It needs nvcc or NVRTC and no header of the host. Statements that no pass has are our
mistake (InternalError).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snnlang.codegen import kernel as k
from snnlang.codegen.clike import Precision, Scope
from snnlang.codegen.passes_layout import Slot
from snnlang.codegen.target_cuda import header
from snnlang.codegen.verify import InternalError

_HEADERS = (("cuda", "mathematics.cuh"), ("cuda", "random.cuh"), ("native", "quantiles.h"))
_ARGUMENTS = ("table", "fixed", "batch", "size", "first", "last", "origin", "sample")


def head(precision: Precision) -> list[str]:
    """The lines that every text for training begins with: what kernels call, and the type ``real``."""
    return [
        *(header(folder, name) for folder, name in _HEADERS),
        "/* A step far beyond any run. */",
        "#define SNN_FOR_EVER 1073741824",
        f"typedef {'double' if precision == 'double' else 'float'} real;",
        "",
    ]


def cuda_text(
    passes: Iterable[tuple[str, k.Kernel, tuple[Slot, ...], bool]],
    precision: Precision,
    streams: tuple[str, ...],
    cycles: Iterable[tuple[str, tuple[str, ...], tuple[tuple[int, int], ...]]] = (),
) -> str:
    """One text of kernels: (name, kernel, its slots, whether time runs backwards). ``cycles`` are (name, its passes in the order of a
    step forwards, for each connection the numbers of the populations that send and receive)."""
    passes = tuple(passes)
    lines = [
        "/* Made by snnlang: neurons forwards and backwards through the steps of a sample. CUDA C++14, for nvcc or NVRTC. */",
        *head(precision),
    ]
    for name, kernel, slots, back in passes:
        lines += [*_Function(name, kernel, slots, back, precision, streams).text(), ""]
    known = {given[0]: _Function(*given, precision, streams) for given in passes}
    for name, inner, links in cycles:
        functions = [known[one] for one in inner]
        for function in functions:
            lines += [*function.one_step(), ""]
        lines += [*_cycle(name, functions, links), ""]
    return "\n".join(lines)


def products_text(precision: Precision) -> str:
    """The kernels of connections: codegen/cuda/products.cuh, whole."""
    lines = ["/* Made by snnlang: what connections do to whole batches. CUDA C++14, for nvcc or NVRTC. */"]
    return "\n".join([*lines, *head(precision), header("cuda", "products.cuh")])


def _cycle(name: str, functions: list[_Function], links: tuple[tuple[int, int], ...]) -> list[str]:
    """The kernel of a cycle."""
    back = functions[0].back
    places = [0]
    for function in functions:
        places.append(places[-1] + 1 + len(function.slots))
    arguments = ", ".join(f"int64_t {argument}" for argument in _ARGUMENTS if argument != "size")
    times = "step = last - 1; step >= first; step--" if back else "step = first; step < last; step++"
    lines = [
        f"/* {', '.join(function.kernel.name for function in functions)}: one block takes a sample through the steps. */",
        f'extern "C" __global__ void {name}({arguments})',
        "{",
        "    const int64_t *const a = (const int64_t *)table;",
        "    for (int64_t b = blockIdx.x; b < batch; b += gridDim.x)",
        f"        for (int64_t {times}) {{",
    ]
    order = range(len(functions) - 1, -1, -1) if back else range(len(functions))
    for number in order:
        size = f"a[{places[number]}]"
        mine = [place for place, (_, after) in enumerate(links) if after == number]
        turn = [
            f"const int64_t around = batch*{size}, at = b*{size} + lane;",
            f"{functions[number].name}__one((void *const *)(a + {places[number] + 1}), fixed, around, {size}, at, step, origin, sample);",
        ]
        if back:
            lines += _lanes(size, turn)
            for place in mine:
                before, start = links[place][0], places[-1] + 5 * place
                lines += _lanes(f"a[{places[before]}]", _product(start, f"a[{places[before]}]", "", f" - a[{start + 4}]"))
        else:
            made: list[str] = []
            for place in mine:
                start = places[-1] + 5 * place
                made += ["{", *(f"    {line}" for line in _product(start, size, f" - a[{start + 4}]", "")), "}"]
            lines += _lanes(size, [*made, *turn])
    return [*lines, "        }", "}"]


def _lanes(size: str, body: list[str]) -> list[str]:
    """Neurons shared out among the threads of a block, which then meet."""
    return [
        f"            for (int64_t lane = threadIdx.x; lane < {size}; lane += blockDim.x) {{",
        *(f"                {line}" for line in body),
        "            }",
        "            __syncthreads();",
    ]


def _product(start: int, size: str, sent: str, arrived: str) -> list[str]:
    """One neuron's sum over those that send; ``sent`` and ``arrived`` are the steps between."""
    count = f"a[{start + 3}]"
    if arrived:  # adjoints are seldom 0: eight weights are on their way at a time
        each = ["#pragma unroll 8", f"for (int64_t j = 0; j < {count}; j++) total += from[j]*weight[j*{size}];"]
    else:
        each = [
            f"for (int64_t j = 0; j < {count}; j++) {{",
            "    const real value = from[j];",
            f"    if (value != 0) total += value*weight[j*{size}];",
            "}",
        ]
    return [
        f"const real *const from = (const real *)a[{start}] + ((step - origin{sent})*batch + b)*{count};",
        f"const real *const weight = (const real *)a[{start + 1}] + lane;",
        "real total = 0;",
        *each,
        f"((real *)a[{start + 2}])[((step - origin{arrived})*batch + b)*{size} + lane] += total;",
    ]


class _Function:
    def __init__(
        self,
        name: str,
        kernel: k.Kernel,
        slots: tuple[Slot, ...],
        back: bool,
        precision: Precision,
        streams: tuple[str, ...],
    ) -> None:
        self.name, self.kernel, self.slots, self.back = name, kernel, slots, back
        self.of: dict[tuple[str, str], int] = {(slot.array, slot.kind): number for number, slot in enumerate(slots)}
        self.stored = {s.array for s in k.walk_statements(kernel.body) if isinstance(s, k.Store)}
        keys = {stream: number for number, stream in enumerate(streams)}
        self.scope = Scope(
            precision,
            self.place,
            lambda stream: f"((const uint64_t *)fixed)[{2 + keys[stream]}]",
            lambda value: None,
            lambda const: None,
        )
        self.scope.wide |= {"step"}

    def place(self, array: str, index: k.Expr | None, lag: k.Expr | None) -> str:
        """An element: all are those of the thread's own neuron and sample."""
        for kind, letter in (("parameter", "p"), ("carried", "c")):
            if (array, kind) in self.of:
                return f"{letter}{self.of[array, kind]}"
        parts = []
        if (array, "each") in self.of:
            parts.append(f"e{self.of[array, 'each']}[row]")
        if (array, "once") in self.of:
            parts.append(f"o{self.of[array, 'once']}")
        if (array, "sum") in self.of:
            parts.append(f"w{self.of[array, 'weights']}*o{self.of[array, 'sum']}")
        if not parts:
            return "(real)0"
        return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"

    # --- the text -----------------------------------------------------------------------------------------------------

    def text(self) -> list[str]:
        own = self._own()
        lines = [
            f"/* {self.kernel.title} */",
            f'extern "C" __global__ void {self.name}({", ".join(f"int64_t {name}" for name in _ARGUMENTS)})',
            "{",
            "    void *const *const slot = (void *const *)table;",
            "    const int64_t around = batch*size;",
            *(f"    {line}" for line in self._pointers()),
            "    for (int64_t at = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; at < around; at += (int64_t)gridDim.x*blockDim.x) {",
        ]
        if own:
            lines.append("        const int64_t lane = at % size;")
        lines += [f"        {line}" for line in self._before(False)]
        if self.back:
            lines.append("        for (int64_t step = last - 1; step >= first; step--) {")
        else:
            lines.append("        for (int64_t step = first; step < last; step++) {")
        lines += [f"            {line}" for line in self._inside()]
        lines.append("        }")
        lines += [f"        {line}" for line in self._after()]
        return [*lines, "    }", "}"]

    def _pointers(self) -> Iterator[str]:
        """The arrays of every step."""
        for number, slot in enumerate(self.slots):
            const = "" if slot.array in self.stored else "const "
            if slot.kind == "each":
                yield f"{const}real *const e{number} = ({const}real *)slot[{number}]; /* {slot.array} */"

    def one_step(self) -> list[str]:
        """The same for one step of one neuron, with states in memory."""
        own = self._own()
        names = ("fixed", "around", "size", "at", "step", "origin", "sample")
        return [
            f"/* {self.kernel.title}, one neuron */",
            f"SNN_INLINE void {self.name}__one(void *const *slot, {', '.join(f'int64_t {name}' for name in names)})",
            "{",
            *(f"    {line}" for line in self._pointers()),
            *(["    const int64_t lane = at % size;"] if own else []),
            *(f"    {line}" for line in self._before(True)),
            *(f"    {line}" for line in self._inside()),
            *(f"    {line}" for line in self._after()),
            "}",
        ]

    def _before(self, adds: bool) -> Iterator[str]:
        """What a thread reads before its first step."""
        for number, slot in enumerate(self.slots):
            kind = "int32_t" if slot.type == "int" else "real"
            place = f"((const {kind} *)slot[{number}])"
            match slot.kind:
                case "parameter":
                    yield f"const {kind} p{number} = {place}[{'0' if slot.single else 'lane'}]; /* {slot.array} */"
                case "carried":
                    yield f"{kind} c{number} = {place}[at]; /* {slot.array} */"
                case "gradient":
                    yield f"real g{number} = {f'{place}[at]' if adds else '0'}; /* {slot.array} */"
                case "once" | "sum" if slot.array in self.stored:
                    yield f"real r{number} = 0; /* {slot.array} */"
                case "once" | "sum":
                    yield f"const real o{number} = {place}[at]; /* {slot.array} */"

    def _inside(self) -> Iterator[str]:
        if any(slot.kind == "each" for slot in self.slots):
            yield "const int64_t row = (step - origin)*around + at;"
        names = {e.name for e in self._expressions() if isinstance(e, k.Local)}
        if "t" in names:
            yield "const double t = ((double)step + ((const double *)fixed)[1])*((const double *)fixed)[0];"
        if "dt" in names:
            yield "const real dt = (real)((const double *)fixed)[0];"
        if self._reads(k.Draw):
            yield "const int64_t i = (sample + at/size)*size + lane;"
        if "neuron" in names:
            yield "const int64_t neuron = lane;"
        for number, slot in enumerate(self.slots):
            if slot.kind == "weights":
                yield f"const real w{number} = ((const real *)slot[{number}])[step];"
        for statement in self.kernel.body:
            yield from self._statement(statement)

    def _after(self) -> Iterator[str]:
        """What a thread leaves after its last step."""
        for number, slot in enumerate(self.slots):
            kind = "int32_t" if slot.type == "int" else "real"
            match slot.kind:
                case "carried" if slot.array in self.stored:
                    yield f"(({kind} *)slot[{number}])[at] = c{number};"
                case "gradient":
                    yield f"((real *)slot[{number}])[at] = g{number};"
                case "once" | "sum" if slot.array in self.stored:
                    yield f"((real *)slot[{number}])[at] += r{number};"

    def _expressions(self) -> Iterator[k.Expr]:
        for statement in k.walk_statements(self.kernel.body):
            for top in k.statement_expressions(statement):
                yield from k.walk(top)

    def _own(self) -> bool:
        """Whether a thread must know its neuron's number."""
        each = any(slot.kind == "parameter" and not slot.single for slot in self.slots)
        return each or self._reads(k.Draw) or any(isinstance(e, k.Local) and e.name == "neuron" for e in self._expressions())

    def _reads(self, kind: type[k.Draw]) -> bool:
        return any(isinstance(e, kind) for e in self._expressions())

    def _statement(self, statement: k.Statement) -> list[str]:
        match statement:
            case k.Let(name=name, value=value, source=source):
                comment = [f"/* {line} */" for line in source.splitlines()]
                return [*comment, f"const {self.scope.local_type(statement)} {name} = {self.scope.text(value)};"]
            case k.Store(array=array, value=value):
                return self._store(array, self.scope.text(value))
            case k.Accumulate(array=array, value=value):
                return [f"g{self.of[array, 'gradient']} += {self.scope.text(value)};"]
        raise InternalError(f"{self.kernel.name}: a {type(statement).__name__} in a pass")

    def _store(self, array: str, value: str) -> list[str]:
        if (array, "carried") in self.of:
            return [f"c{self.of[array, 'carried']} = {value};"]
        lines: list[str] = []
        targets = [kind for kind in ("each", "once", "sum") if (array, kind) in self.of]
        if len(targets) > 1:
            lines.append(f"const real {array}__stored = {value};")
            value = f"{array}__stored"
        for kind in targets:
            number = self.of[array, kind]
            match kind:
                case "each":
                    lines.append(f"e{number}[row] = {value};")
                case "once":
                    lines.append(f"r{number} += {value};")
                case _:
                    lines.append(f"r{number} += w{self.of[array, 'weights']}*({value});")
        return lines


__all__ = ["cuda_text", "head", "products_text"]
