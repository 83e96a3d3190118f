"""Verbs, a file per step of a piece of data's way: record, eligibility, invite, deliver, respond, warn, erase."""
