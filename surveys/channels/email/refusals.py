"""Whose fault a refusal is. In: SMTP reply codes and texts, errors of anymail. Out: one of three verdicts, and Outcomes.

To give up a customer's address for a mistake of ours is the worse error: a refusal counts against the address only where it says so
(RFC 3463: X.1 is the address, X.2 the mailbox; X.3 to X.7 are systems, networks, protocols, contents and policies).
"""

import contextlib
import re
import smtplib
from collections.abc import Mapping
from typing import Any

from anymail.exceptions import AnymailAPIError, AnymailError, AnymailInvalidAddress, AnymailRecipientsRefused
from django.core.exceptions import ImproperlyConfigured

from surveys.doubt import was_handed_over
from surveys.letters import DETAIL_MAX, Outcome, retry_after_s

# This address will never work; it may work another day, and is to blame; it has nothing to do with the address.
RECIPIENT, SOFT, OURS = "recipient", "soft", "ours"

_CODE = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
_OF_THE_SENDER = frozenset({(1, 7), (1, 8), (1, 9)})
_SOFT_FOR_GOOD = frozenset(
    {(1, 4), (2, 2), (2, 4)}
)  # 5.2.2, a full mailbox, is refused "for good" and empties all the same
_TOO_LARGE = (2, 3)
_UNSPECIFIC = frozenset({(0, 0), (1, 0), (2, 0)})
# Replies whose number or words speak of us, where no enhanced code is more exact.
_ABOUT_US = re.compile(
    r"relay|spf|dkim|dmarc|spam|polic|block|black|denied|authenticat|reputation|not permitted|not allowed to send|banned|rbl|sender"
    r"|too large|too big|\bsize|\brate\b|too many|gr[ae]y-?list|\btls\b|content",
    re.IGNORECASE,
)
_LATER = re.compile(r"greylist|graylist|grey-list|rate limit|too many", re.IGNORECASE)
_FULL = re.compile(r"mailbox( is)? full|over ?quota|quota exceeded|exceeded storage", re.IGNORECASE)
_HARD = frozenset({550, 551, 553, 556})
_SOFT_CODES = frozenset({450, 452, 552})


def spoken_code(text: str | None) -> str:
    """The text from its enhanced status code on, where it has one; "" where it has not."""
    found = _CODE.search(text or "")
    return str(text)[found.start() :] if found else ""


def judge(code: int, text: str, *, of_recipient: bool = True) -> str:
    """RECIPIENT, SOFT or OURS. `of_recipient`: the server said it of the address (RCPT), not of the sender or the message.

    By the enhanced status code (RFC 3463, RFC 5248) where the text has one, else by the reply's number (RFC 5321) and its words.
    """
    found = _CODE.search(text)
    if found:
        subject, detail = int(found[2]), int(found[3])
        is_final = found[1] == "5"
        if subject not in (1, 2) or (subject, detail) in _OF_THE_SENDER or (subject, detail) == _TOO_LARGE:
            # A domain that cannot be reached for good (5.4) may be a slip of its owner's: it counts, and is tried again.
            return SOFT if is_final and subject == 4 else OURS
        if (subject, detail) in _UNSPECIFIC and _ABOUT_US.search(text):
            return OURS
        if is_final:
            return SOFT if (subject, detail) in _SOFT_FOR_GOOD else RECIPIENT
        return OURS if _LATER.search(text) else SOFT
    if not of_recipient or _ABOUT_US.search(text):
        return OURS
    if _FULL.search(text):
        return SOFT
    if code in _HARD:
        return RECIPIENT
    return SOFT if code in _SOFT_CODES else OURS


def outcome_of_smtp(error: smtplib.SMTPException, handed_over: bool = False) -> Outcome:
    """What a mail server's refusal means. `handed_over`: it had the whole message, and then the connection was lost."""
    of_recipient = isinstance(error, smtplib.SMTPRecipientsRefused)
    reply: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, reply = next(iter(error.recipients.values()), (550, b""))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, reply = error.smtp_code, error.smtp_error
    else:
        return outcome_of_loss(error, handed_over)
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
    detail = f"{code} {' '.join(text.split())}"[:DETAIL_MAX]
    about_us = isinstance(error, smtplib.SMTPConnectError | smtplib.SMTPHeloError | smtplib.SMTPAuthenticationError)
    if about_us or code in (421, 530, 535):
        return Outcome("temporary", detail, carrier_away=True)
    # Who may not send from this address may send to nobody: the verdict is about us, whatever its code.
    verdict = OURS if isinstance(error, smtplib.SMTPSenderRefused) else judge(code, text, of_recipient=of_recipient)
    if verdict == RECIPIENT and code >= 500:
        return Outcome("permanent", detail)
    return Outcome("temporary", detail, soft=verdict == SOFT)


def outcome_of_loss(error: Exception, handed_over: bool = False) -> Outcome:
    """A carrier that is not there, or no longer."""
    detail = f"{type(error).__name__}: {error}"[:DETAIL_MAX]
    return Outcome("temporary", detail, carrier_away=True, in_doubt=handed_over)


# --- Providers --------------------------------------------------------------------------------------------------------

_TEMPORARY = frozenset({408, 425, 429})
_ACCOUNT = frozenset({401, 402, 403, 404, 405, 407})  # the account, its money, the address of the service
_OF_TO = re.compile(r"""['"`]to['"`]|\bto(\.\d|\[)|\bin to\b|\brecipient|\bto address""", re.IGNORECASE)
_INVALID = re.compile(r"invalid|not (a )?valid|valid (email )?address|malformed|illegal", re.IGNORECASE)
_OF_FROM = re.compile(r"\bfrom\b|sender|reply", re.IGNORECASE)


def outcome_of_sent(message: Any) -> Outcome:
    """What a provider said of its one recipient; a mail server that took the message says nothing more."""
    status = getattr(message, "anymail_status", None)
    if status is None or status.status is None:
        return Outcome("sent")
    of_recipient = next(iter((status.recipients or {}).values()), None)
    said = of_recipient.status if of_recipient is not None else None
    if said in ("invalid", "rejected", "failed"):
        return _refused(said, message)
    reference = of_recipient.message_id if of_recipient is not None else status.message_id
    return Outcome("sent", reference=str(reference or "")[:200])


def outcome_of_anymail(error: AnymailError, message: Any) -> Outcome:
    """What an error of anymail means."""
    if isinstance(error, AnymailRecipientsRefused):
        status = message.anymail_status.status or {"rejected"}
        return _refused("invalid" if status == {"invalid"} else "rejected", message)
    if isinstance(error, AnymailInvalidAddress):
        return Outcome("permanent" if "`to`" in str(error) else "temporary", str(error)[:DETAIL_MAX])
    if not isinstance(error, AnymailAPIError):
        return Outcome("temporary", f"{type(error).__name__}: {error}"[:DETAIL_MAX])
    answer = error.response
    code = _status_of(answer)
    if code is None:
        # Without its words: they quote the address with what stands in it.
        detail = f"{type(error).__name__}: the provider does not answer"
        return Outcome("temporary", detail, carrier_away=True, in_doubt=_was_handed_over(error))
    text = _words_of(answer)
    detail = f"{code} {' '.join(text[:DETAIL_MAX].split())}"[:DETAIL_MAX].rstrip()
    if 200 <= code < 300:
        return Outcome("temporary", f"Not understood: {detail}"[:DETAIL_MAX], carrier_away=True, in_doubt=True)
    if code in _TEMPORARY or code in _ACCOUNT or code >= 500 or code < 400:
        wait_s = retry_after_s(answer.headers) if hasattr(answer, "headers") else 0
        return Outcome("temporary", detail, carrier_away=True, retry_after_s=wait_s)
    is_address = bool(_OF_TO.search(text) and _INVALID.search(text) and not _OF_FROM.search(text))
    return Outcome("permanent" if is_address else "temporary", detail)


def outcome_of_nonsense(error: Exception, answered: bool = False) -> Outcome:
    """A provider's answer that even anymail did not expect: nobody knows what became of the message, where it was `answered`."""
    if isinstance(error, ImproperlyConfigured):
        return outcome_of_loss(error)
    # Not away: a letter that cannot be put into words must not keep the others from leaving.
    return Outcome("temporary", f"Not understood: {type(error).__name__}: {error}"[:DETAIL_MAX], in_doubt=answered)


def _refused(said: str, message: Any) -> Outcome:
    """Invalid and rejected speak of the address; failed, and a rejection that Mandrill gives another reason for, of us."""
    document: Any = None
    with contextlib.suppress(ValueError, AttributeError):
        document = message.anymail_status.esp_response.json()
    row = document[0] if isinstance(document, list) and document else document
    reason = row.get("reject_reason") if isinstance(row, Mapping) else None
    words = row.get("Message") or row.get("message") if isinstance(row, Mapping) else None
    detail = ": ".join(str(part) for part in (said, reason, words) if part)[:DETAIL_MAX]
    if said == "failed" or reason in (
        "invalid-sender",
        "test-mode-limit",
        "unsigned",
        "rule",
        "recipient-domain-mismatch",
    ):
        return Outcome("temporary", detail)
    return Outcome("permanent", detail)


def _was_handed_over(error: AnymailAPIError) -> bool:
    """Anymail raises its own error from that of requests (or boto3, of which nobody can tell)."""
    return isinstance(error.__cause__, Exception) and was_handed_over(error.__cause__)


def _status_of(answer: Any) -> int | None:
    """The HTTP status of an answer of requests, or of boto3, which hands over a dict."""
    if isinstance(answer, Mapping):
        found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return found if isinstance(found, int) else None
    return getattr(answer, "status_code", None)


def _words_of(answer: Any) -> str:
    if isinstance(answer, Mapping):
        said = answer.get("Error", {})
        return f"{said.get('Code', '')} {said.get('Message', '')}".strip()
    return str(answer.text)
