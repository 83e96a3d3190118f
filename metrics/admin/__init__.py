"""What is configured of measuring, in Django's admin. One module per group of models."""

from metrics.admin import alerts, decisions

__all__ = ["alerts", "decisions"]
