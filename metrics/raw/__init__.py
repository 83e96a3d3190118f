"""What only raw rows can say, bounded in days: invitations, views, waits, languages, doubts. Cells are read by `queries`."""
