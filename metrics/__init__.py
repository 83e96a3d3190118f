"""MEASURE: formulas (pure), cells kept by the roll-up, queries over them, and the pages and API that show them."""
