"""What customers text back. In: a text from a number. Out: a score, a comment, STOP or START, and the one reply that it gets.

One conversation is one link: the newest open invitation that went to the number by text. The score is recorded like any other
answer; what follows belongs to the same response. The reply is a row that waits (flow/reply.py): nothing is sent here.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from surveys import replies
from surveys.channels import sms
from surveys.channels.sms.shape import IncomingText
from surveys.flow.addresses import address_hash
from surveys.flow.compose import names_of, speaking
from surveys.flow.respond import COMMENT_KEY, SCORE_KEY, Given, InvitationExpired, Submission, record_response
from surveys.flow.unsubscribe import rejoin_number, stop_number
from surveys.models import (
    Customer,
    DeliveryAttempt,
    InboundText,
    InstrumentVersion,
    Invitation,
    Organisation,
    Response,
    Wording,
)
from surveys.phrases import Phrases
from surveys.replies import Reply, read_reply
from surveys.texts import fill, pick

Meaning = InboundText.Meaning
OPEN = (Invitation.Status.SENT, Invitation.Status.DELIVERED, Invitation.Status.OPENED, Invitation.Status.ANSWERED)
LOOKED_AT = 10  # of the newest texts to a number: an older one nobody remembers
TEXT_MAX, COMMENT_MAX = 5000, 5000
HELP_A_DAY = 3  # a machine that answers our help with its own would go on for ever
WORDS_MIN = 2  # letters from which on something not understood is worth keeping as a comment


def take_text(incoming: IncomingText, provider: str, now: datetime) -> InboundText | None:
    """Take one text; None for one that we have already."""
    phone = _storable(incoming.sender)[:40]
    message_id = _storable(incoming.message_id)[:200] or f"none-{uuid.uuid4()}"
    with transaction.atomic():
        with connection.cursor() as cursor:  # one text of a number after another, the same one twice too
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"cx-text {phone}"])
        if InboundText.objects.filter(provider=provider, message_id=message_id).exists():
            return None
        row = InboundText(
            provider=provider,
            message_id=message_id,
            phone=phone,
            text=_storable(incoming.text)[:TEXT_MAX],
            received_at=now,
        )
        _Conversation(row, now).answer()
        if incoming.answered:
            row.reply = ""
        row.due_at = now if row.reply else None
        row.save()
    return row


@dataclass(slots=True)
class _Conversation:
    """One text, and what we know of the number that it came from."""

    row: InboundText
    now: datetime
    organisation: Organisation
    asked: Invitation | None  # by the newest text to this number
    invitation: Invitation | None  # the newest one that is open

    def __init__(self, row: InboundText, now: datetime) -> None:
        self.row, self.now = row, now
        self.organisation = Organisation.current()
        sent = DeliveryAttempt.objects.filter(address_hash=address_hash(row.phone), mode=sms.MODE, result="sent")
        links = [attempt.invitation_id for attempt in sent.order_by("-at", "-id")[:LOOKED_AT]]
        found = Invitation.objects.select_related("customer", "touchpoint", "instrument").in_bulk(links)
        asked = [found[pk] for pk in links if found[pk].customer.erased_at is None]
        self.asked = asked[0] if asked else None
        self.invitation = next((one for one in asked if self._is_open(one)), None)
        row.invitation = self.invitation or self.asked
        row.language = self._language()

    def _is_open(self, link: Invitation) -> bool:
        return link.status in OPEN and (link.expires_at is None or link.expires_at > self.now)

    def _language(self) -> str:
        if self.row.invitation is not None and self.row.invitation.language:
            return self.row.invitation.language
        known = Customer.objects.filter(phone=self.row.phone).exclude(language="").order_by("pk").first()
        return known.language if known else self.organisation.default_language

    def answer(self) -> None:
        with speaking(self.organisation, self.row.language) as say:
            low, high = 0, 10
            if self.invitation is not None:
                scale = self.invitation.instrument.scale
                low, high = scale.low, scale.high
            reply = read_reply(self.row.text, low, high)
            if reply.command:
                self._obey(reply.command, say)
            elif self.invitation is not None:
                self._record(self.invitation, reply, say)
            else:
                self._too_late(reply, say)

    # --- Commands -----------------------------------------------------------------------------------------------------

    def _obey(self, command: str, say: Phrases) -> None:
        row = self.row
        if command == replies.STOP:
            row.meaning = Meaning.STOP
            InboundText.objects.filter(phone=row.phone, due_at__isnull=False).update(due_at=None)
            asked = self.asked.customer_id if self.asked else None
            if stop_number(row.phone, asked, self.now, row.invitation.pk if row.invitation else None):
                row.reply = f"{say['unsubscribed_text']} {say.fill('sms_start', word='START')}"
        elif command == replies.START:
            row.meaning = Meaning.START
            if rejoin_number(row.phone, self.now):
                row.reply = f"{say['sms_started']} {say['sms_stop']}"
        else:
            row.meaning = Meaning.HELP
            since = self.now - timedelta(days=1)
            helped = InboundText.objects.filter(phone=row.phone, meaning=Meaning.HELP, received_at__gt=since)
            if helped.exclude(reply="").count() < HELP_A_DAY:
                name = pick(self.organisation.name, row.language, [self.organisation.default_language, "en"])
                row.reply = f"{say.fill('sms_help', organisation=name)} {say['sms_stop']}"

    def _too_late(self, reply: Reply, say: Phrases) -> None:
        """Nothing is open. Whoever answers a survey that has ended is told so, once."""
        row = self.row
        row.meaning = Meaning.CLOSED if self.asked else Meaning.STRANGER
        if self.asked is not None and reply.is_understood:
            told = InboundText.objects.filter(invitation=self.asked, meaning=Meaning.CLOSED).exclude(reply="")
            row.reply = "" if told.exists() else say["expired_text"]

    # --- Answers ------------------------------------------------------------------------------------------------------

    def _record(self, link: Invitation, reply: Reply, say: Phrases) -> None:
        Invitation.objects.select_for_update(no_key=True).get(pk=link.pk)  # the link before all else: see flow/locks.py
        if Customer.objects.filter(pk=link.customer_id, erased_at__isnull=False).exists():
            self.row.phone = self.row.text = ""  # while we waited
            self.row.meaning = Meaning.STRANGER
            return
        response = Response.objects.select_related("version").filter(invitation=link).first()
        version = response.version if response else link.instrument.current_version()
        if version is None:  # an instrument always has one
            self._unclear(link, say)
            return
        wordings = {wording.question.key: wording for wording in version.wordings.select_related("question")}
        comment = wordings.get(COMMENT_KEY)
        given = _given(response)
        score = given[SCORE_KEY].score if SCORE_KEY in given else None
        words = given[COMMENT_KEY].text if COMMENT_KEY in given else ""
        row = self.row
        if score is None:
            if reply.score is None:
                self._unclear(link, say)
                return
            row.meaning = Meaning.SCORE
            said = reply.verbatim or self._said_before(link)
            self._save(link, version, wordings, given, reply.score, _joined(words, said), say)
            row.reply = row.reply or self._ask_or_thank(link, comment, reply.score, bool(words or said), say)
        elif reply.is_bare_score:  # "I meant 8"
            row.meaning = Meaning.SCORE
            if reply.score != score:
                self._save(link, version, wordings, given, reply.score, words, say)
                row.reply = row.reply or self._thanks(link, reply.score, say)
        else:
            row.meaning = Meaning.COMMENT
            if row.text.strip() and comment is not None:
                self._save(link, version, wordings, given, score, _joined(words, row.text.strip()), say)
                row.reply = row.reply or ("" if words else self._thanks(link, score, say))

    def _unclear(self, link: Invitation, say: Phrases) -> None:
        row = self.row
        row.meaning = Meaning.UNCLEAR
        if not InboundText.objects.filter(invitation=link, meaning=Meaning.UNCLEAR).exists():
            scale = link.instrument.scale
            row.reply = say.fill("sms_again", low=scale.low, high=scale.high)

    def _said_before(self, link: Invitation) -> str:
        """Words that came without a score, and were asked for one: they are not lost."""
        earlier = InboundText.objects.filter(invitation=link, meaning=Meaning.UNCLEAR).order_by("id")
        texts = [text.strip() for text in earlier.values_list("text", flat=True)]
        return "\n".join(text for text in texts if sum(map(str.isalpha, text)) >= WORDS_MIN)

    def _save(
        self,
        link: Invitation,
        version: InstrumentVersion,
        wordings: dict[str, Wording],
        given: dict[str, Given],
        score: int | None,
        words: str,
        say: Phrases,
    ) -> None:
        """All answers of the response, with this score and these words in the place of the former ones."""
        answers = dict(given)
        answers[SCORE_KEY] = Given(wordings[SCORE_KEY].question, score=score)
        if words and COMMENT_KEY in wordings:
            answers[COMMENT_KEY] = Given(wordings[COMMENT_KEY].question, text=words[:COMMENT_MAX])
        submission = Submission(
            client_id=uuid.uuid4(),
            touchpoint=link.touchpoint,
            version=version,
            mode=link.mode,
            answers=list(answers.values()),
            language=self.row.language,
            location=link.location,
            customer=link.customer,
            invitation=link,
            organisation=self.organisation,
        )
        try:
            record_response(submission, self.now)
        except InvitationExpired:
            self.row.meaning, self.row.reply = Meaning.CLOSED, say["expired_text"]

    def _ask_or_thank(
        self, link: Invitation, comment: Wording | None, score: int, has_words: bool, say: Phrases
    ) -> str:
        """The follow-up, where there is one for this score and nothing was said yet."""
        if has_words or comment is None or not _is_asked(comment, score):
            return self._thanks(link, score, say)
        fallbacks = [self.organisation.default_language, "en"]
        band = link.instrument.scale.band(score)
        text = pick(comment.by_band.get(band) or {}, self.row.language, fallbacks)
        text = text or pick(comment.text, self.row.language, fallbacks)
        names = names_of(self.organisation, link.touchpoint, self.row.language)
        return say.fill("sms_more", question=fill(text, **names))

    def _thanks(self, link: Invitation, score: int | None, say: Phrases) -> str:
        """The manager's own words for this band, else for any, else the standard ones."""
        own = link.instrument.thanks
        band = link.instrument.scale.band(score) if score is not None else "any"
        words = own.get(band) or own.get("any") or {}
        fallbacks = [self.organisation.default_language, "en"]
        return pick(words.get("text", {}), self.row.language, fallbacks) or say["thanks_text"]


def _given(response: Response | None) -> dict[str, Given]:
    """The answers as they stand, by question key."""
    if response is None:
        return {}
    rows = response.answers.select_related("question")
    return {
        row.question.key: Given(row.question, score=row.score, choices=tuple(row.choices), text=row.text)
        for row in rows
    }


def _is_asked(wording: Wording, score: int) -> bool:
    """Whether a question is shown for this score alone: what depends on other questions is not asked by text."""
    return all(key == SCORE_KEY and score in values for key, values in wording.show_if.items())


def _joined(before: str, after: str) -> str:
    return "\n".join(filter(None, (before, after)))


def _storable(text: str) -> str:
    """Without what PostgreSQL does not store."""
    return text.encode("utf-8", "ignore").decode().replace("\x00", "")
