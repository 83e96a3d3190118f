"""Staff pages under /admin/ that stand before the admin's own; the first of them takes the place of its index."""

from metrics.views import alerts, invitations, overview, quality, touchpoint

PAGES = (overview.PAGE, touchpoint.PAGE, *invitations.PAGES, quality.PAGE, alerts.PAGE)

urlpatterns = [pattern for page in PAGES for pattern in page.urls] + alerts.urls
