"""How what was measured looks: figures, tables, charts and sentences that pages and files only print. Nothing is queried here."""
