"""The staff's side of listening: configuration, people, answers and what waits, in Django's admin. One module per group of models."""
