"""REST, under /api/v1/: a module per resource, `base` for what they share."""
