"""Sections of the programme file that other apps bring. In: a Section, once at start. Out: what reading and writing ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from surveys.flow.programme.document import Place


@dataclass(frozen=True)
class Section:
    """`read(run, place)` is given the import that runs (reading.py) and the section; `write()` gives what is exported."""

    name: str
    read: Callable[[Any, Place], None]
    write: Callable[[], Any]


OTHERS: dict[str, Section] = {}  # in the order in which they are read, after all of ours


def add_section(section: Section) -> None:
    OTHERS[section.name] = section
