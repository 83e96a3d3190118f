"""From a mail that Django would build to the bytes that a mail server gets. In: an EmailMultiAlternatives. Out: the same, handed over.

Building a mail by the standard library costs more than all else of sending it, and so does asking the server step by step. What most
letters are (a text and its HTML, in UTF-8, to one plain address) is put together here; whatever is out of the ordinary goes
Django's way, and so does every backend but SMTP. Which bytes make it the same mail is tested against the standard library's.
No letter is worded here, and nothing is decided about one.
"""

import os
import re
import smtplib
from email.header import Header
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend
from django.core.mail.message import RFC5322_EMAIL_LINE_LENGTH_LIMIT, forbid_multi_line_headers, sanitize_address

_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9.-]+")
_WRITTEN_HERE = {"from", "to", "cc", "bcc", "reply-to", "subject", "date", "content-type", "mime-version"}
LINE = 78  # RFC 5322, 2.1.1: a header line should not be longer


def send_mail(backend: Any, message: EmailMultiAlternatives) -> None:
    """As `backend.send_messages([message])`, with the same errors. The backend is open."""
    server = backend.connection if isinstance(backend, EmailBackend) and not backend.fail_silently else None
    mail = mail_bytes(message) if server is not None else None
    if server is None or mail is None:
        backend.send_messages([message])
    else:
        send_bytes(server, _envelope_of(message.from_email), message.to[0], mail)


def mail_bytes(message: EmailMultiAlternatives) -> bytes | None:
    """The mail as a server gets it; None where only the standard library should build it. BadHeaderError as from Django."""
    if (
        len(message.to) != 1
        or not _PLAIN_ADDRESS.fullmatch(message.to[0])
        or message.cc
        or message.bcc
        or message.attachments
        or message.encoding
        or [mimetype for _content, mimetype in message.alternatives] != ["text/html"]
        or not _WRITTEN_HERE.isdisjoint(name.lower() for name in message.extra_headers)
        or "Message-ID" not in message.extra_headers
    ):
        return None
    headers = {"Subject": message.subject, "From": message.from_email, "To": message.to[0]}
    if message.reply_to:
        headers["Reply-To"] = ", ".join(message.reply_to)
    headers["Date"] = formatdate(localtime=settings.EMAIL_USE_LOCALTIME)
    boundary = f"=_{os.urandom(12).hex()}"  # which nobody can have written into a text
    lines = [f'Content-Type: multipart/alternative; boundary="{boundary}"', "MIME-Version: 1.0"]
    lines += [_line(name, value) for name, value in (headers | message.extra_headers).items()]
    try:
        plain, html = _part(str(message.body), "plain"), _part(str(message.alternatives[0][0]), "html")
        head = "\r\n".join(lines).encode("ascii")
    except UnicodeEncodeError:
        return None
    if plain is None or html is None or max(map(len, head.split(b"\r\n"))) > RFC5322_EMAIL_LINE_LENGTH_LIMIT:
        return None
    mark = b"--" + boundary.encode()
    return b"\r\n".join([head, b"", mark, plain, mark, html, mark + b"--", b""])


def _line(name: str, value: str) -> str:
    """One header, in as many lines as it needs."""
    value = str(value)
    if name in ("Subject", "From", "Reply-To") or not value.isascii() or "\n" in value or "\r" in value:
        value = _encoded(name, value).replace("\n", "\r\n")
    line = f"{name}: {value}"
    if len(line) <= LINE:
        return line
    # Between addresses, which is where "List-Unsubscribe" is long.
    return line.replace(", <", ",\r\n <") if "\n" not in line else line


@lru_cache(maxsize=512)  # a few senders, and the subjects of a rule in its languages
def _encoded(name: str, value: str) -> str:
    encoded = str(forbid_multi_line_headers(name, value, settings.DEFAULT_CHARSET)[1])
    if name != "Subject":
        return encoded
    # Which Django does without regard to the name that stands before it.
    return str(Header(value, None if value.isascii() else settings.DEFAULT_CHARSET, header_name=name).encode())


def _part(text: str, kind: str) -> bytes | None:
    """A part of the mail with its headers; None where a line is longer than a server must take."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    body = text.encode().replace(b"\n", b"\r\n")
    if max(map(len, body.split(b"\r\n"))) > RFC5322_EMAIL_LINE_LENGTH_LIMIT:
        return None
    encoding = "7bit" if len(body) == len(text) + text.count("\n") else "8bit"
    head = f'Content-Type: text/{kind}; charset="utf-8"\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode() + body


@lru_cache(maxsize=64)
def _envelope_of(sender: str) -> str:
    return smtplib.quoteaddr(sanitize_address(sender, "utf-8"))


def send_bytes(server: smtplib.SMTP, sender: str, recipient: str, mail: bytes) -> None:
    """As smtplib's sendmail, in two journeys instead of four where the server lets us (RFC 2920): the same exceptions, as exact.

    `sender` stands in its angle brackets.
    """
    server.ehlo_or_helo_if_needed()
    if not server.has_extn("pipelining"):
        server.sendmail(sender, [recipient], mail)
        return
    size = f" size={len(mail)}" if server.has_extn("size") else ""
    server.send(f"mail FROM:{sender}{size}\r\nrcpt TO:<{recipient}>\r\ndata\r\n")
    begun = server.getreply()
    if begun[0] == 421:  # it closes, and says nothing more
        server.close()
        raise smtplib.SMTPSenderRefused(*begun, sender)
    to = server.getreply()
    if to[0] == 421:
        server.close()
        raise (
            smtplib.SMTPSenderRefused(*begun, sender)
            if begun[0] != 250
            else smtplib.SMTPRecipientsRefused({recipient: to})
        )
    data = server.getreply()
    is_taken = begun[0] == 250 and to[0] in (250, 251)
    said = data
    if data[0] == 354:  # also where nobody is to get it: then it gets nothing
        server.send((_stuffed(mail) if is_taken else b"") + b".\r\n")
        said = server.getreply()
    if is_taken and data[0] == 354 and said[0] == 250:
        return
    if 421 in (data[0], said[0]):
        server.close()
    else:
        server._rset()  # type: ignore[attr-defined]
    if begun[0] != 250:
        raise smtplib.SMTPSenderRefused(*begun, sender)
    if not is_taken:
        raise smtplib.SMTPRecipientsRefused({recipient: to})
    raise smtplib.SMTPDataError(*said)


def _stuffed(mail: bytes) -> bytes:
    """A line that begins with a period gets one more (RFC 5321, 4.5.2)."""
    return mail.replace(b"\r\n.", b"\r\n..")
