"""Forms shown per second over 8 connections, beside a bare Django view that renders the same template with a ready context.

Each form is the first look at a link of its own: the link is followed, and the time of opening written. Both sides run under the
same gunicorn, settings and middleware, one after the other.
"""

from typing import Any

from benchmarks.load import request, send_all
from benchmarks.respond import CONNECTIONS, invite, prepare, rate
from benchmarks.result import measured
from benchmarks.stage import Stage

BAR = 0.60


def run(stage: Stage, quick: bool = False) -> dict[str, Any]:
    """Forms per second, medians of rounds that alternate."""
    forms, rounds = (300, 3) if quick else (2000, 5)
    touchpoint, instrument, version = prepare()
    stage.collect_static()
    ours, bare = stage.serve(), stage.serve("benchmarks.bare_form")
    # Somebody has answered, as soon somebody will have: until then a version may still change.
    answered = invite(touchpoint, instrument, 1)
    rate(ours, answered, version)
    figures, limits = [], []
    for round_ in range(rounds + 1):
        tokens = invite(touchpoint, instrument, forms)
        limit, figure = _rate(bare, tokens), _rate(ours, tokens)
        if round_:  # the first one warms up
            limits.append(limit)
            figures.append(figure)
    stage.note_memory()
    _check(forms * (rounds + 1))
    return measured("form_view", figures, limits, BAR, "forms/s", peak_mb=stage.peak_mb)


def _rate(port: int, tokens: list[str]) -> float:
    looks = [request("GET", f"/s/{token}/", b"", "text/plain", Accept_Language="en") for token in tokens]
    seconds, statuses = send_all(port, looks, CONNECTIONS)
    if statuses != {200: len(tokens)}:
        raise AssertionError(f"not every form was shown: {statuses}")
    return len(tokens) / seconds


def _check(expected: int) -> None:
    from surveys.models import Invitation

    opened = Invitation.objects.filter(opened_at__isnull=False, status="opened").count()
    if opened != expected:
        raise AssertionError(f"{opened} of {expected} openings were written")
