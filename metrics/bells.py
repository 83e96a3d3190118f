"""News from `surveys` rings the roll-up. Only a bell: a lost one costs seconds, since beat drains the ledger anyway."""

from typing import Any

from surveys.bell import ring
from surveys.signals import ledger_written


def ring_roll_up(**_: Any) -> None:
    from metrics.tasks import roll_up

    ring(roll_up)


def connect() -> None:
    ledger_written.connect(ring_roll_up, dispatch_uid="metrics.ring_roll_up")
