"""News that travels upward. Nothing rests on it: what waits is a row, and beat finds rows."""

from django.dispatch import Signal

# Sent inside the transaction that appended ledger rows. Receivers may ring a bell and nothing else.
ledger_written = Signal()
