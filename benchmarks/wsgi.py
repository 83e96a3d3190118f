"""The product's WSGI application, or the same Django, settings and middleware, with the URLs of a limit (CX_BENCH_URLS)."""

import os

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler

django.setup()
settings.ROOT_URLCONF = os.environ.get("CX_BENCH_URLS", settings.ROOT_URLCONF)
application = WSGIHandler()
