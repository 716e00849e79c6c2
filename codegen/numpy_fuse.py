"""Before a kernel is printed: a value that is computed only to be stored is stored where it is computed."""

from __future__ import annotations

from dataclasses import replace

from snnlang.codegen import kernel as k


def fuse(body: tuple[k.Statement, ...]) -> tuple[k.Statement, ...]:
    """Store what a Let computes where it is computed, when that is its only use and nobody reads the array in between."""
    statements = list(body)
    for store in [
        s
        for s in body
        if isinstance(s, k.Store) and isinstance(s.value, k.Local) and s.lag is None and isinstance(s.index, k.Local)
    ]:
        assert isinstance(store.value, k.Local)
        name = store.value.name
        position = next(i for i, s in enumerate(statements) if s is store)
        start = next((i for i, s in enumerate(statements[:position]) if isinstance(s, k.Let) and s.name == name), None)
        if start is None:
            continue
        everything = list(k.walk_statements(tuple(statements)))
        uses = sum(
            e == k.Local(name, e.type)
            for s in everything
            for top in k.statement_expressions(s)
            for e in k.walk(top)
            if isinstance(e, k.Local)
        )
        between = list(k.walk_statements(tuple(statements[start + 1 : position])))
        touched = any(isinstance(s, k.Store | k.Accumulate) and s.array == store.array for s in between) or any(
            isinstance(e, k.Load) and e.array == store.array
            for s in between
            for top in k.statement_expressions(s)
            for e in k.walk(top)
        )
        let = statements[start]
        if uses == 1 and not touched and isinstance(let, k.Let):
            statements[start] = replace(store, value=let.value, source=let.source or store.source)
            del statements[position]
    return tuple(statements)
