"""Which texts an organisation has not written in one of its languages. In: the rows as they are. Out: gaps, by where they are mended.

A customer of such a language reads another one there. What we ship a standard wording for is no gap: phrases, and the question for
permission to call. What nobody is asked any more is none either: switched-off rows, instruments that nothing uses, older versions.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from surveys.flow.instruments import QuestionTerms, terms_of_version
from surveys.models import Instrument, InvitationRule, Organisation, Touchpoint, Wording
from surveys.models.instruments import Kind
from surveys.phrases import LANGUAGES
from surveys.texts import match_language


@dataclass(frozen=True)
class Gap:
    """A text that is missing: of which row, and which of its texts, such as ("option", "reason", "late")."""

    row: Organisation | Touchpoint | Instrument | InvitationRule
    what: tuple[str, ...]


Written = tuple[Gap, Mapping[str, str]]


def find_gaps(organisation: Organisation) -> dict[str, list[Gap]]:
    """Each of the organisation's languages with what is missing in it."""
    texts = list(_texts(organisation))
    return {
        language: [gap for gap, written in texts if not serves(written, language)]
        + [Gap(organisation, ("phrases",))] * (match_language(language, LANGUAGES) is None)
        for language in organisation.languages
    }


def serves(written: Mapping[str, str], language: str) -> bool:
    return match_language(language, [tag for tag, text in written.items() if text]) is not None


def _texts(organisation: Organisation) -> Iterator[Written]:
    yield Gap(organisation, ("name",)), organisation.name
    yield from _if_any(Gap(organisation, ("privacy",)), organisation.privacy)
    yield from _if_any(Gap(organisation, ("sender_name",)), organisation.sender_name)
    for touchpoint in Touchpoint.objects.filter(active=True):
        yield Gap(touchpoint, ("name",)), touchpoint.name
    in_use = Q(touchpoints__active=True) | Q(rules__active=True)
    for instrument in Instrument.objects.filter(in_use, active=True).distinct():
        version = instrument.current_version()
        yield from texts_of_instrument(instrument, terms_of_version(version) if version else [])
    for rule in InvitationRule.objects.filter(active=True).exclude(letter={}):
        yield from _texts_of_rule(rule)


def find_gaps_of_letter(organisation: Organisation, rule: InvitationRule, wording: Wording, language: str) -> list[Gap]:
    """What is missing in one language of what a rule's letters say."""
    instrument, key = wording.question.instrument, wording.question.key
    texts: list[Written] = [
        (Gap(organisation, ("name",)), organisation.name),
        *_if_any(Gap(organisation, ("sender_name",)), organisation.sender_name),
        (Gap(rule.touchpoint, ("name",)), rule.touchpoint.name),
        (Gap(instrument, ("text", key)), wording.text),
        *_if_any(Gap(instrument, ("low", key)), wording.low_label),
        *_if_any(Gap(instrument, ("high", key)), wording.high_label),
        *_texts_of_rule(rule),
    ]
    missing = [gap for gap, written in texts if not serves(written, language)]
    return missing if match_language(language, LANGUAGES) else [*missing, Gap(organisation, ("phrases",))]


def _texts_of_rule(rule: InvitationRule) -> Iterator[Written]:
    for key, texts in rule.letter.items():
        yield from _if_any(Gap(rule, ("letter", key)), texts)


def texts_of_instrument(row: Instrument, asked: Sequence[QuestionTerms]) -> Iterator[Written]:
    """All that a customer may read of an instrument, in the order of its pages."""
    for terms in asked:
        if terms.kind != Kind.CONTACT or any(terms.text.values()):
            yield Gap(row, ("text", terms.key)), terms.text
        yield from _if_any(Gap(row, ("low", terms.key)), terms.low)
        yield from _if_any(Gap(row, ("high", terms.key)), terms.high)
        for key, texts in terms.options.items():
            yield Gap(row, ("option", terms.key, key)), texts
        for band, texts in terms.by_band.items():
            yield from _if_any(Gap(row, ("by_band", terms.key, band)), texts)
    for band, block in row.thanks.items():
        yield from _if_any(Gap(row, ("thanks_title", band)), block.get("title", {}))
        yield from _if_any(Gap(row, ("thanks_text", band)), block.get("text", {}))
        yield from _links(row, band, block.get("links", []))
    if row.share:
        yield Gap(row, ("share",)), row.share.get("label", {})


def _links(row: Instrument, band: str, links: Iterable[Mapping[str, Any]]) -> Iterator[Written]:
    for number, link in enumerate(links, start=1):
        yield Gap(row, ("thanks_link", band, str(number))), link.get("label", {})


def _if_any(gap: Gap, texts: Mapping[str, str]) -> Iterator[Written]:
    """Nothing is missing of what nobody wrote in any language."""
    if any(texts.values()):
        yield gap, texts
