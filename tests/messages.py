"""Finds what is marked for translation. In: Python files and templates. Out: Messages with their file and line.

Reads sources, runs nothing of them: Python through `ast`, templates through Django's own `templatize`. No gettext tools needed.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.utils.translation.template import templatize

# Name of a call to the roles of its first arguments.
CALLS: dict[str, tuple[str, ...]] = {
    "gettext": ("id",),
    "ngettext": ("id", "plural"),
    "pgettext": ("context", "id"),
    "npgettext": ("context", "id", "plural"),
}
CALLS |= {f"{name}_lazy": roles for name, roles in CALLS.items()}
CALLS |= {"_": ("id",), "gettext_noop": ("id",)}
CALLS["ExpressionError"] = ("id",)  # pure, so it cannot mark its texts itself; a page looks up what it carries

_STRING = r"u?(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_TEMPLATE_CALL = re.compile(rf"\b(n?p?gettext|_)\((\s*{_STRING}(?:\s*,\s*{_STRING})*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Message:
    """One marked text; equal to another with the same context and id, wherever it stands."""

    id: str
    context: str = ""
    plural: str = field(default="", compare=False)
    place: str = field(default="", compare=False)

    @property
    def key(self) -> tuple[str, str]:
        return self.context, self.id


def messages_in(root: Path, *folders: Path) -> Iterator[Message]:
    """Every message of the `.py`, `.html` and `.txt` below `folders`; places are relative to `root`."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if "migrations" in path.parts or "__pycache__" in path.parts:
                continue
            place = str(path.relative_to(root))
            if path.suffix == ".py":
                yield from python_messages(path.read_text(), place)
            elif path.suffix in (".html", ".txt") and "templates" in path.parts:
                yield from template_messages(path.read_text(), place)


def python_messages(source: str, place: str) -> Iterator[Message]:
    for line, roles, texts in _marking_calls(source):
        if all(isinstance(text, ast.Constant) and isinstance(text.value, str) for text in texts):
            yield _message(roles, [text.value for text in texts], f"{place}:{line}")  # type: ignore[attr-defined]


def marked_f_strings(source: str, place: str) -> Iterator[str]:
    """Places of marked f-strings: no catalogue can hold what is put together before it is looked up."""
    for line, _roles, texts in _marking_calls(source):
        if any(isinstance(text, ast.JoinedStr) for text in texts):
            yield f"{place}:{line}"


def _marking_calls(source: str) -> Iterator[tuple[int, tuple[str, ...], list[ast.expr]]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            roles = CALLS.get(name)
            if roles is not None and len(node.args) >= len(roles):
                yield node.lineno, roles, node.args[: len(roles)]


def template_messages(source: str, place: str) -> Iterator[Message]:
    marked = templatize(source, origin=place)
    for found in _TEMPLATE_CALL.finditer(marked):
        roles = CALLS[found[1]]
        texts = [ast.literal_eval(text.strip()) for text in re.findall(_STRING, found[2], re.DOTALL)]
        line = marked.count("\n", 0, found.start()) + 1
        yield _message(roles, texts, f"{place}:{line}")


def _message(roles: tuple[str, ...], texts: list[str], place: str) -> Message:
    # Django looks a message up with "\n" as its only line ending.
    parts = dict(zip(roles, (text.replace("\r\n", "\n") for text in texts), strict=False))
    return Message(parts["id"], parts.get("context", ""), parts.get("plural", ""), place)
