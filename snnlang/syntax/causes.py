"""The causes of syntax errors, from the most special to the most general.

Each looks at a place and either passes or answers with a diagnostic and a repair, so that a message names the mistake (a
keyword misspelt, an operand missing) and not its first symptom.
"""

from __future__ import annotations

from collections.abc import Callable

from snnlang.diagnostics import Fix, Label, Span
from snnlang.syntax.expected import describe_choices, nearest, nearest_unit
from snnlang.syntax.place import LAYOUT, SKIP, Finding, Place, Repair
from snnlang.syntax.words import CONNECTING, FOREIGN_BLOCKS, FOREIGN_WORDS, PLACES

OPERAND_STARTS = frozenset(("NAME", "NUMBER", "QUANTITY", "STRING", "DERIVATIVE", "LPAR", "LSQB"))
_OPERAND_ENDS = frozenset(("NAME", "NUMBER", "QUANTITY", "STRING", "DERIVATIVE", "RPAR", "RSQB"))
OPERATORS = frozenset(("STAR", "SLASH", "PLUS", "MINUS", "_POWER", "COMPARE", "EQUAL", "AUGMENT"))
_HEADERS = frozenset(
    ("NEURON", "SYNAPSE", "NETWORK", "SIMULATE", "TRAIN", "ON", "IF", "ELIF", "ELSE", "FOR", "POPULATION", "BLOCK", "CONNECT", "AT",
     "ADJOINT", "PARAM", "STATE", "INPUT", "WEIGHT")
)


def _indented(place: Place) -> Finding | None:
    if place.kind != "_INDENT":
        return None
    number = place.number
    start = place.tokens.starts[number + 1]
    line = place.source.position(start)[0]
    begin = place.source.line_starts[line - 1]
    return place.say(
        "E006", "this line is indented without a reason", Span(place.source, begin, start), "deeper than the line above",
        "move it to the left, or end the line above with `:` if it opens a block",
    ), Repair("delete", number)


def _empty_block(place: Place) -> Finding | None:
    if not place.accepts("_INDENT"):
        return None
    header = place.number - 1
    while header > 0 and place.tokens.kinds[header - 1] not in LAYOUT:
        header -= 1
    end = place.tokens.ends[place.number - 1]
    text = place.source.text[place.tokens.starts[header] : end]
    span = Span(place.source, place.tokens.starts[header], end)
    advice = "indent what belongs to it by four spaces"
    if place.kind in ("_DEDENT", "$END"):
        advice = "write its body on the next lines, indented by four spaces"
    return place.say("E007", f"nothing stands below `{text if len(text) < 50 else text.split('(')[0] + '…:'}`", span,
                     "an indented block must follow", advice), Repair("adopt", header)


def _else_without_if(place: Place) -> Finding | None:
    if place.kind not in ("ELSE", "ELIF") or not place.at_start:
        return None
    tokens, number = place.tokens, place.number
    depth = 0
    earlier = number - 1
    while earlier > 0:  # the line before it at the same level
        kind = tokens.kinds[earlier]
        depth += (kind == "_DEDENT") - (kind == "_INDENT")
        if depth < 0:
            break
        if depth == 0 and kind == "ELSE" and tokens.kinds[earlier - 1] in LAYOUT:
            return place.say(
                "E026", f"`{place.text}` after `else`", place.span(), "", "`else` comes last, and once: make it part of the `if` above",
                labels=(Label(place.span(earlier), "this `else` ended the `if`"),),
            ), SKIP
        if depth == 0 and kind == "IF" and tokens.kinds[earlier - 1] in LAYOUT:
            break
        earlier -= 1
    return place.say("E026", f"this `{place.text}` has no `if`", place.span(), "",
                     "put it directly below an `if` block, with the same indentation"), SKIP


def _reserved_name(place: Place) -> Finding | None:
    """``param in = 3``: a word that connects, where a name is declared."""
    if place.kind in LAYOUT or place.text not in CONNECTING or not place.wants("NAME") or place.wants_operand:
        return None
    return place.say(
        "E022", f"`{place.text}` is a word of the language and cannot be a name", place.span(), "reserved",
        f"choose another name, for example `{place.text}_0`",
    ), Repair("replace", place.number, (("NAME", f"{place.text}_0"),))


def _wrong_place(place: Place) -> Finding | None:
    """A line that begins with a keyword of another kind of block."""
    word = place.first_text
    if word not in PLACES or place.number - place.first > 1 or word in place.line_keywords():
        return None
    if place.number > place.first and place.kind in OPERATORS:
        return None
    if place.kind in ("_NL", "_INDENT") and place.number == place.first:
        return None
    here = _where(place)
    return place.say("E027", f"`{word}` has no place {here}", place.span(place.first), "",
                     f"`{word}` belongs in {PLACES[word]}" if PLACES[word] != "the top level"
                     else f"move `{word}` to the top level, without indentation"), SKIP


def _where(place: Place) -> str:
    words = place.line_keywords()
    if "neuron" in words:
        return "at the top level"
    if "population" in words:
        return "in a network"
    if "record" in words:
        return "in an experiment"
    if "hold" in words:
        return "in a handler"
    if "trace" in words:
        return "in a model"
    return "here"


def _equation_outside(place: Place) -> Finding | None:
    """``x = 3`` at the top level."""
    if not place.at_start or "neuron" not in place.line_keywords() or place.kind in LAYOUT:
        return None
    end = place.line_end()
    kinds = place.tokens.kinds[place.first : end]
    if not {"EQUAL", "AUGMENT", "_ARROW"}.intersection(kinds) or place.has_block():
        return None
    what = "a connection" if "_ARROW" in kinds else "an equation"
    advice = "put it in a network" if "_ARROW" in kinds else (
        "indent it below the `neuron` or `synapse` it belongs to; a value for the whole file is `const NAME = VALUE`")
    span = Span(place.source, place.tokens.starts[place.first], place.tokens.ends[end - 1])
    return place.say("E027", f"{what} has no place at the top level", span, "", advice), SKIP


def _foreign_block(place: Place) -> Finding | None:
    """``equations:``: the names of blocks in other languages."""
    if place.kind != "COLON" or place.number != place.first + 1 or not place.has_block():
        return None
    word = place.first_text
    if place.tokens.kinds[place.number + 1] != "_NL" or word in place.line_keywords():
        return None
    span = place.span(place.first)
    keywords = place.line_keywords()
    advice = FOREIGN_BLOCKS.get(word.lower())
    block_words = {w: k for w, k in keywords.items() if w in ("param", "state", "input", "weight", "adjoint")}
    target = FOREIGN_WORDS.get(word.lower(), "") or nearest(word, list(block_words))
    if advice is None and target in block_words:
        return place.say("E009", f"`{word}:` is no block of the language", span, "", f"write `{target}:`",
                         fix=Fix(span, target)), Repair("replace", place.first, ((block_words[target], target),))
    if advice is None:
        advice = "declare with `param:` or `state:`, and write equations directly in the model" if "trace" in keywords else (
            f"begin with {describe_choices(list(keywords.values()), place.table)}")
    repair = Repair("unwrap") if "write the equations" in advice else SKIP
    return place.say("E010", f"`{word}:` is no block of the language", span, "", advice), repair


def _misspelt_line(place: Place) -> Finding | None:
    """A line that starts with two names: the first was meant as a keyword."""
    if place.number > place.first + 1 or not place.first_text.isidentifier():
        return None
    second = place.first + 1
    if place.tokens.kinds[second] in LAYOUT or place.tokens.kinds[second] in OPERATORS:
        return None
    word, span = place.first_text, place.span(place.first)
    keywords = place.line_keywords()
    target = FOREIGN_WORDS.get(word.lower(), "")
    if target not in keywords:
        target = nearest(word, list(keywords))
    if target and target != word and place.accepts(keywords[target], place.as_taken(second, keywords[target]),
                                                   states=place.line_states):
        return place.say("E009", f"`{word}` is no word of the language", span, f"did you mean `{target}`?", f"write `{target}`",
                         fix=Fix(span, target)), Repair("replace", place.first, ((keywords[target], target),))
    if place.tokens.kinds[place.first] == "NAME" and place.tokens.kinds[second] == "NAME":
        return place.say("E009", f"no line begins with `{word}`", span, "",
                         f"begin {_where(place)} with {describe_choices(list(keywords.values()), place.table)}"), SKIP
    return None


def _misspelt_word(place: Place) -> Finding | None:
    """``trace x on pre decya tau``: a name where only certain keywords could be."""
    if not place.text.isidentifier() or place.at_start:
        return None
    keywords = place.keywords(place.choices)
    word = place.text
    target = FOREIGN_WORDS.get(word.lower(), "")
    if target not in keywords:
        target = nearest(word, list(keywords))
    if not target or target == word:
        return None
    return place.say("E009", f"`{word}` is no word of the language here", place.span(), f"did you mean `{target}`?",
                     f"write `{target}`", fix=Fix(place.span(), target)), Repair("replace", place.number, ((keywords[target], target),))


def _spike_without_when(place: Place) -> Finding | None:
    if place.tokens.kinds[place.number - 1] != "SPIKE" or not place.wants("WHEN"):
        if place.previous_kind != "WITH" or not place.wants("RATE"):
            return None
        return place.say("E031", "`spike with` needs to know what follows", place.span(place.number - 1), "",
                         "write `spike with rate …` (per time) or `spike with probability …` (per step)"), SKIP
    advice = "write `spike when CONDITION`, `spike with rate RATE` or `spike with probability P`"
    if place.kind in ("IF", "COLON", "EQUAL") or place.text in ("where", "at", "unless", "while"):
        return place.say("E031", f"`spike` is followed by `when`, not by {place.found()}", place.span(), "", advice,
                         fix=Fix(place.span(), "when")), Repair("replace", place.number, (("WHEN", "when"),))
    gap = place.gap()
    repair = Repair("insert", 0, (("WHEN", "when"),)) if place.accepts("WHEN", "NAME") and place.kind not in LAYOUT else SKIP
    return place.say("E031", "the word `when` is missing after `spike`", place.span(place.number - 1), "", advice,
                     fix=Fix(gap, " when")), repair


def _deliver_without_value(place: Place) -> Finding | None:
    if place.previous_kind == "DELIVER" and place.wants_operand:
        return place.say("E025", "`deliver` without a value", place.span(place.number - 1), "what is delivered?",
                         "write `deliver w`, or `deliver w to post.PORT`"), place.supply_value()
    if place.text == "to" and place.first_text in ("deliver", "on") and "TO" in place.kinds_before():
        return place.say("E025", "`deliver` has one target", place.span(), "a second `to`",
                         "write a `deliver` line for each target"), Repair("cut", place.number)
    return None


def _assignment_in_condition(place: Place) -> Finding | None:
    if place.kind != "EQUAL" or not place.wants("COMPARE"):
        return None
    before = place.kinds_before()
    condition = max((i for i, kind in enumerate(before) if kind in ("WHEN", "IF", "ELIF", "AND", "OR", "NOT", "GRADIENT")), default=-1)
    if condition < 0 or (before[condition] in ("AND", "OR", "NOT") and "EQUAL" not in before and place.first_text not in (
            "spike", "event", "if", "elif", "on", "override")):
        return None
    return place.say("E018", "`=` in a condition", place.span(), "assigns; a comparison is meant",
                     "write `==` to compare; for a value that changes continuously, `>=` or `crosses`",
                     fix=Fix(place.span(), "==")), Repair("replace", place.number, (("COMPARE", "=="),))


def _second_assignment(place: Place) -> Finding | None:
    if place.kind not in ("EQUAL", "AUGMENT") or not {"EQUAL", "AUGMENT"}.intersection(place.kinds_before()):
        return None
    first = next(i for i in range(place.first, place.number) if place.tokens.kinds[i] in ("EQUAL", "AUGMENT"))
    return place.say("E032", f"a second `{place.text}` in one line", place.span(), "", "write two lines; to compare, write `==`",
                     labels=(Label(place.span(first), "the first one"),)), SKIP


def _missing_colon(place: Place) -> Finding | None:
    if not place.wants("COLON") or place.number <= place.first:
        return None
    kinds = [kind for kind in place.kinds_before() if kind not in ("OVERRIDE", "PER_POST", "TRAINABLE", "PER_NEURON", "PERSISTENT",
                                                                 "PORT", "BROADCAST")]
    if not kinds or kinds[0] not in _HEADERS or depth(kinds) > 0:
        return None
    if kinds[0] in ("PARAM", "STATE", "INPUT", "WEIGHT") and len(kinds) > 1:
        return None
    following = "NAME" if place.is_name and not place.accepts("COLON", place.kind) else place.kind
    if place.kind == "_NL" and place.has_block() and place.accepts("COLON", "_NL"):
        pass
    elif place.kind == "_NL" or place.kind in OPERATORS or not place.accepts("COLON", following):
        if not (place.kind == "_NL" and place.accepts("COLON", "_NL")):
            return None
    span = place.gap()
    return place.say("E008", "`:` is missing", span, "`:` belongs here", f"end the head of `{place.first_text}` with `:`",
                     fix=Fix(span, ":")), Repair("insert", 0, (("COLON", ":"),))


def depth(kinds: list[str]) -> int:
    return sum(kind in ("LPAR", "LSQB") for kind in kinds) - sum(kind in ("RPAR", "RSQB") for kind in kinds)


def _after_number(place: Place) -> Finding | None:
    """``20 mz``, ``2 x``, ``1 000``: something stands directly after a number."""
    if place.previous_kind not in ("NUMBER", "QUANTITY") or place.kind not in ("NAME", "NUMBER", "QUANTITY", "LPAR", "DERIVATIVE"):
        if not (place.previous_kind in ("NUMBER", "QUANTITY") and place.is_name):
            return None
    number = place.previous_text
    pair = Span(place.source, place.tokens.starts[place.number - 1], place.tokens.ends[place.number])
    if place.is_name and place.previous_kind == "NUMBER":
        unit = nearest_unit(place.text)
        if unit:
            return place.say("E021", f"`{place.text}` is not a unit", place.span(), f"did you mean `{unit}`?",
                             f"write `{number} {unit}`; for a variable `{place.text}`, write `{number}*{place.text}`",
                             fix=Fix(pair, f"{number} {unit}")), Repair("merge", place.number - 1, (("QUANTITY", f"{number} {unit}"),))
    if place.kind in ("NUMBER", "QUANTITY") and place.previous_kind == "NUMBER":
        return place.say("E021", "two numbers side by side", pair, "",
                         f"join them with an operator, or group digits with `_`: `{number}_{place.text}`",
                         ), Repair("merge", place.number - 1, ((place.kind, number + place.text),)) if (
                             number + place.text[:1]).isdigit() else SKIP
    return _missing_operator(place, pair, number)


def _missing_operator(place: Place, pair: Span, left: str) -> Finding:
    right = place.text if place.kind not in ("LPAR", "LSQB") else f"{place.text}…"
    fix = None
    if depth(place.kinds_before()) > 0 and not left[:1].isdigit():
        return place.say("E021", f"nothing stands between `{left}` and `{right}`", pair, "",
                         f"put a comma between two values, or write `{left}*{right}` for a product"), SKIP
    if place.kind in ("NAME", "LPAR") or place.is_name:
        fix = Fix(Span(place.source, place.tokens.ends[place.number - 1], place.tokens.starts[place.number]), "*")
    return place.say("E021", f"an operator is missing between `{left}` and `{right}`", pair, "",
                     f"for a product write `{left}*{right}`", fix=fix), SKIP


def _side_by_side(place: Place) -> Finding | None:
    """Two operands without an operator."""
    if place.previous_kind not in _OPERAND_ENDS or not (place.kind in OPERAND_STARTS or place.is_name) or not place.wants("STAR"):
        return None
    if not place.accepts("STAR", "NAME" if place.is_name else place.kind):
        return None
    pair = Span(place.source, place.tokens.starts[place.number - 1], place.tokens.ends[place.number])
    if place.kind == "STRING":
        return None
    return _missing_operator(place, pair, place.previous_text)


def _missing_operand(place: Place) -> Finding | None:
    if not place.wants_operand or place.kind in OPERAND_STARTS or place.number <= place.first:
        return None
    before = place.number - 1
    last, span = place.previous_text, place.span(before)
    if place.kind == "PLUS":
        return place.say("E019", "a `+` in front of a value", place.span(), "", "remove it",
                         fix=Fix(place.span(), "")), Repair("delete", place.number)
    if place.kind == "_NL":
        if place.previous_kind == "EQUAL":
            return place.say("E019", "nothing stands after `=`", span, "a value must follow",
                             "write the right side, as in `tau*dv/dt = -v`"), place.supply_value()
        if place.previous_kind == "COMMA":
            return place.say("E019", "nothing stands after the last comma", span, "", "remove the comma, or go on after it",
                             fix=Fix(span, "")), place.supply_value()
        return place.say("E019", f"nothing stands after `{last}`", span, "a value must follow",
                         "complete the line; put brackets around an expression that goes on in the next one",
                         ), Repair("join") if place.has_block() else place.supply_value()
    pair = Span(place.source, span.start, place.span().end)
    if last in ("[", "(") or place.previous_kind == "COMMA":
        repair = Repair("delete", place.number) if place.kind == "COMMA" else place.supply_value()
        return place.say("E019", f"a value is missing before `{place.text}`", place.span(), "", "write the value"), repair
    return place.say("E019", f"`{place.text}` follows `{last}`", pair, "a value is missing between them",
                     "write the value, or remove one of the two"), place.supply_value()


def _no_equation(place: Place) -> Finding | None:
    """A line that ends before any ``=``."""
    if place.kind != "_NL" or not place.wants("EQUAL"):
        return None
    tokens = place.tokens
    span = Span(place.source, tokens.starts[place.first], tokens.ends[place.number - 1])
    if place.first_text in ("drive", "clamp", "const", "func", "kernel"):
        return place.say("E024", f"`{place.first_text}` needs a value", place.gap(), "`= …` is missing",
                         f"write `{span.text} = VALUE`"), SKIP
    if "COMPARE" in place.kinds_before() and "==" in span.text:
        return place.say("E024", "this line has no effect", span, "compares, and does nothing with the answer",
                         "write a single `=` for an equation"), SKIP
    if place.kinds_before() == ["STRING"]:
        return place.say("E034", "a description in the middle of a block", span, "",
                         "put it first, directly below the head; begin any other remark with `#`"), SKIP
    left = span.text if len(span.text) < 30 else "…"
    return place.say("E024", "a line without `=`", span, "what is it equal to?", f"write an equation: `{left} = …`"), SKIP


def _late_description(place: Place) -> Finding | None:
    if place.kind != "STRING" or not place.at_start:
        return None
    return place.say("E034", "a description in the middle of a block", place.span(), "",
                     "put it first, directly below the head; begin any other remark with `#`"), SKIP


def _comma(place: Place) -> Finding | None:
    """Lists without commas, and commas where a line should end."""
    if place.kind == "COMMA" and place.wants("_NL") and not place.wants("COMMA"):
        return place.say("E020", "one statement to a line", place.span(), "the line should end here",
                         "write what follows on a line of its own"), SKIP
    return None


def _missing_word(place: Place) -> Finding | None:
    """One word or sign, put in before this token, would make it fit."""
    if place.at_start:
        return None
    kind = "NAME" if place.is_name and not place.wants(place.kind) else place.kind
    able = [choice for choice in place.choices if (choice == "EQUAL" or choice not in OPERATORS) and choice not in OPERAND_STARTS
            and choice not in ("DOT", "AND", "OR", "IF", "NOT", "CROSSES", "RPAR", "RSQB", "_NL") and place.accepts(choice, kind)]
    if "EQUAL" in able and place.tokens.kinds[place.first] in ("PARAM", "STATE", "INPUT", "WEIGHT"):
        able = ["EQUAL"]
    if len(able) != 1 and "_ARROW" not in able:
        return None
    choice = "_ARROW" if "_ARROW" in able else able[0]
    text = {"COMMA": ",", "_ARROW": "->", "COLON": ":", "EQUAL": "="}.get(choice) or next(
        word for word, kind in place.table.keywords.items() if kind == choice)
    gap = place.gap()
    return place.say("E035", f"`{text}` is missing before {place.found()}", place.span(), "", f"write `{text} {place.text}`",
                     fix=Fix(gap, text if choice in ("COMMA", "COLON") else f" {text}")), Repair("insert", 0, ((choice, text),))


Cause = Callable[[Place], "Finding | None"]
CAUSES: tuple[Cause, ...] = (
    _indented, _empty_block, _else_without_if, _spike_without_when, _deliver_without_value, _reserved_name, _wrong_place,
    _foreign_block, _misspelt_line, _equation_outside, _assignment_in_condition, _second_assignment, _after_number,
    _misspelt_word, _missing_colon, _missing_operand, _side_by_side, _no_equation, _late_description, _comma, _missing_word,
)
