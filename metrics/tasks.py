"""Workers' entrances: a few lines each, no payload."""

from celery import shared_task


@shared_task(ignore_result=True)
def roll_up() -> None:
    """Drain the ledger into the cells. Safe to repeat: it claims what it counts."""
    from metrics import rollup

    rollup.drain()
