"""Ecosystem integrity: a Bayesian network over maps, from evidence to the expected index and its entropy."""
