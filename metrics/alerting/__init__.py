"""Alert rules: what they say, how they are held against the cells, and how teams are told."""
