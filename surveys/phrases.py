"""What a respondent's page, letter and widget say by themselves, in every shipped language. In: a key. Out: a text.

Each phrase stands here once, under a key that never changes: managers replace any of them, in any language, by that key.
The questions are not here (surveys/builtins, and the managers' own); nor is anything that only staff read.
"""

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy, pgettext_lazy

LANGUAGES = (
    *("en", "zh-hans", "zh-hant", "es", "fr", "de", "pt-br", "it", "nl", "pl", "cs", "sv", "da"),
    *("fi", "tr", "ru", "uk", "ar", "he", "fa", "hi", "id", "vi", "th", "ja", "ko"),
)

PHRASES: Mapping[str, Any] = {
    # The form
    "send": _("Send"),
    "sending": _("Sending…"),
    "optional": _("optional"),
    "yes": _("Yes"),
    "no": _("No"),
    "language": _("Language"),
    "score_of": _("%(score)d of %(high)d"),
    "stars": ngettext_lazy("%(count)d star", "%(count)d stars", "count"),
    "progress": _("Question %(number)d of %(total)d"),
    "revealed": ngettext_lazy("%(count)d more question below", "%(count)d more questions below", "count"),
    "saved": _("Your choice is saved. You can add to it, or close this page."),
    "restored": _("What you had typed is still here."),
    "offline": _("There is no connection. Your answer is kept on this device and sent as soon as there is one."),
    "retry": _("Try again now"),
    # Its errors
    "missing": _("Something is missing"),
    "choose": _("Please choose an answer."),
    "choose_one": _("Please choose one answer."),
    "write": _("Please write something."),
    "score_range": _("A score is a whole number from %(low)d to %(high)d."),
    "not_a_choice": _("This answer is not one of the choices."),
    "too_long": ngettext_lazy(
        "Please keep it within %(count)d character.", "Please keep it within %(count)d characters.", "count"
    ),
    "not_storable": _("This text has characters that cannot be stored."),
    # After it
    "thanks": _("Thank you"),
    "thanks_text": _("Your answer has arrived. It helps us to do better."),
    "change": _("Change my answer"),
    "unknown": _("We cannot find this survey"),
    "unknown_text": _("Please check that the link is complete. If it came in a message, open it from there."),
    "expired": _("This link has expired"),
    "expired_text": _("Thank you for wanting to answer. This survey is closed now."),
    "away": _("One moment, please"),
    "away_text": _("We cannot reach our records just now. Please try again in a few seconds; nothing is lost."),
    "test": _("This is a test. Nothing is recorded."),
    # Unsubscribing
    "unsubscribe": _("Unsubscribe"),
    "unsubscribe_title": _("No more surveys?"),
    "unsubscribe_text": _("Messages about your orders and requests still reach you."),
    "unsubscribe_this": _("Only this survey: %(touchpoint)s"),
    "unsubscribe_surveys": _("All surveys from you"),
    "unsubscribe_messages": _("All surveys and every message about my answers"),
    "unsubscribed": _("You are unsubscribed"),
    "unsubscribed_text": _("You will get no more surveys from us."),
    "unsubscribed_this_text": _("We will not send you this survey again: %(touchpoint)s."),
    "unsubscribed_messages_text": _("You will get no more surveys from us, and no messages about your answers."),
    "resubscribe": _("You may ask me again"),
    # Questions that need no author
    "contact": _("May we contact you about this?"),
    # The widget and the printed code
    "widget": _("Survey"),
    "feedback": _("Feedback"),
    "close": _("Close"),
    "not_now": _("Not now"),
    "scan": _("Tell us how it was"),
    "scan_text": _("Scan the code with your phone's camera. It takes a minute."),
    # The letter
    "hello": _("Hello,"),
    "hello_name": _("Hello %(name)s,"),
    "subject": _("How was it? %(touchpoint)s – %(organisation)s"),
    "opening": _("We would like to hear about your experience with us."),
    "closing": _("Thank you for your time."),
    "reminder_subject": _("Reminder: %(subject)s"),
    "reminder_opening": _("We have not had your answer yet. It would still help us."),
    "answer_browser": _("Answer in your browser"),
    "answer_here": _("Answer here, it takes a minute:"),
    "no_more": _("No more surveys from us:"),
    "between_labels": pgettext_lazy("between two labels", ", "),
    # The text message, and what is said to those who text back. Each sentence costs money: short, and without typographic marks.
    "sms_text": _("How was it? %(touchpoint)s, %(organisation)s: %(url)s"),
    "sms_ask": _(
        "%(organisation)s, %(touchpoint)s: %(question)s Reply with a number: %(scale)s. Or answer here: %(url)s"
    ),
    "sms_stop": _("Reply STOP for no more."),
    "sms_more": _("Thank you! %(question)s"),
    "sms_again": _("Please reply with one number from %(low)d to %(high)d."),
    "sms_start": _("Reply %(word)s to get them again."),
    "sms_started": _("You are back: we may ask you again."),
    "sms_help": _("Short surveys from %(organisation)s. To answer, reply with a number."),
}

PLACE = re.compile(r"%\((\w+)\)[sd]")


class _Named(dict[str, Any]):
    """Fills any place, and remembers which there were."""

    def __missing__(self, name: str) -> int:
        self[name] = 1
        return 1


def places_of(key: str) -> set[str]:
    """The places of a phrase, such as "count". KeyError for an unknown key."""
    named = _Named()
    str(PHRASES[key] % named)
    return set(named)


def strange_places(key: str, text: str) -> list[str]:
    """The places in `text` that the phrase has none of. KeyError for an unknown key."""
    return [name for name in PLACE.findall(text) if name not in places_of(key)]


class Phrases:
    """The phrases of the language that is active, an organisation's own in place of ours.

    `own` maps keys to texts, with the same places, such as %(count)d; one with another place than ours is passed over.
    """

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        self._own = own or {}

    def __getitem__(self, key: str) -> str:
        """A phrase without places. KeyError for an unknown key."""
        standard = PHRASES[key]
        return self._own.get(key) or str(standard)

    def fill(self, key: str, **values: Any) -> str:
        """A phrase with its places filled; `count` chooses between one and many."""
        own = self._own.get(key)
        if own and set(PLACE.findall(own)) <= values.keys():
            return PLACE.sub(lambda place: str(values[place[1]]), own)
        return str(PHRASES[key] % values)


STANDARD = Phrases()
