"""What an invitation says. In: an Invitation with its customer, touchpoint and instrument. Out: a Letter in the customer's language."""

from email.utils import parseaddr
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.template.loader import get_template
from django.utils import translation

from surveys import colours
from surveys.letters import Letter
from surveys.models import Invitation, Organisation, Wording
from surveys.phrases import LANGUAGES, Phrases
from surveys.texts import fill, match_language, pick

template = lru_cache(maxsize=8)(get_template)


def compose(
    invitation: Invitation, organisation: Organisation, wording: Wording, address: str, reminder: int = 0
) -> Letter:
    """The letter of one invitation; `wording` is that of its instrument's own scale question.

    A `reminder` (1, 2) is the same letter under an id of its own, as an answer to the first: mail programs show them together.
    """
    language = invitation.language or organisation.default_language
    fallbacks = [organisation.default_language, "en"]
    names = {
        "organisation": pick(organisation.name, language, fallbacks),
        "touchpoint": pick(invitation.touchpoint.name, language, fallbacks),
    }
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
        first = f"<{invitation.token}@{_domain()}>"
        return Letter(
            to=address,
            subject=" ".join(subject.split())[:200],
            text=template("email/invitation.txt").render(context),
            html=template("email/invitation.html").render(context),
            message_id=f"<{invitation.token}.{reminder}@{_domain()}>" if reminder else first,
            headers={
                "List-Unsubscribe": f"<{unsubscribe}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                "Auto-Submitted": "auto-generated",
                **({"In-Reply-To": first, "References": first} if reminder else {}),
            },
        )


def _domain() -> str:
    """The sender's domain: a Message-ID is only as unique as the name behind its @."""
    return (
        parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
        or urlsplit(settings.BASE_URL).hostname
        or "localhost"
    )
