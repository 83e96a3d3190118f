"""A real SMTP server on a free port: keeps what it gets, and refuses, stalls or closes when told to."""

import asyncio
import email
import email.policy
import socket
import threading
import time
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class SmtpSink:
    """`messages` holds (recipient, parsed message); `refuse[address]` a reply such as "550 5.1.1 no such user".

    `refuse_all` is said of every recipient, `refuse_sender` of ours, `refuse_data` of the message itself.
    `silent` keeps every OK back, of messages that it has taken, until it is set to False again; `pause_s` lets each take its time.
    """

    def __init__(self) -> None:
        self.messages: list[tuple[str, EmailMessage]] = []
        self.refuse: dict[str, str] = {}
        self.refuse_all: str = ""
        self.refuse_sender: str = ""
        self.refuse_data: str = ""
        self.silent = False
        self.pause_s = 0.0
        self.pipelining = False
        self.connections = 0
        self.times: list[float] = []  # when each message came, by the monotonic clock
        self._arrived = threading.Condition()
        self.port = _free_port()
        self._controller: Controller | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        if self.pipelining:
            responses.insert(1, "250-PIPELINING")
        return responses

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, mail_options: list[str]
    ) -> str:
        if self.refuse_sender:
            return self.refuse_sender
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        refusal = self.refuse.get(address) or self.refuse_all
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refuse_data:
            return self.refuse_data
        message = email.message_from_bytes(envelope.content or b"", policy=email.policy.default)
        with self._arrived:
            self.times.append(time.monotonic())
            for recipient in envelope.rcpt_tos:
                self.messages.append((recipient, message))  # type: ignore[arg-type]
            self._arrived.notify_all()
        await asyncio.sleep(self.pause_s)
        while self.silent:
            await asyncio.sleep(0.05)
        return "250 OK"

    def wait_for(self, count: int, timeout: float = 20) -> list[tuple[str, EmailMessage]]:
        """The messages once there are `count` of them; AssertionError after `timeout` seconds."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.messages) >= count, timeout)
        assert arrived, f"{len(self.messages)} of {count} messages after {timeout} s"
        return list(self.messages)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
