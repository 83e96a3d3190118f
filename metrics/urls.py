"""Staff pages under /admin/ that stand before the admin's own; the first of them takes the place of its index."""

from metrics.views import (
    alerts,
    channels,
    decisions,
    invitations,
    journey,
    overview,
    quality,
    responses,
    touchpoint,
    ttr,
)

PAGES = (
    overview.PAGE,
    touchpoint.PAGE,
    *journey.PAGES,
    channels.PAGE,
    *ttr.PAGES,
    *decisions.PAGES,
    *invitations.PAGES,
    quality.PAGE,
    alerts.PAGE,
)

# Answers first: a table of the overview may be called anything, so its files would take theirs.
urlpatterns = [*responses.urlpatterns, *(pattern for page in PAGES for pattern in page.urls), *alerts.urls]
