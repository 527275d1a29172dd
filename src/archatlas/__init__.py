"""Fit the search space of weight-sharing NAS once, then ask it anything."""
