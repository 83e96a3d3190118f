"""PURE: what a text can be found by. In: what somebody wrote, or what a reader types. Out: terms with places, or a Query.

Words of scripts with spaces are one term each, without case and accents. Scripts without spaces (Chinese, Japanese, Thai …) and
Korean give every pair of neighbouring characters, so that each word of two characters is found wherever it stands; no dictionary
decides (docs/decisions/0018). Whatever is typed is a query: there is no syntax to get wrong. No Django, no database.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_QUERY = 200  # characters
MAX_WORD = 64  # characters of a word that count, here and there
BETWEEN_TEXTS = 10  # places, so that no phrase reaches from one text into the next

_PAIRED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
# Vowel signs are no letters to Python, but parts of a word to whoever writes Hindi or Tamil.
_SIGNS = "\u0900-\u0963\u0966-\u0df3"
_PICTURES = "\u2600-\u27bf\U0001f300-\U0001faff"
_RUN = re.compile(f"(?P<pairs>[{_PAIRED}]+)|(?P<picture>[{_PICTURES}])|(?:[^\\W_{_PAIRED}]|[{_SIGNS}])+")
# Accents of Latin, Greek and Cyrillic, points of Hebrew and Arabic: written by some and left out by others.
_MARKS = re.compile("[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\ufe00-\ufe0f]+")
_QUOTED = re.compile('["“”„«»「」『』]')


@dataclass(frozen=True, slots=True)
class Term:
    """`start` and `end` are those of its characters in the text; `tail`: the last character of a run of pairs, which ends one too."""

    text: str
    place: int
    start: int
    end: int
    pairs: bool = False
    tail: bool = False


def terms_in(text: str) -> Iterator[Term]:
    """The terms of a text that is in NFC, in order; places count from 1."""
    folded, origin = _folded(text)
    place = 0
    for found in _RUN.finditer(folded):
        start, end = found.span()
        if found.lastgroup != "pairs":
            place += 1
            yield Term(folded[start : min(end, start + MAX_WORD)], place, origin[start], origin[end - 1] + 1)
            continue
        for at in range(start, end):
            place += 1
            last = min(at + 2, end)
            yield Term(folded[at:last], place, origin[at], origin[last - 1] + 1, True, at == end - 1 and at > start)


def vector(texts: Iterable[str], facets: Iterable[str]) -> str:
    """A tsvector as PostgreSQL reads one: the terms of texts with their places, and `facets` as they are, without."""
    places: dict[str, list[int]] = {facet: [] for facet in facets}
    offset = 0
    for text in texts:
        last = 0
        for term in terms_in(unicodedata.normalize("NFC", text)):
            last = term.place
            places.setdefault(term.text, []).append(offset + last)
        offset += last + BETWEEN_TEXTS
    return " ".join(f"{quote(term)}:{','.join(map(str, at))}" if at else quote(term) for term, at in places.items())


def quote(term: str) -> str:
    """A lexeme in a tsvector or a tsquery."""
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(frozen=True)
class Phrase:
    """Terms that follow each other: (term, distance from the first). `prefix`: the last one may go on."""

    terms: Sequence[tuple[str, int]]
    prefix: bool

    @property
    def tsquery(self) -> str:
        before = 0
        said = ""
        for number, (term, offset) in enumerate(self.terms, 1):
            said += f" <{offset - before}> " if number > 1 else ""
            said += quote(term) + (":*" if self.prefix and number == len(self.terms) else "")
            before = offset
        return f"({said})"

    def spans(self, held: dict[int, Term]) -> Iterator[tuple[int, int]]:
        """Where it stands in a text, whose terms are by place."""
        last = len(self.terms) - 1
        for place, first in held.items():
            end = 0
            for number, (text, offset) in enumerate(self.terms):
                term = held.get(place + offset)
                if term is None:
                    break
                is_open = self.prefix and number == last
                if not (term.text.startswith(text) if is_open else term.text == text):
                    break
                end = term.start + 1 if is_open and term.pairs else term.end
            else:
                yield first.start, end


@dataclass(frozen=True)
class Query:
    """What a reader typed: every phrase must stand somewhere. Without any, it finds nothing."""

    phrases: Sequence[Phrase]

    @property
    def tsquery(self) -> str:
        """As PostgreSQL reads one; "" where nothing can be found."""
        return " & ".join(phrase.tsquery for phrase in self.phrases)

    def is_in(self, texts: Sequence[str]) -> bool:
        """Whether every phrase stands in one of the texts, as PostgreSQL would find it in their `vector`."""
        held = [{term.place: term for term in terms_in(unicodedata.normalize("NFC", text))} for text in texts]
        return bool(self.phrases) and all(
            any(next(phrase.spans(one), None) is not None for one in held) for phrase in self.phrases
        )

    def pieces(self, text: str) -> list[tuple[str, bool]]:
        """The text (in NFC) in pieces: (piece, whether it is what was asked for)."""
        text = unicodedata.normalize("NFC", text)
        held = {term.place: term for term in terms_in(text)}
        spans = sorted(span for phrase in self.phrases for span in phrase.spans(held))
        pieces: list[tuple[str, bool]] = []
        at = 0
        for start, end in _merged(spans):
            if start > at:
                pieces.append((text[at:start], False))
            pieces.append((text[start:end], True))
            at = end
        if at < len(text):
            pieces.append((text[at:], False))
        return pieces


def read_query(typed: str) -> Query:
    """What was typed as a Query: words that may go on, characters that stand side by side, and “quoted” words as they are.

    Every part must be found. What is neither letter, digit nor picture is looked for by nobody.
    """
    phrases = []
    is_quoted = False
    parts = _QUOTED.split(unicodedata.normalize("NFC", typed[:MAX_QUERY]))
    for number, part in enumerate(parts):
        is_quoted = number % 2 == 1 and number < len(parts) - 1  # a quotation that nobody ends is none
        for chunk in [part] if is_quoted else part.split():
            phrase = _phrase(chunk, is_quoted)
            if phrase is not None and phrase not in phrases:
                phrases.append(phrase)
    return Query(tuple(phrases))


def _phrase(chunk: str, is_quoted: bool) -> Phrase | None:
    terms = [term for term in terms_in(chunk) if not term.tail]
    if not terms:
        return None
    last = terms[-1]
    # One character of a script in pairs begins a pair wherever it stands, or is the end of a run.
    goes_on = len(last.text) == 1 if last.pairs else not is_quoted
    return Phrase(tuple((term.text, term.place - terms[0].place) for term in terms), goes_on)


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans that touch become one."""
    held: tuple[int, int] | None = None
    for start, end in spans:
        if held is None:
            held = start, end
        elif start <= held[1]:
            held = held[0], max(held[1], end)
        else:
            yield held
            held = start, end
    if held is not None:
        yield held


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """The text without case, width and accents, and of each of its characters the place in the text."""
    if text.isascii():
        return text.lower(), range(len(text))
    folded, origin = [], []
    for place, character in enumerate(text):
        for one in _fold(character):
            folded.append(one)
            origin.append(place)
    return "".join(folded), origin


@lru_cache(maxsize=1 << 15)
def _fold(character: str) -> str:
    apart = unicodedata.normalize("NFKD", character).casefold()
    return unicodedata.normalize("NFC", _MARKS.sub("", apart))
