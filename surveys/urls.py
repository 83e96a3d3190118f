"""Routes of respondents' pages."""

from django.urls import path, re_path

from surveys import views, widget

urlpatterns = [
    path("", views.home, name="home"),
    path("s/<str:token>/", views.invited, name="invited"),
    path("t/<str:public_key>/", views.public, name="public"),
    path("w/<str:public_key>/ask/", widget.ask, name="widget_ask"),
    path("w/<str:public_key>/seen/", widget.seen, name="widget_seen"),
    path("u/<str:token>/", views.unsubscribe, name="unsubscribe"),
    re_path(r"^accent/(?P<colour>[0-9a-f]{6})\.css$", views.accent, name="accent"),
]
