"""What an invitation says. In: an Invitation with its customer, touchpoint and instrument. Out: a Letter in the customer's language."""

import contextlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from email.utils import parseaddr, quote
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.template.loader import get_template
from django.utils import translation
from django.utils.html import escape

from surveys import colours
from surveys.channels import sms
from surveys.gsm import thrifty
from surveys.letters import LETTER_TEXTS, UNSUBSCRIBE_SUBJECT, Letter, address_by_name
from surveys.models import Invitation, InvitationRule, Organisation, Touchpoint, Wording
from surveys.phrases import LANGUAGES, Phrases
from surveys.texts import fill, match_language, pick

template = lru_cache(maxsize=8)(get_template)
# After the line that a list of mails shows beside the subject: so that nothing else of the letter stands there.
BLANK = "\u200c\u00a0" * 60
NOT_IN_NAMES = re.compile(r'[][\\()<>@,:;".]')  # RFC 5322: of a name that stands without quotes


def compose(
    invitation: Invitation,
    organisation: Organisation,
    wording: Wording,
    address: str,
    reminder: int = 0,
    drafts: "Drafts | None" = None,
) -> Letter:
    """The message of one invitation, as its mode writes it; `wording` is that of its instrument's own scale question.

    A `reminder` (1, 2) says the same once more, under an id of its own. `drafts`: those of the batch.
    """
    return WRITERS.get(invitation.mode, compose_letter)(invitation, organisation, wording, address, reminder, drafts)


def compose_letter(
    invitation: Invitation,
    organisation: Organisation,
    wording: Wording,
    address: str,
    reminder: int = 0,
    drafts: "Drafts | None" = None,
) -> Letter:
    """An email. A reminder is an answer to the first: mail programs show them together."""
    language = invitation.language or organisation.default_language
    is_reminder = reminder > 0
    token = invitation.token or ""
    to = Personal(
        address=address,
        name=invitation.customer.name,
        url=f"{settings.BASE_URL}/s/{token}/",
        unsubscribe=f"{settings.BASE_URL}/u/{token}/",
        token=token,
        message_id=message_id_of(invitation, reminder),
        in_reply_to=message_id_of(invitation) if reminder else "",
    )
    key = invitation.touchpoint_id, invitation.rule_id, wording.pk, language, is_reminder
    draft = drafts.get(key) if drafts is not None else None
    if draft is None:
        script = script_of(organisation, invitation.touchpoint, invitation.rule, wording, language, is_reminder)
        if drafts is None:
            return write_letter(script, to)
        draft = drafts[key] = draft_of(script)
    return fill_draft(draft, to)


@dataclass(frozen=True, slots=True)
class Script:
    """All of a letter that is the same for whoever is asked by one rule in one language. {name} still stands in its texts.

    No language has to be active any more to write from it, and nothing in it is of one customer.
    """

    sender: str
    reply_to: str
    subject: str
    greeting: str  # with {name}; `hello` for whom we know none of
    hello: str
    opening: str
    closing: str
    shared: Mapping[str, Any]  # what the templates are told besides


@dataclass(frozen=True, slots=True)
class Personal:
    """All of a letter that is one customer's."""

    address: str
    name: str
    url: str
    unsubscribe: str
    token: str
    message_id: str
    in_reply_to: str = ""  # the Message-ID that this is a reminder of
    query: str = ""  # of every link to the form, such as "test=1"
    is_test: bool = False  # then the letter says so


def script_of(
    organisation: Organisation,
    touchpoint: Touchpoint,
    rule: InvitationRule | None,
    wording: Wording,
    language: str,
    is_reminder: bool = False,
) -> Script:
    """What a rule's letters say in a language: by its own texts, else by the organisation's phrases, else by ours."""
    fallbacks = [organisation.default_language, "en"]
    names = names_of(organisation, touchpoint, language)
    accent = organisation.accent if colours.is_colour(organisation.accent) else colours.INK
    shown = match_language(language, LANGUAGES) or "en"
    own: Mapping[str, Any] = rule.letter if rule is not None else {}
    with speaking(organisation, language) as say:
        is_rtl = translation.get_language_bidi()
        words = {key: fill(text, **names) for key, text in words_of(own, say, language).items()}
        kind = "reminder_" if is_reminder else ""
        return Script(
            sender=sender_of(organisation, language),
            reply_to=organisation.reply_to,
            subject=words[f"{kind}subject"],
            greeting=say.fill("hello_name", name="{name}"),
            hello=say["hello"],
            opening=words[f"{kind}opening"],
            closing=words[f"{kind}closing"],
            shared={
                "language": shown,
                "direction": "rtl" if is_rtl else "ltr",
                "start": "right" if is_rtl else "left",
                "blank": BLANK,
                "question": fill(pick(wording.text, language, fallbacks), **names),
                "low_label": pick(wording.low_label, language, fallbacks),
                "high_label": pick(wording.high_label, language, fallbacks),
                "scores": list(wording.question.scale.scores),
                "organisation": names["organisation"],
                "accent": colours.accent_on(colours.GROUND, accent),
                "accent_in_dark": colours.accent_on(colours.DARK_GROUND, accent),
                **{key: say[key] for key in ("answer_browser", "answer_here", "between_labels", "no_more")},
                "unsubscribe_word": say["unsubscribe"],
                "test_word": say["test"],
            },
        )


def words_of(own: Mapping[str, Any], say: Phrases, language: str) -> dict[str, str]:
    """All of LETTER_TEXTS as they are said in the language of `say`, which is active; the places are not filled yet.

    Each is the rule's own where it has one in this language, else a phrase. A reminder ends as the letter does.
    """
    phrase = {"opening": say["opening"], "closing": say["closing"], "reminder_opening": say["reminder_opening"]}
    phrase["subject"] = say.fill("subject", organisation="{organisation}", touchpoint="{touchpoint}")
    words = {key: own_text(own, key, language) or phrase.get(key, "") for key in LETTER_TEXTS}
    words["reminder_subject"] = words["reminder_subject"] or say.fill("reminder_subject", subject=words["subject"])
    words["reminder_closing"] = words["reminder_closing"] or words["closing"]
    return words


def own_text(own: Mapping[str, Any], key: str, language: str) -> str:
    """A rule's own text for a language; "" where there is none: a phrase in the right language serves better than its in another."""
    texts: Mapping[str, str] = own.get(key, {})
    tag = match_language(language, texts) or match_language(match_language(language, LANGUAGES) or "en", texts)
    return texts[tag] if tag else ""


def write_letter(script: Script, to: Personal) -> Letter:
    """The letter to one customer."""
    own = {
        "greeting": address_by_name(script.greeting, to.name) if to.name else script.hello,
        "opening": address_by_name(script.opening, to.name),
        "closing": address_by_name(script.closing, to.name),
        "url": f"{to.url}?{to.query}" if to.query else to.url,
        "score_url": f"{to.url}?{to.query}&score=" if to.query else f"{to.url}?score=",
        "unsubscribe": to.unsubscribe,
        "is_test": to.is_test,
    }
    context = {**script.shared, **own}
    return _letter(
        script,
        to,
        text=template("email/invitation.txt").render(context),
        html=template("email/invitation.html").render(context),
    )


def _letter(script: Script, to: Personal, text: str, html: str) -> Letter:
    return Letter(
        to=to.address,
        subject=" ".join(address_by_name(script.subject, to.name).split())[:200],
        text=text,
        html=html,
        message_id=to.message_id,
        headers={
            "List-Unsubscribe": unsubscribe_header(to.unsubscribe, to.token),
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Auto-Submitted": "auto-generated",
            **({"In-Reply-To": to.in_reply_to, "References": to.in_reply_to} if to.in_reply_to else {}),
        },
        sender=script.sender,
        reply_to=script.reply_to,
    )


@dataclass(frozen=True, slots=True)
class Draft:
    """A script's letters, (text, HTML), with places such as %(name)s for what is one customer's: for whom we know a name of, and not."""

    script: Script
    named: tuple[str, str]
    nameless: tuple[str, str]


# What the letters of one batch have in common, each made once: an edit is seen by the next batch.
Drafts = MutableMapping[tuple[int, int | None, int, str, bool], Draft]
DRAFTS_MAX = 200
_drafts: dict[str, Draft] = {}  # by all that their scripts say, so that none is ever out of date


def draft_of(script: Script) -> Draft:
    """The script's draft. The templates are rendered once, not for each customer."""
    key = repr(script)
    draft = _drafts.get(key)
    if draft is None:
        if len(_drafts) >= DRAFTS_MAX:
            _drafts.clear()
        draft = _drafts[key] = Draft(script, _with_places(script, named=True), _with_places(script, named=False))
    return draft


def _with_places(script: Script, *, named: bool) -> tuple[str, str]:
    mark = secrets.token_hex(8)  # that nobody can have written into a text; no escaping changes it
    places = {place: f"{mark}{place}{mark}" for place in ("name", "url", "unsubscribe")}
    name = places["name"] if named else ""
    to = Personal("", name, places["url"], places["unsubscribe"], token="", message_id="")
    letter = write_letter(script, to)

    def opened(text: str) -> str:
        text = text.replace("%", "%%")
        for place, marked in places.items():
            text = text.replace(marked, f"%({place})s")
        return text

    return opened(letter.text), opened(letter.html)


def fill_draft(draft: Draft, to: Personal) -> Letter:
    """The same letter to one customer as write_letter's."""
    if to.query or "\n" in to.name or "\r" in to.name:  # a test; a name that HTML would show in two lines
        return write_letter(draft.script, to)
    text, html = draft.named if to.name else draft.nameless
    own = {"name": to.name, "url": to.url, "unsubscribe": to.unsubscribe}
    return _letter(draft.script, to, text % own, html % {place: escape(value) for place, value in own.items()})


def unsubscribe_header(url: str, token: str) -> str:
    """RFC 2369: by the web, and by mail where the deployment reads an address (flow/take_mail.py)."""
    if not settings.UNSUBSCRIBE_MAILTO:
        return f"<{url}>"
    return f"<{url}>, <mailto:{settings.UNSUBSCRIBE_MAILTO}?subject={UNSUBSCRIBE_SUBJECT}{token}>"


def sender_of(organisation: Organisation, language: str) -> str:
    """Whom letters in a language are from, as a header has it, not encoded."""
    name = " ".join(pick(organisation.sender_name, language, [organisation.default_language, "en"]).split())
    if not name and not organisation.sender_address:
        return str(settings.DEFAULT_FROM_EMAIL)
    default_name, default_address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    name, address = name or default_name, organisation.sender_address or default_address
    shown = f'"{quote(name)}"' if NOT_IN_NAMES.search(name) else name
    return f"{shown} <{address}>" if name else address


def compose_text(
    invitation: Invitation,
    organisation: Organisation,
    wording: Wording,
    address: str,
    reminder: int = 0,
    drafts: "Drafts | None" = None,
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
    return _domain(settings.DEFAULT_FROM_EMAIL, settings.BASE_URL)


@lru_cache(maxsize=8)
def _domain(sender: str, base_url: str) -> str:
    return parseaddr(sender)[1].rpartition("@")[2] or urlsplit(base_url).hostname or "localhost"


# By mode; what is in none is a letter.
WRITERS: Mapping[str, Callable[..., Letter]] = {sms.MODE: compose_text}
