"""Saving what the hosted service still holds: the walk over its API, and the dump that the walk writes."""
