"""One HTTP call to a provider. In: a request. Out: its answer, or the Outcome where there is none to speak of."""

from collections.abc import Mapping
from typing import Any

import requests

from surveys.doubt import was_handed_over
from surveys.letters import DETAIL_MAX, Outcome, retry_after_s

TIMEOUT = (5, 10)  # to connect, and between two bytes; flow/deliver.py's lease must outlast them
ABOUT_US = frozenset(
    {401, 402, 403, 404, 405, 407}
)  # the account, its money, the address of the service: no fault of a number


def post(
    session: requests.Session,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    data: Any = None,
    params: Any = None,
    auth: tuple[str, str] | None = None,
) -> requests.Response | Outcome:
    """The answer, whose status may still be one of 200 to 499; an Outcome where the provider is away, busy or refuses us.

    Redirects are not followed: a POST would become a GET, and a token would be carried elsewhere.
    """
    try:
        answer = session.request(
            method, url, headers=headers, data=data, params=params, auth=auth, timeout=TIMEOUT, allow_redirects=False
        )
    except requests.RequestException as error:
        # Without its words: they quote the address with what stands in it.
        said_nothing = f"{type(error).__name__}: the provider does not answer"
        return Outcome("temporary", said_nothing, carrier_away=True, in_doubt=was_handed_over(error))
    if answer.status_code == 429:
        return Outcome("temporary", said(answer), carrier_away=True, retry_after_s=retry_after_s(answer.headers))
    if answer.status_code >= 500 or 300 <= answer.status_code < 400 or answer.status_code in ABOUT_US:
        return Outcome("temporary", said(answer), carrier_away=True, retry_after_s=retry_after_s(answer.headers))
    return answer


def said(answer: requests.Response) -> str:
    """The status and the beginning of the body, for staff."""
    return f"{answer.status_code} {' '.join(answer.text[:DETAIL_MAX].split())}"[:DETAIL_MAX].rstrip()


def wrong(answer: requests.Response) -> Outcome:
    """An answer that is not in the provider's form: nobody knows what became of the message, if it was not refused."""
    detail = f"Not understood: {said(answer)}"[:DETAIL_MAX]
    return Outcome("temporary", detail, carrier_away=True, in_doubt=answer.ok)


def json_of(answer: requests.Response) -> Any:
    """The document, or None where the body is none."""
    try:
        return answer.json()
    except ValueError:
        return None
