"""Staff pages under /admin/ that stand before the admin's own; the first of them takes the place of its index."""

from metrics.views import invitations, overview, touchpoint

PAGES = (overview.PAGE, touchpoint.PAGE, *invitations.PAGES)

urlpatterns = [pattern for page in PAGES for pattern in page.urls]
