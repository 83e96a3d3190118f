"""The instruments that are there from the start. In: surveys/builtins/<language>.yaml. Out: rows, where they are missing.

The files hold wording and nothing else; what is asked, and in which order, stands here once. Adding a language is adding a file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db import transaction
from ruamel.yaml import YAML

from surveys.flow.instruments import QuestionTerms, publish_version, terms_of_version
from surveys.models import Instrument
from surveys.scales import CES, CSAT5, CSAT7, NPS, Scale

FOLDER = Path(__file__).resolve().parent.parent / "builtins"
SCALE_OF: Mapping[str, Scale] = {"nps": NPS, "csat5": CSAT5, "csat7": CSAT7, "ces": CES}
DEFAULT = "en"  # decides which options there are, and in which order


@lru_cache(maxsize=1)
def wordings() -> dict[str, dict[str, Any]]:
    """Language to (instrument slug to wording), English first."""
    files = sorted(FOLDER.glob("*.yaml"), key=lambda path: (path.stem != DEFAULT, path.stem))
    return {path.stem: YAML(typ="safe", pure=True).load(path) for path in files}


def standard_name(slug: str) -> dict[str, str]:
    return _texts(slug, "name")


def standard_terms(slug: str) -> list[QuestionTerms]:
    """The three questions of a built-in instrument, in every shipped language. KeyError for another slug.

    None is required: a comment without a score is worth keeping, and is in no score's denominator.
    """
    options = wordings()[DEFAULT][slug]["reason"]["options"]
    bands = wordings()[DEFAULT][slug]["comment"]["by_band"]
    return [
        QuestionTerms(
            key="score",
            kind="scale",
            text=_texts(slug, "score", "text"),
            low=_texts(slug, "score", "low"),
            high=_texts(slug, "score", "high"),
            metric=SCALE_OF[slug].metric,
            points=SCALE_OF[slug].points,
        ),
        QuestionTerms(
            key="reason",
            kind="choices",
            text=_texts(slug, "reason", "text"),
            options={key: _texts(slug, "reason", "options", key) for key in options},
        ),
        QuestionTerms(
            key="comment",
            kind="verbatim",
            text=_texts(slug, "comment", "text"),
            by_band={band: _texts(slug, "comment", "by_band", band) for band in bands},
        ),
    ]


def standard_labels(metric: str, points: int) -> tuple[dict[str, str], dict[str, str]]:
    """What stands at the low and the high end of a scale unless somebody says otherwise."""
    slug = next(slug for slug, scale in SCALE_OF.items() if (scale.metric, scale.points) == (metric, points))
    return _texts(slug, "score", "low"), _texts(slug, "score", "high")


def _texts(slug: str, *path: str) -> dict[str, str]:
    """The text at `path` of every language that has it."""
    found: dict[str, str] = {}
    for language, instruments in wordings().items():
        node: Any = instruments.get(slug)
        for step in path:
            node = node.get(step) if isinstance(node, Mapping) else None
        if node:
            found[language] = str(node)
    return found


def load_builtins() -> int:
    """Make what is missing: an instrument, or a language of one. Returns how many instruments were touched.

    Safe to repeat. What a manager has changed stays: a language is only added beside texts that are still the standard ones.
    """
    touched = 0
    for slug in SCALE_OF:
        with transaction.atomic():
            touched += _load(slug)
    return touched


def _load(slug: str) -> bool:
    scale, standard = SCALE_OF[slug], standard_terms(slug)
    instrument, created = Instrument.objects.get_or_create(
        slug=slug,
        defaults={"metric": scale.metric, "points": scale.points, "builtin": True, "name": standard_name(slug)},
    )
    if not instrument.builtin:
        return False  # the organisation's own, from before we had one of that name
    name = complete(instrument.name, standard_name(slug))
    renamed = name != instrument.name
    if renamed:
        Instrument.objects.filter(pk=instrument.pk).update(name=name)
    current = instrument.current_version()
    if current is None:
        publish_version(instrument, standard)
        return True
    held = terms_of_version(current)
    completed = with_languages(held, standard)
    if completed != held:
        publish_version(instrument, completed)
    return created or renamed or completed != held


def with_languages(held: Sequence[QuestionTerms], standard: Sequence[QuestionTerms]) -> list[QuestionTerms]:
    """`held` with the languages that only `standard` has, wherever the text beside them is still the standard one."""
    by_key = {terms.key: terms for terms in standard}
    return [_with_languages(terms, by_key[terms.key]) if terms.key in by_key else terms for terms in held]


def _with_languages(held: QuestionTerms, standard: QuestionTerms) -> QuestionTerms:
    return replace(
        held,
        text=complete(held.text, standard.text),
        low=complete(held.low, standard.low),
        high=complete(held.high, standard.high),
        options={key: complete(texts, standard.options.get(key, {})) for key, texts in held.options.items()},
        by_band={band: complete(texts, standard.by_band.get(band, {})) for band, texts in held.by_band.items()},
    )


def complete(held: Mapping[str, str], standard: Mapping[str, str]) -> dict[str, str]:
    """`held` with the languages of `standard` that it lacks; as it is where one of its texts is not the standard's."""
    if any(standard.get(language) != text for language, text in held.items()):
        return dict(held)
    return {**held, **{language: text for language, text in standard.items() if language not in held}}
