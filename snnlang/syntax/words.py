"""The words of the language: which are reserved, which only mean something in their place, and where each may stand."""

from __future__ import annotations

#: Keywords and built-in names that nothing may be called.
RESERVED: frozenset[str] = frozenset(
    """
    and as connect const crosses deliver elif else emit every for from func hold if import in input kernel network neuron
    not on or override param population simulate state synapse train via weight when with
    dt false inf spike t true xi
    """.split()
)

#: Names with a fixed meaning inside models, functions and kernels; populations and inputs may bear them.
RESERVED_IN_MODELS: frozenset[str] = frozenset("all end index position post pre".split())

#: Built-in names that are values: reserved for declarations, but an expression may use them.
BUILT_IN: frozenset[str] = frozenset("dt false inf spike t true xi".split())

#: Words that can never be the name of anything in an expression: meeting one there, something is missing before it.
CONNECTING: frozenset[str] = frozenset(
    "and as crosses deliver elif else emit every for from hold if import in not on or override via when with".split()
)

#: Where a line may begin with each keyword, for messages.
PLACES: dict[str, str] = {
    **dict.fromkeys(("const", "func", "kernel", "neuron", "synapse", "network", "simulate", "train", "from"), "the top level"),
    **dict.fromkeys(("param", "state", "event", "on", "override", "trainable", "per_neuron", "persistent"),
                    "a neuron or a synapse"),
    **dict.fromkeys(("spike", "port", "adjoint"), "a neuron"),
    **dict.fromkeys(("weight", "trace", "order", "broadcast", "per_post"), "a synapse"),
    **dict.fromkeys(("population", "connect", "block"), "a network"),
    **dict.fromkeys(("input", "output"), "a neuron, a synapse or a network"),
    **dict.fromkeys(("record", "plot", "sweep", "drive", "at", "clamp", "freeze", "present"), "`simulate` or `train`"),
    **dict.fromkeys(("hold", "emit", "if", "elif", "else"), "a handler (`on …:`)"),
    "deliver": "a synapse",
    "for": "a handler of a synapse (`for vacant:`)",
}

#: Words of other languages for something this one has.
FOREIGN_WORDS: dict[str, str] = {
    "def": "func", "function": "func", "fn": "func", "let": "const", "constant": "const", "define": "const",
    "model": "neuron", "cell": "neuron", "class": "neuron", "group": "population", "pop": "population", "layer": "population",
    "projection": "connect", "synapses": "synapse", "connection": "connect",
    "parameter": "param", "parameters": "param", "params": "param", "variable": "state", "variables": "state", "var": "state",
    "states": "state", "inputs": "input", "weights": "weight", "elseif": "elif", "elsif": "elif", "upon": "on", "where": "when",
    "run": "simulate", "simulation": "simulate", "experiment": "simulate", "monitor": "record", "send": "deliver",
    "raise": "emit", "freezed": "freeze", "using": "via", "delete": "remove",
}

#: Blocks of other languages, and what is written here in their place.
FOREIGN_BLOCKS: dict[str, str] = {
    **dict.fromkeys(("equation", "equations", "eqs", "dynamics", "ode", "odes", "update", "derivative", "breakpoint"),
                    "write the equations directly in the model, without a block around them"),
    **dict.fromkeys(("threshold", "condition"), "write `spike when CONDITION`"),
    **dict.fromkeys(("reset", "onspike", "on_spike", "onreceive", "oncondition"), "write `on spike:` and the assignments below it"),
    **dict.fromkeys(("onpre", "on_pre", "net_receive"), "write `on pre:` and the statements below it"),
    **dict.fromkeys(("onpost", "on_post"), "write `on post:` and the statements below it"),
    **dict.fromkeys(("initial", "init", "initialise", "initialize"), "give the initial value where the state is declared: `state v = …`"),
    "refractory": "write `hold v for t_ref` in `on spike:`",
    "internals": "write the definition directly in the model: `name = …`",
}
