"""What responses are found by. Written by `flow/index.py` alone; the response itself stays the truth, and can always be read again."""

from typing import Any

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models


class ResponseTerms(models.Model):
    """One row per response: the terms of all that was written in it, and its facets, such as touchpoint, segment and month."""

    response = models.OneToOneField(
        "surveys.Response", on_delete=models.CASCADE, primary_key=True, related_name="terms"
    )
    terms: "models.Field[Any, Any]" = SearchVectorField()

    class Meta:
        default_permissions = ()
        # Without a list of what waits for its place in the index: each search would read through it. Rows come in batches.
        indexes = [GinIndex(fields=["terms"], name="response_terms", fastupdate=False)]

    def __str__(self) -> str:
        return f"{self.response_id}"


class TermsDue(models.Model):
    """One row per recording or change of a response whose terms are still to be made. No foreign key: rows live for seconds."""

    id = models.BigAutoField(primary_key=True)
    response_id = models.BigIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.response_id}"
