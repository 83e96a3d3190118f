"""What an invitation says. In: an Invitation with its customer, touchpoint and instrument. Out: a Letter in the customer's language."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from email.utils import parseaddr
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.template.loader import get_template
from django.utils import translation

from surveys import colours
from surveys.channels import sms
from surveys.gsm import thrifty
from surveys.letters import Letter
from surveys.models import Invitation, Organisation, Touchpoint, Wording
from surveys.phrases import LANGUAGES, Phrases
from surveys.texts import fill, match_language, pick

template = lru_cache(maxsize=8)(get_template)


def compose(
    invitation: Invitation, organisation: Organisation, wording: Wording, address: str, reminder: int = 0
) -> Letter:
    """The message of one invitation, as its mode writes it; `wording` is that of its instrument's own scale question.

    A `reminder` (1, 2) says the same once more, under an id of its own.
    """
    return WRITERS.get(invitation.mode, compose_letter)(invitation, organisation, wording, address, reminder)


def compose_letter(
    invitation: Invitation, organisation: Organisation, wording: Wording, address: str, reminder: int = 0
) -> Letter:
    """An email. A reminder is an answer to the first: mail programs show them together."""
    language = invitation.language or organisation.default_language
    fallbacks = [organisation.default_language, "en"]
    names = names_of(organisation, invitation.touchpoint, language)
    url = f"{settings.BASE_URL}/s/{invitation.token}/"
    unsubscribe = f"{settings.BASE_URL}/u/{invitation.token}/"
    accent = organisation.accent if colours.is_colour(organisation.accent) else colours.INK
    shown = match_language(language, LANGUAGES) or "en"
    say = Phrases(organisation.phrases.get(shown))
    with translation.override(shown):
        context: dict[str, Any] = {
            "language": shown,
            "names": names,
            "say": say,
            "greeting": say.fill("hello_name", name=invitation.customer.name)
            if invitation.customer.name
            else say["hello"],
            "question": fill(pick(wording.text, language, fallbacks), **names),
            "low_label": pick(wording.low_label, language, fallbacks),
            "high_label": pick(wording.high_label, language, fallbacks),
            "scores": list(wording.question.scale.scores),
            "url": url,
            "unsubscribe": unsubscribe,
            "accent": colours.accent_on(colours.GROUND, accent),
            "accent_in_dark": colours.accent_on(colours.DARK_GROUND, accent),
        }
        subject = say.fill("subject", **names)
        first = message_id_of(invitation)
        return Letter(
            to=address,
            subject=" ".join(subject.split())[:200],
            text=template("email/invitation.txt").render(context),
            html=template("email/invitation.html").render(context),
            message_id=message_id_of(invitation, reminder),
            headers={
                "List-Unsubscribe": f"<{unsubscribe}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                "Auto-Submitted": "auto-generated",
                **({"In-Reply-To": first, "References": first} if reminder else {}),
            },
        )


def compose_text(
    invitation: Invitation, organisation: Organisation, wording: Wording, address: str, reminder: int = 0
) -> Letter:
    """A text message. A reminder has the same words: an answer to either is an answer to both."""
    language = invitation.language or organisation.default_language
    names = names_of(organisation, invitation.touchpoint, language)
    text = text_of(organisation, wording, names, language, invitation.token or "", sms.provider().takes_replies)
    return Letter(
        to=address,
        subject="",
        text=text,
        html="",
        message_id=message_id_of(invitation, reminder),
        names={
            **names,
            "kind": "invitation",
            "language": language,
            "url": f"{settings.BASE_URL}/s/{invitation.token}/",
            "unsubscribe": f"{settings.BASE_URL}/u/{invitation.token}/",
            "name": invitation.customer.name,
        },
    )


def text_of(
    organisation: Organisation,
    wording: Wording,
    names: Mapping[str, str],
    language: str,
    token: str,
    takes_replies: bool,
) -> str:
    """What an invitation says as a text: the question where a reply can answer it, else the link alone; and how to end it."""
    fallbacks = [organisation.default_language, "en"]
    url = f"{settings.BASE_URL}/s/{token}/"
    with speaking(organisation, language) as say:
        if not takes_replies:
            asked = say.fill("sms_text", url=url, **names)
            return thrifty(f"{asked}\n{say['no_more']} {settings.BASE_URL}/u/{token}/")
        low, high = (pick(texts, language, fallbacks) for texts in (wording.low_label, wording.high_label))
        scale = wording.question.scale
        ends = (f"{scale.low} = {low}", f"{scale.high} = {high}")
        asked = say.fill(
            "sms_ask",
            question=fill(pick(wording.text, language, fallbacks), **names),
            scale=say["between_labels"].join(ends) if low and high else f"{scale.low}-{scale.high}",
            url=url,
            **names,
        )
        return thrifty(f"{asked}\n{say['sms_stop']}")


def names_of(organisation: Organisation, touchpoint: Touchpoint, language: str) -> dict[str, str]:
    fallbacks = [organisation.default_language, "en"]
    return {
        "organisation": pick(organisation.name, language, fallbacks),
        "touchpoint": pick(touchpoint.name, language, fallbacks),
    }


@contextlib.contextmanager
def speaking(organisation: Organisation, language: str) -> Iterator[Phrases]:
    """The phrases of a language, which is active meanwhile."""
    shown = match_language(language, LANGUAGES) or "en"
    with translation.override(shown):
        yield Phrases(organisation.phrases.get(shown))


def message_id_of(invitation: Invitation, reminder: int = 0) -> str:
    """The same however often it is tried, so that whoever gets it twice can tell; a reminder has its own."""
    return f"<{invitation.token}{f'.{reminder}' if reminder else ''}@{domain()}>"


def domain() -> str:
    """The sender's domain: a Message-ID is only as unique as the name behind its @."""
    return (
        parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
        or urlsplit(settings.BASE_URL).hostname
        or "localhost"
    )


# By mode; what is in none is a letter.
WRITERS: Mapping[str, Callable[[Invitation, Organisation, Wording, str, int], Letter]] = {sms.MODE: compose_text}
