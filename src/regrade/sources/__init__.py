"""Where a run's rows come from."""
