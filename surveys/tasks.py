"""Workers' entrances: a few lines each, no payload. What is due is a row; a task claims rows and is safe to repeat."""
