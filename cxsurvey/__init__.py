"""Glue: settings, urls, the Celery app, embedded services, the server's start. Imported by no app."""

from cxsurvey.celery import app as celery_app

__all__ = ["celery_app"]
