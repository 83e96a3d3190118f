"""Whether somebody may have a request that was never answered. In: what requests raised. Out: yes or no. No database, no Django."""

import requests
import urllib3


def was_handed_over(error: Exception) -> bool:
    """There was a connection, and it was lost or silent after the request; else nothing has left us."""
    cause = error.args[0] if error.args else None
    late = requests.ReadTimeout, requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError
    return isinstance(error, late) or isinstance(cause, urllib3.exceptions.ProtocolError)
