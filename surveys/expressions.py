"""PURE: the small safe language of a rule's `when`. In: text. Out: a compiled expression over facts, customer and event.

    expression := or
    or         := and ("or" and)*
    and        := not ("and" not)*
    not        := "not" not | comparison
    comparison := value (("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in") value)?
    value      := number | string | true | false | null | list | name | "(" or ")"
    name       := ("facts" | "customer" | "event") ("." word | "[" string "]")*
    list       := "[" (value ("," value)*)? "]"

A name that is missing is null. Ordering values of different kinds, or null, is false and never an error: a rule must not break
on a customer of whom little is known. Nothing here is ever given to `eval`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_LENGTH = 2000
MAX_DEPTH = 40
MAX_LIST = 500
ROOTS = ("facts", "customer", "event")
CALENDAR_ROOTS = ("customer",)  # where nothing has happened
CONSTANTS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
WORDS = {"and", "or", "not", "in"}

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?(?![\w.]))
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,|\.)
    )""",
    re.VERBOSE,
)

Context = Mapping[str, Any]
Evaluator = Callable[[Context], Any]


class ExpressionError(ValueError):
    """A wrong expression; `position` counts characters from 0. `template` and `named` are `message` before it was filled in,
    so that a page can say it in another language."""

    def __init__(self, template: str, position: int, **named: object) -> None:
        self.template, self.named = template, named
        self.message = template % named if named else template
        super().__init__(f"{self.message} (at character {position + 1})")
        self.position = position


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. An empty text is always true."""

    text: str
    names: tuple[str, ...]
    _run: Evaluator

    def evaluate(self, context: Context) -> bool:
        """Whether it holds. Never raises for a context of JSON values."""
        return bool(self._run(context))


def parse(text: str, roots: Sequence[str] = ROOTS) -> Expression:
    """Compile `text`. ExpressionError, with its position, where it is wrong, too long or nested too deep.

    `roots`: what names may start with, where that is not all of ROOTS.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError("An expression has at most %(count)d characters", MAX_LENGTH, count=MAX_LENGTH)
    if not text.strip():
        return Expression(text, (), lambda context: True)
    parser = _Parser(_tokens(text), len(text), roots)
    run = parser.disjunction()
    parser.expect_end()
    return Expression(text, tuple(dict.fromkeys(parser.names)), run)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            if text[start] in "'\"":
                raise ExpressionError("A text that is not closed", start)
            raise ExpressionError("“%(word)s” has no meaning here", start, word=text[start])
        kind = str(found.lastgroup)
        tokens.append(_Token(kind, found.group(kind), found.start(kind)))
        position = found.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[_Token], length: int, roots: Sequence[str]) -> None:
        self.tokens = tokens
        self.roots = roots
        self.index = 0
        self.length = length
        self.depth = 0
        self.names: list[str] = []

    # --- Tokens ---

    def peek(self) -> _Token:
        return self.tokens[self.index] if self.index < len(self.tokens) else _Token("end", "", self.length)

    def take(self) -> _Token:
        token = self.peek()
        self.index += 1
        return token

    def accept(self, *texts: str) -> bool:
        token = self.peek()
        if token.kind in ("word", "sign") and token.text in texts:
            self.index += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise ExpressionError("“%(word)s” is missing here", self.peek().position, word=text)

    def expect_end(self) -> None:
        if self.peek().kind != "end":
            raise ExpressionError("“%(word)s” is not expected here", self.peek().position, word=self.peek().text)

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpressionError("Nested more than %(count)d deep", self.peek().position, count=MAX_DEPTH)

    # --- Grammar ---

    def disjunction(self) -> Evaluator:
        self.deeper()
        parts = [self.conjunction()]
        while self.accept("or"):
            parts.append(self.conjunction())
        self.depth -= 1
        return parts[0] if len(parts) == 1 else lambda context: any(part(context) for part in parts)

    def conjunction(self) -> Evaluator:
        parts = [self.negation()]
        while self.accept("and"):
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else lambda context: all(part(context) for part in parts)

    def negation(self) -> Evaluator:
        if not self.accept("not"):
            return self.comparison()
        self.deeper()
        inner = self.negation()
        self.depth -= 1
        return lambda context: not inner(context)

    def comparison(self) -> Evaluator:
        left = self.value()
        token = self.peek()
        if token.text in COMPARISONS and token.kind in ("sign", "word"):
            self.take()
            return _compare(COMPARISONS[token.text], left, self.value())
        if token.kind == "word" and token.text == "not":
            self.take()
            self.expect("in")
            right = self.value()
            return lambda context: not _is_in(left(context), right(context))
        return left

    def value(self) -> Evaluator:
        token = self.take()
        if token.kind == "number":
            number = float(token.text) if any(c in token.text for c in ".eE") else int(token.text)
            return lambda context: number
        if token.kind == "string":
            string = re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
            return lambda context: string
        if token.text == "(" and token.kind == "sign":
            inner = self.disjunction()
            self.expect(")")
            return inner
        if token.text == "[" and token.kind == "sign":
            return self.list_of_values(token)
        if token.kind == "word" and token.text in CONSTANTS:
            constant = CONSTANTS[token.text]
            return lambda context: constant
        if token.kind == "word" and token.text not in WORDS:
            return self.name(token)
        if not token.text:
            raise ExpressionError("The expression ends too early", token.position)
        raise ExpressionError("“%(word)s” is not expected here", token.position, word=token.text)

    def list_of_values(self, opening: _Token) -> Evaluator:
        self.deeper()
        items: list[Evaluator] = []
        while not self.accept("]"):
            if items:
                self.expect(",")
            items.append(self.value())
            if len(items) > MAX_LIST:
                raise ExpressionError("A list has at most %(count)d values", opening.position, count=MAX_LIST)
        self.depth -= 1
        return lambda context: [item(context) for item in items]

    def name(self, root: _Token) -> Evaluator:
        if root.text not in ROOTS:
            raise ExpressionError(
                "“%(word)s” is not known; a name starts with facts, customer or event", root.position, word=root.text
            )
        if root.text not in self.roots:
            raise ExpressionError(
                "“%(word)s” is not known to a rule on a calendar, which has no event; a name starts with customer",
                root.position,
                word=root.text,
            )
        path = [root.text]
        while True:
            if self.accept("."):
                token = self.take()
                if token.kind != "word":
                    raise ExpressionError("A name is missing after the dot", token.position)
                path.append(token.text)
            elif self.accept("["):
                token = self.take()
                if token.kind != "string":
                    raise ExpressionError("A text in quotes is missing after “[”", token.position)
                path.append(token.text[1:-1])
                self.expect("]")
            else:
                break
        self.names.append(".".join(path))
        return _look_up(tuple(path))


def _look_up(path: tuple[str, ...]) -> Evaluator:
    def run(context: Context) -> Any:
        value: Any = context
        for step in path:
            if not isinstance(value, Mapping):
                return None
            value = value.get(step)
        return value

    return run


def _kind(value: Any) -> str:
    """Numbers compare with numbers and texts with texts; a bool is not a number."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__


def _equal(a: Any, b: Any) -> bool:
    return _kind(a) == _kind(b) and bool(a == b)


def _is_in(a: Any, b: Any) -> bool:
    """A member of a list, or a text within a text."""
    if isinstance(b, list | tuple):
        return any(_equal(a, item) for item in b)
    return isinstance(a, str) and isinstance(b, str) and a in b


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(a: Any, b: Any) -> bool:
        return _kind(a) == _kind(b) and _kind(a) in ("number", "text") and test(a, b)

    return compare


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    "!=": lambda a, b: not _equal(a, b),
    "<": _ordered(lambda a, b: a < b),
    "<=": _ordered(lambda a, b: a <= b),
    ">": _ordered(lambda a, b: a > b),
    ">=": _ordered(lambda a, b: a >= b),
    "in": _is_in,
}


def _compare(test: Callable[[Any, Any], bool], left: Evaluator, right: Evaluator) -> Evaluator:
    return lambda context: test(left(context), right(context))
