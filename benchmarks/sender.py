"""A worker process of `dispatch` and `due`: sends what is due as Celery's worker does, or the same mails in a bare loop.

`python -m benchmarks.sender` gets one JSON object per line, and answers each with one when it is done:
  {"do": "load"}   the invitations that are due are read into memory, for `bare`
  {"do": "bare"}   the limit: render, build and send each of those over one smtplib connection, without a database
  {"do": "lean"}   the same from the product's own drafts and bytes: what nobody does without them
  {"do": "drain"}  `deliver.drain`, until nothing is due
Each answer holds `sent`, `seconds` and `rss_mb`.
"""

import json
import os
import select
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import psutil


class _Bare:
    """The limit: what `load` has read, rendered, built and sent without a database."""

    def load(self) -> int:
        from surveys.flow.deliver import score_wordings
        from surveys.models import Invitation, Organisation

        self.organisation = Organisation.current()
        due = Invitation.objects.filter(status="scheduled").select_related(
            "customer", "touchpoint", "instrument", "rule"
        )
        self.due = list(due)
        self.wordings = score_wordings({row.instrument_id for row in self.due})
        return 0

    def send(self) -> int:
        """The product's templates filled anew for each customer, and the mail classes of Django."""
        return self._send(None, lambda message: bytes(message.message().as_bytes(linesep="\r\n")))

    def send_lean(self) -> int:
        """The product's own drafts, and its way to the bytes of a mail."""
        from surveys.mails import mail_bytes

        return self._send({}, lambda message: mail_bytes(message) or b"")

    def _send(self, drafts: Any, build: Callable[[Any], bytes]) -> int:
        from django.conf import settings
        from django.core.mail import EmailMultiAlternatives

        from surveys.flow.compose import compose_letter

        with smtplib.SMTP(settings.EMAIL_HOST, settings.EMAIL_PORT) as server:
            for row in self.due:
                wording = self.wordings[row.instrument_id]
                letter = compose_letter(row, self.organisation, wording, row.customer.email, drafts=drafts)
                message = EmailMultiAlternatives(
                    letter.subject,
                    letter.text,
                    from_email=letter.sender or None,
                    to=[letter.to],
                    headers={"Message-ID": letter.message_id, **letter.headers},
                )
                message.attach_alternative(letter.html, "text/html")
                server.sendmail(message.from_email, [letter.to], build(message))
        return len(self.due)


def _drain() -> int:
    from django.utils import timezone

    from surveys.flow import deliver

    return deliver.drain(timezone.now)


def main() -> None:
    import django

    django.setup()
    bare = _Bare()
    jobs: dict[str, Callable[[], int]] = {"load": bare.load, "bare": bare.send, "lean": bare.send_lean, "drain": _drain}
    for line in sys.stdin:
        started = time.perf_counter()
        sent = jobs[json.loads(line)["do"]]()
        seconds = time.perf_counter() - started
        rss = psutil.Process().memory_info().rss / 2**20
        print(json.dumps({"sent": sent, "seconds": seconds, "rss_mb": rss}), flush=True)


class Sender:
    """The process, for as long as the block lasts; its mail goes to a port of this machine."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-m", "benchmarks.sender"]
        env = os.environ | {"EMAIL_URL": f"smtp://127.0.0.1:{port}", "BASE_URL": "https://survey.example.org"}
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "Sender":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)

    def begin(self, job: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": job}) + "\n")
        self.process.stdin.flush()

    def is_done(self, timeout: float) -> bool:
        """Whether it has something to tell, after `timeout` seconds at the latest."""
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], timeout)[0])

    def end(self) -> dict[str, Any]:
        """What it tells when it is done."""
        assert self.process.stdout is not None
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def do(self, job: str) -> dict[str, Any]:
        self.begin(job)
        return self.end()


if __name__ == "__main__":
    main()
