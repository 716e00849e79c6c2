"""A plan as text to read: what ``snn show --stage plan`` prints. Nothing reads it back."""

from __future__ import annotations

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p

_LEVEL = {"or": 1, "and": 2, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "^": 7}


def expression_text(expr: k.Expr, level: int = 0) -> str:
    """An expression with the fewest brackets."""
    text, own = _text(expr)
    return f"({text})" if own < level else text


def _text(expr: k.Expr) -> tuple[str, int]:
    match expr:
        case k.Const(value=value, type=kind):
            if kind == "bool":
                return ("true" if value else "false"), 9
            return f"{value:g}" if kind == "real" else str(value), 9 if value >= 0 else 6
        case k.Local(name=name):
            return name, 9
        case k.Load(array=array, index=index, lag=lag):
            back = "" if lag is None else f" @ step - {expression_text(lag, 5)}"
            return (array if index is None else f"{array}[{expression_text(index)}{back}]"), 9
        case k.Unary(operator=operator, operand=operand):
            return f"{'-' if operator == '-' else 'not '}{expression_text(operand, 6)}", 6
        case k.Binary(operator=operator, left=left, right=right):
            own = _LEVEL[operator]
            space = " " if own == 4 else ""
            right_level = own + (operator in "-/%")
            return (
                f"{expression_text(left, own + (operator == '^'))}{space}{operator}{space}{expression_text(right, right_level)}",
                own,
            )
        case k.Compare(operator=operator, left=left, right=right):
            return f"{expression_text(left, 4)} {operator} {expression_text(right, 4)}", 3
        case k.Logic(operator=operator, left=left, right=right):
            own = _LEVEL[operator]
            return f"{expression_text(left, own)} {operator} {expression_text(right, own)}", own
        case k.Choose(condition=condition, value=value, otherwise=otherwise):
            return (
                f"{expression_text(value, 1)} if {expression_text(condition, 1)} else {expression_text(otherwise)}",
                0,
            )
        case k.Call(function=function, arguments=arguments):
            return f"{function}({', '.join(expression_text(a) for a in arguments)})", 9
        case k.Draw(distribution=distribution, stream=stream, index=index, counter=counter):
            return f"{distribution}<{stream}>({expression_text(index)}, {expression_text(counter)})", 9


def _statement(statement: k.Statement, indent: str) -> list[str]:
    def comment(source: str) -> list[str]:
        return [f"{indent}# {source}"] if source else []

    match statement:
        case k.Let(name=name, value=value, source=source):
            return [*comment(source), f"{indent}let {name} = {expression_text(value)}"]
        case k.Store(array=array, index=index, value=value, source=source, lag=lag):
            return [*comment(source), f"{indent}{_place(array, index, lag)} = {expression_text(value)}"]
        case k.Accumulate(array=array, index=index, value=value, source=source, lag=lag):
            return [*comment(source), f"{indent}{_place(array, index, lag)} += {expression_text(value)}"]
        case k.Append(list=name):
            return [f"{indent}append i to {name}"]
        case k.If(condition=condition, body=body, otherwise=otherwise, rare=rare, source=source):
            lines = [*comment(source), f"{indent}{'when' if rare else 'if'} {expression_text(condition)}:"]
            for inner in body:
                lines += _statement(inner, indent + "    ")
            if otherwise:
                lines.append(f"{indent}else:")
                for inner in otherwise:
                    lines += _statement(inner, indent + "    ")
            return lines


def _place(array: str, index: k.Expr | None, lag: k.Expr | None) -> str:
    if index is None:
        return array
    back = "" if lag is None else f" @ step - {expression_text(lag, 5)}"
    return f"{array}[{expression_text(index)}{back}]"


def _domain(domain: k.Domain) -> str:
    match domain:
        case k.Single():
            return "once"
        case k.Each(size=size):
            return f"each i < {size}"
        case k.Listed(list=name, lag=lag):
            return f"each i in {name}{_ago(lag)}"
        case k.Fan(connectivity=connectivity, side=side, list=name, lag=lag):
            return f"each synapse of {connectivity} {'from' if side == 'pre' else 'onto'} {name}{_ago(lag)}"
        case k.Synapses(connectivity=connectivity):
            return f"each synapse of {connectivity}"
        case k.Arrivals(queue=queue):
            return f"each synapse arriving in {queue}"


def _ago(lag: int) -> str:
    return f" {lag} steps ago" if lag else ""


def kernel_text(kernel: k.Kernel, indent: str = "") -> list[str]:
    """Head and body of a kernel."""
    lines = [f"{indent}kernel {kernel.name}  ({_domain(kernel.domain)})  # {kernel.title}"]
    for statement in kernel.body:
        lines += _statement(statement, indent + "    ")
    return lines


def _node(node: p.PlanNode, indent: str) -> list[str]:
    match node:
        case p.Launch(kernel=kernel):
            return kernel_text(kernel, indent)
        case p.Fill(array=array, value=value, lag=lag):
            return [f"{indent}fill {array}{_ago(lag)} with {value:g}"]
        case p.ClearList(list=name):
            return [f"{indent}clear {name}"]
        case p.Enqueue(queue=queue, connectivity=connectivity, list=name, delays=delays, lag=lag):
            return [
                f"{indent}enqueue the synapses of {connectivity} from {name}{_ago(lag)} in {queue} after {delays} steps"
            ]
        case p.ClearQueue(queue=queue):
            return [f"{indent}clear {queue}"]
        case p.Reduce(operation=operation, result=result, source=source, groups=groups):
            return [f"{indent}{result} = {operation} of {source}{f' by {groups}' if groups else ''}"]
        case p.SynapseReduce(operation=operation, result=result, source=values, connectivity=connectivity, per=per):
            return [f"{indent}{result} = {operation} of {values or 'synapses'} of {connectivity} per {per}"]
        case p.Every(period=period, body=body):
            return [f"{indent}every {period} steps:", *_nodes(body, indent + "    ")]
        case p.AtStep(step=step, body=body):
            return [f"{indent}in step {step}:", *_nodes(body, indent + "    ")]
        case p.Settle(list=name, limit=limit, body=body):
            return [f"{indent}until {name} stays the same, at most {limit} times:", *_nodes(body, indent + "    ")]
        case p.Schedule(list=name, steps=steps, indices=indices):
            return [f"{indent}append to {name} what {steps}, {indices} hold for this step"]


def _nodes(nodes: tuple[p.PlanNode, ...], indent: str) -> list[str]:
    return [line for node in nodes for line in _node(node, indent)]


def plan_text(plan: p.Plan) -> str:
    """The whole plan: storage, connectivity, then the nodes of each phase."""
    lines = [f"plan {plan.name}: dt = {plan.dt:g} ms, {plan.precision} precision", "", "arrays"]
    for array in plan.arrays.values():
        shape = (
            "synapses" if array.connectivity else ("scalar" if array.shape == () else " x ".join(map(str, array.shape)))
        )
        ring = f", ring of {array.depth}" if array.depth > 1 else ""
        unit = f" [{array.unit}]" if array.unit not in ("", "1") else ""
        lines.append(f"    {array.name}: {array.type} {shape}{ring} ({array.role}){unit}")
    for connectivity in plan.connectivities.values():
        lines.append(
            f"connectivity {connectivity.name}: {connectivity.pattern} {len(connectivity.pre_part)} -> {len(connectivity.post_part)}, "
            f"{connectivity.kind}"
        )
    for title, nodes in (
        ("set-up", plan.setup),
        ("coefficients", plan.coefficients),
        ("start of a trial", plan.trial_start),
        ("each step", plan.step),
        ("end of a trial", plan.trial_end),
    ):
        if nodes:
            lines += ["", title, *_nodes(nodes, "    ")]
    for recorder in plan.recorders:
        what = (
            recorder.list if isinstance(recorder, p.EventRecorder) else f"{recorder.array} every {recorder.every} steps"
        )
        lines.append(f"record {recorder.label}: {what}")
    return "\n".join(lines)
