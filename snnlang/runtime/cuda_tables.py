"""The tables of ``NAME.h`` in a folder of CUDA: what :mod:`snnlang.runtime.cuda_folder` found, as C++ that a person can read."""

from __future__ import annotations

from snnlang.codegen.cuda_layout import STRUCTS
from snnlang.runtime.cuda_folder import Buffer, Folder


def tables(folder: Folder) -> str:
    """The tables of ``NAME.h``."""
    launch = folder.launch()
    constants = [f"    {key.upper()} = {value}," for key, value in launch.items()]
    constants += [f"    RESIDENT_ITEMS = {folder.code.resident.items},", f"    STEPS = {folder.steps},"]
    constants += [f"    TIME_OFFSET = {folder.plan.time_offset},", f"    RECORD_INITIAL = {int(folder.initial)},"]
    place, checks = 0, []
    for member in folder.code.members:
        checks.append(f'static_assert(offsetof(snn_model, {member.name}) == {8 * place}, "{member.name}");')
        place += len(STRUCTS.get(member.kind, ("",)))
    kernels = []
    for section, rows in folder.kernels().items():
        body = [f'    {{(const void *){row["name"]}, "{row["name"]}", {row["work"]}}},' for row in rows]
        kernels += [f"static const kernel_row {section}_kernels[] = {{", *body, "    {nullptr, nullptr, 0}};", ""]
    return "\n".join(
        [
            "/* Launch shapes, and what the rules for them count with. */",
            "enum {",
            *constants,
            "};",
            f"static const double DT = {folder.plan.dt!r}; /* ms */",
            "",
            "/* Memory of the device, and what it holds at first. */",
            "static const buffer_row buffers[] = {",
            *(_buffer_line(number, buffer) for number, buffer in enumerate(folder.buffers)),
            "};",
            "",
            "/* struct snn_model, 8 bytes a word: the address of a buffer, or a value. */",
            "static const word_row words[] = {",
            *(f"    {{{n}, {f'{v:#x}ull' if v > 9 else v}}}, /* {what} */" for what, n, v in folder.words),
            "};",
            'static_assert(sizeof(snn_model) == 8*(sizeof words/sizeof words[0]), "the model has other members");',
            *checks,
            "",
            "/* The kernels of each section and of a step, in order. */",
            *kernels,
            *_record_tables(folder),
        ]
    )


def _buffer_line(number: int, b: Buffer) -> str:
    fill = int.from_bytes(b.element, "little")
    file = f'"{b.file}"' if b.file else "nullptr"
    numbers = f"{b.nbytes}ull, {file}, {fill:#x}ull, {len(b.element)}, {b.repeat}ull, {int(b.again)}"
    return f'    {{"{b.name}", {numbers}}}, /* {number} */'


def _record_tables(folder: Folder) -> list[str]:
    events = [
        f"    {{{_text(r['label'])}, {r['size']}, {r['events']}, {r['count']}, {r['capacity']}ull}},"
        for r in folder.events()
    ]
    values = [
        f"    {{{_text(r['label'])}, '{_letter(r['type'])}', {r['every']}, {r['width']}ull, {r['kept']}, {r['rows']}, {r['base']}, "
        f"{r['chosen']}, {r['array']}, {r['slot']}ull}},"
        for r in folder.values()
    ]
    queues = [
        f"    {{{_text(r['name'])}, {r['items']}, {r['capacity']}, {r['ring']}, {r['number']}}},"
        for r in folder.queues()
    ]
    parameters = [
        f"    {{{_text(r['name'])}, {_text(r['unit'])}, '{_letter(r['type'])}', {int(r['input'])}, {r['buffer']}, {r['count']}ull}},"
        for r in folder.parameters()
    ]
    return [
        "/* What is recorded: label, neurons, buffers, room; label, type, every so many steps, width, rows, buffers, and the",
        " * first element of the slot that an array shows before the first step. */",
        "static const event_row event_records[] = {",
        *events,
        "    {nullptr, 0, 0, 0, 0}};",
        "",
        "static const value_row value_records[] = {",
        *values,
        "    {nullptr, 0, 0, 0, 0, 0, 0, 0, 0, 0}};",
        "",
        "/* Queues of synapses on their way: words of the model, slots. */",
        "static const queue_row queues[] = {",
        *queues,
        "    {nullptr, 0, 0, 0, 0}};",
        "",
        "/* What may be set: name, unit, type, whether it is an input of the network, buffer, numbers. */",
        "static const parameter_row parameters[] = {",
        *parameters,
        "    {nullptr, nullptr, 0, 0, 0, 0}};",
        "",
        "/* Keys of the random streams (they are words of the model, too): a hash of the seed and of the name. */",
        *(f"/* 0x{s.key:016x} {_plain(s.path)} {_plain(s.draw)} */" for s in folder.plan.streams.values()),
    ]


def _letter(dtype: str) -> str:
    return {"float32": "f", "float64": "d", "int32": "i", "uint8": "b"}[dtype]


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() and c.isascii() and c not in '"\\*/' else "_" for c in text)


def _text(text: str) -> str:
    """A string of C++; names such as E->I.w keep their signs."""
    return '"' + "".join(c if c.isprintable() and c.isascii() and c not in '"\\' else "_" for c in text) + '"'


__all__ = ["tables"]
