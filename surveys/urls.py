"""Routes of respondents' pages, and of what providers post to us."""

from django.urls import path, re_path

from surveys import views, webhooks

urlpatterns = [
    path("", views.home, name="home"),
    path("s/<str:token>/", views.invited, name="invited"),
    path("t/<str:public_key>/", views.public, name="public"),
    path("u/<str:token>/", views.unsubscribe, name="unsubscribe"),
    path("sms/inbound/<slug:provider>/", webhooks.inbound, name="sms_inbound"),
    path("sms/status/<slug:provider>/", webhooks.status, name="sms_status"),
    re_path(r"^accent/(?P<colour>[0-9a-f]{6})\.css$", views.accent, name="accent"),
]
