"""In which order populations take their turn within a step, and which projections a cycle forces to arrive one step later.

A graph of undelayed projections is cut into strongly connected components; what stays inside one component is delayed, unless ``settle``
asks for its fixed point. The order is topological, and the written order wherever the graph leaves it free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def components(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Number of the strongly connected component of each node (Tarjan 1972), iterative."""
    successors: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        successors[source].append(target)
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    result: dict[str, int] = {}
    count = 0
    for root in nodes:
        if root in order:
            continue
        work = [(root, 0)]
        while work:
            node, position = work.pop()
            if position == 0:
                order[node] = low[node] = len(order)
                stack.append(node)
                on_stack.add(node)
            descended = False
            for number in range(position, len(successors[node])):
                child = successors[node][number]
                if child not in order:
                    work.append((node, number + 1))
                    work.append((child, 0))
                    descended = True
                    break
                if child in on_stack:
                    low[node] = min(low[node], order[child])
            if descended:
                continue
            if low[node] == order[node]:
                while True:
                    member = stack.pop()
                    on_stack.discard(member)
                    result[member] = count
                    if member == node:
                        break
                count += 1
            if work:
                parent = work[-1][0]
                low[parent] = min(low[parent], low[node])
    return result


def topological(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """An order in which every edge points forward; the earliest node in written order goes first. Cycles must be gone."""
    waiting: dict[str, set[str]] = {node: set() for node in nodes}
    for source, target in edges:
        if source != target:
            waiting[target].add(source)
    result: list[str] = []
    while len(result) < len(nodes):
        node = next(n for n in nodes if n not in result and waiting[n] <= set(result))
        result.append(node)
    return result
