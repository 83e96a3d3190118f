"""The demo organisation: made-up customers whose events and answers go through the real pipeline, each at its own time."""
