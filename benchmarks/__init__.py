"""Speed, as ratios within one run: a module per benchmark, each beside the limit that it is held against."""
