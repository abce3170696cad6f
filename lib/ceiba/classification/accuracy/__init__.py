"""Accuracy and areas: sampling designs, responses, estimators, reports."""
