"""YAML as places that know their line. In: a text. Out: a Place to read from; what is wrong is collected, not raised.

Nothing here knows what a programme is, and nothing is written. Scalars are read as they stand in the file: `no` is the text "no"
wherever a text is wanted, and a flag only where true or false is written.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from surveys.flow.programme.spans import seconds_of
from surveys.texts import normalise_tag

MAX_CHARACTERS = 4_000_000
MAX_DEPTH = 12
TAG = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*\Z")
SLUG = re.compile(r"[A-Za-z0-9_-]{1,60}\Z")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong, with its line (from 1) and where it stands, such as rules.after-delivery.delay."""

    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.path}: {self.message}" if self.path else f"line {self.line}: {self.message}"


class Faults:
    """What has been found wrong so far in `source`; the same thing only once."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: dict[Fault, None] = {}

    def add(self, line: int, path: str, message: str) -> None:
        self._found.setdefault(Fault(line, path, message))

    def __len__(self) -> int:
        return len(self._found)

    def sorted(self) -> list[Fault]:
        return sorted(self._found)


def read_document(faults: Faults) -> "Place | None":
    """The root of `faults.source`; None, with the fault noted, where it is not YAML at all or empty."""
    text = faults.source
    if len(text) > MAX_CHARACTERS:
        faults.add(1, "", f"A programme file has at most {MAX_CHARACTERS} characters.")
        return None
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        faults.add(mark.line + 1 if mark else 1, "", f"This is not YAML: {what}.")
        return None
    except (YAMLError, ValueError, RecursionError) as error:
        faults.add(getattr(error, "line", 0) + 1, "", f"This is not YAML: {str(error).splitlines()[0]}.")
        return None
    if node is None:
        faults.add(1, "", "The file is empty.")
        return None
    return Place(node, "", faults)


@dataclass(frozen=True, slots=True)
class Place:
    """A node of the document, with the way to it. Every reading method returns None where it noted a fault."""

    node: Node
    path: str
    faults: Faults
    depth: int = 0

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    def line_at(self, position: int) -> int:
        """The line of character `position` of this text, however it is quoted, folded or broken into lines.

        Folding changes white space only, so the visible characters before it are counted in the file.
        """
        node: Any = self.node
        before = len("".join(str(node.value).strip()[:position].split()))
        index = int(node.start_mark.index)
        if node.style in ("|", ">"):
            index = self.faults.source.find("\n", index)  # past the header
        elif node.style in ("'", '"'):
            index += 1
        while index < int(node.end_mark.index):
            before -= not self.faults.source[index].isspace()
            if before < 0:
                break
            index += 1
        return self.faults.source.count("\n", 0, index) + 1

    def fail(self, message: str) -> None:
        self.faults.add(self.line, self.path, message)

    @property
    def is_null(self) -> bool:
        return self._is_plain("null")

    @property
    def is_text(self) -> bool:
        return isinstance(self.node, ScalarNode) and not self.is_null

    @property
    def is_map(self) -> bool:
        return isinstance(self.node, MappingNode)

    def named(self, name: str) -> "Place":
        """The same place under a better name, such as its slug in place of its number."""
        parent = self.path.rpartition(".")[0]
        return Place(self.node, f"{parent}.{name}" if parent else name, self.faults, self.depth)

    def _is_plain(self, kind: str) -> bool:
        return isinstance(self.node, ScalarNode) and self.node.tag == f"tag:yaml.org,2002:{kind}"

    def _below(self, node: Node, name: str) -> "Place":
        return Place(node, f"{self.path}.{name}" if self.path else name, self.faults, self.depth + 1)

    # --- Maps and lists ---

    def entries(self) -> "dict[str, Place] | None":
        """A map with whatever keys. A key that stands twice is a fault at its second line."""
        if not isinstance(self.node, MappingNode):
            self.fail("A map is wanted here, such as {en: Delivery}.")
            return None
        if self.depth > MAX_DEPTH:
            self.fail("This is nested too deep.")
            return None
        found: dict[str, Place] = {}
        for key_node, value_node in self.node.value:
            key_place = self._below(key_node, str(getattr(key_node, "value", "?")))
            if not isinstance(key_node, ScalarNode) or str(key_node.tag).endswith(":merge"):
                key_place.fail("Only plain texts can be keys here.")
                continue
            name = str(key_node.value)
            if name in found:
                key_place.fail(f"The key “{name}” stands here a second time; the first is in line {found[name].line}.")
                continue
            found[name] = self._below(value_node, name)
        return found

    def keys(self, known: Collection[str]) -> "dict[str, Place] | None":
        """A map whose keys are all known; an unknown one is a fault, with the key that was probably meant."""
        found = self.entries()
        if found is None or not isinstance(self.node, MappingNode):
            return None
        for key_node, _value in self.node.value:
            name = str(getattr(key_node, "value", ""))
            if isinstance(key_node, ScalarNode) and name in found and name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Do you mean “{close[0]}”?" if close else f" Known are: {', '.join(known)}."
                self._below(key_node, name).fail(f"The key “{name}” is not known here.{hint}")
                del found[name]
        return found

    def items(self) -> "list[Place] | None":
        if not isinstance(self.node, SequenceNode):
            self.fail("A list is wanted here.")
            return None
        if self.depth > MAX_DEPTH:
            self.fail("This is nested too deep.")
            return None
        return [self._below(node, str(index + 1)) for index, node in enumerate(self.node.value)]

    # --- Scalars ---

    def text(self, longest: int, *, empty: bool = False) -> str | None:
        """A text as it stands in the file, without space around it."""
        if not isinstance(self.node, ScalarNode) or self.is_null:
            self.fail("A text is wanted here.")
            return None
        value = str(self.node.value).strip()
        if UNSTORABLE.search(value):
            self.fail("This contains a character that cannot be stored.")
        elif len(value) > longest:
            self.fail(f"This has {len(value)} characters; at most {longest} fit.")
        elif not value and not empty:
            self.fail("This is empty.")
        else:
            return value
        return None

    def slug(self) -> str | None:
        value = self.text(60)
        if value is not None and not SLUG.match(value):
            self.fail(f"“{value}” is not a slug: letters, digits, - and _, at most 60.")
            return None
        return value

    def choice(self, known: Collection[str]) -> str | None:
        value = self.text(200)
        if value is not None and value not in known:
            self.fail(f"“{value}” is not known here; it is one of {', '.join(known)}.")
            return None
        return value

    def flag(self) -> bool | None:
        if not isinstance(self.node, ScalarNode) or not self._is_plain("bool"):
            self.fail("true or false is wanted here.")
            return None
        return str(self.node.value).lower() == "true"

    def number(self, low: float, high: float) -> int | float | None:
        """A number of the range, an int where it is written as one."""
        if isinstance(self.node, ScalarNode) and (self._is_plain("int") or self._is_plain("float")):
            try:
                value = float(self.node.value.replace("_", ""))
            except ValueError:  # .inf, .nan, 0x10
                value = float("nan")
            if low <= value <= high:
                return int(value) if value.is_integer() else value
        self.fail(f"A number from {low:g} to {high:g} is wanted here.")
        return None

    def span(self) -> int | None:
        """Seconds of 45s, 30m, 2h or 7d."""
        value = self.text(20)
        if value is None:
            return None
        try:
            return seconds_of(value)
        except ValueError as error:
            self.fail(f"{error}.")
            return None

    # --- Texts in several languages ---

    def language(self) -> str | None:
        value = self.text(20)
        if value is not None and not TAG.match(value):
            self.fail(f"“{value}” is not a language such as en or zh-hans.")
            return None
        return None if value is None else normalise_tag(value)

    def texts(self, default_language: str, longest: int) -> dict[str, str] | None:
        """A map of language to text; a plain text counts for the organisation's first language."""
        if self.is_text:
            value = self.text(longest)
            return None if value is None else {default_language: value}
        entries = self.entries()
        if entries is None:
            return None
        found: dict[str, str] = {}
        for name, place in entries.items():
            tag = normalise_tag(name)
            if not TAG.match(name):
                place.fail(f"“{name}” is not a language such as en or zh-hans.")
            elif tag in found:
                place.fail(f"“{name}” is the same language as another key here.")
            else:
                value = place.text(longest)
                if value is not None:
                    found[tag] = value
        if not entries:
            self.fail("At least one language is wanted here.")
            return None
        return found

    # --- Several of one kind ---

    def list_of(self, read: "Callable[[Place], T | None]") -> "list[T] | None":
        """Every item through `read`; None where one of them could not be read."""
        items = self.items()
        if items is None:
            return None
        read_all = [read(item) for item in items]
        values = [value for value in read_all if value is not None]
        return values if len(values) == len(read_all) else None

    def plain(self) -> Any:
        """A scalar as YAML reads it: an int, a float, a flag or a text."""
        if not isinstance(self.node, ScalarNode):
            self.fail("A single value is wanted here.")
            return None
        if self._is_plain("int"):
            try:
                return int(self.node.value.replace("_", ""))
            except ValueError:
                return str(self.node.value)
        if self._is_plain("bool"):
            return str(self.node.value).lower() == "true"
        return str(self.node.value)


def each_once(places: "list[Place]", slug_of: "Callable[[Place], str | None]") -> "Iterator[tuple[str, Place]]":
    """(slug, place) of each item; a slug that stands twice is a fault at its second line."""
    lines: dict[str, int] = {}
    for place in places:
        slug = slug_of(place)
        if slug is None:
            continue
        if slug in lines:
            place.fail(f"The slug “{slug}” stands here a second time; the first is in line {lines[slug]}.")
            continue
        lines[slug] = place.line
        yield slug, place
