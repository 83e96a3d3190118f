"""Slices of cells, measured. In: a metric and a Slice. Out: a Measurement (value, interval, n, histogram, own fields).

Only cells are read, and of raw rows the tickets that are open now (through their partial index): what a question costs
follows the number of cells and periods, never the number of answers. Which formula is right is not decided here. Import from here.
"""

from metrics.queries.many import Ask, Found, count_many, many_statement
from metrics.queries.matrix import MatrixRow, ModeRow, measure_matrix, measure_modes
from metrics.queries.measured import Measured, Measurement, measure_histogram
from metrics.queries.scores import answered_days
from metrics.queries.tickets import Ages, Durations, Split, measure_ages, measure_durations, measure_waiting
from metrics.queries.together import (
    OpenTickets,
    Scores,
    Tickets,
    measure_open,
    measure_scores,
    measure_tickets,
)
from metrics.queries.weighted import WEIGHED_BY, WeightedMeasurement, measure_weighted, weights_of
from metrics.queries.whole import measure, measure_trend
from metrics.queries.windows import Window, measure_windows
from metrics.slices import INTERVALS, METRICS, OF_CELLS, OF_TOUCHPOINTS, Catalogue, Interval, Slice, UnusableSlice

__all__ = [
    "INTERVALS", "METRICS", "OF_CELLS", "OF_TOUCHPOINTS", "WEIGHED_BY", "Ages", "Ask", "Catalogue", "Durations", "Found",
    "Interval", "MatrixRow", "Measured", "Measurement", "ModeRow", "OpenTickets", "Scores", "Slice", "Split", "Tickets",
    "UnusableSlice", "WeightedMeasurement", "Window", "answered_days", "count_many", "many_statement", "measure", "measure_ages",
    "measure_durations", "measure_histogram", "measure_matrix", "measure_modes", "measure_open", "measure_scores",
    "measure_tickets", "measure_trend", "measure_waiting", "measure_weighted", "measure_windows", "weights_of",
]  # fmt: skip
