"""Routes of respondents' pages, and of what providers post to us."""

from django.urls import path, re_path

from surveys import embed, views, webhooks, widget

urlpatterns = [
    path("", views.home, name="home"),
    path("s/<str:token>/", views.invited, name="invited"),
    path("t/<str:public_key>/", views.public, name="public"),
    path("w/<str:public_key>/ask/", widget.ask, name="widget_ask"),
    path("w/<str:public_key>/seen/", widget.seen, name="widget_seen"),
    path("u/<str:token>/", views.unsubscribe, name="unsubscribe"),
    path("sms/inbound/<slug:provider>/", webhooks.inbound, name="sms_inbound"),
    path("sms/status/<slug:provider>/", webhooks.status, name="sms_status"),
    path("email/status/<slug:provider>/", webhooks.email_status, name="email_status"),
    path("email/inbound/<slug:provider>/", webhooks.email_inbound, name="email_inbound"),
    path("embed.js", embed.embed, name="embed"),
    path("embed-card.js", embed.card, name="embed_card"),
    re_path(
        r"^theme/(?P<name>[0-9a-f]{6}-(?:\d|1\d|2[0-4])-(?:auto|light|dark)-[0-9a-f]{8})\.css$",
        views.theme,
        name="theme",
    ),
    re_path(r"^logo/(?P<digest>[0-9a-f]{64})$", views.logo, name="logo"),
]
