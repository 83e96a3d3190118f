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
    `hold` does so at any one command (EHLO, MAIL, RCPT, DATA, QUIT): `held` says how many clients wait there. `slow_s` is what every
    command takes. `drops` closes the connection on every message that it has taken, without a word; `drops_at` does at a command.
    """

    def __init__(self) -> None:
        self.messages: list[tuple[str, EmailMessage]] = []
        self.refuse: dict[str, str] = {}
        self.refuse_all: str = ""
        self.refuse_sender: str = ""
        self.refuse_data: str = ""
        self.silent = False
        self.pause_s = 0.0
        self.slow_s = 0.0
        self.hold = ""
        self.held = 0
        self.drops = False
        self.drops_at = ""
        self.pipelining = False
        self.connections = 0
        self.times: list[float] = []  # when each message came, by the monotonic clock
        self._arrived = threading.Condition()
        self.port = _free_port()
        self._controller: Controller | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self) -> "SmtpSink":
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def be_kind(self) -> None:
        """Every fault is over; what came is forgotten."""
        self.refuse_all, self.hold, self.drops_at = "", "", ""
        self.silent, self.drops, self.pause_s, self.slow_s = False, False, 0.0, 0.0
        self.refuse.clear()
        self.messages.clear()

    async def _take_time(self, command: str, server: SMTP) -> None:
        if self.drops_at == command:
            assert server.transport is not None
            server.transport.close()
        await asyncio.sleep(self.slow_s)
        if self.hold == command:
            self.held += 1
            try:
                while self.hold == command:
                    await asyncio.sleep(0.05)
            finally:  # a client that died ends us
                self.held -= 1

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        await self._take_time("EHLO", server)
        if self.pipelining:
            responses.insert(1, "250-PIPELINING")
        return responses

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, mail_options: list[str]
    ) -> str:
        await self._take_time("MAIL", server)
        if self.refuse_sender:
            return self.refuse_sender
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 OK"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        await self._take_time("QUIT", server)
        return "221 Bye"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        await self._take_time("RCPT", server)
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
        if self.drops:
            assert server.transport is not None
            server.transport.close()
            return "250 OK"  # which nobody hears
        await self._take_time("DATA", server)
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
