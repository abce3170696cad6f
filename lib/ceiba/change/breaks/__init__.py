"""Breaks in long series of observations."""
