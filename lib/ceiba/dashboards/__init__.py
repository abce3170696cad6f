"""Dashboards: what the stages have made, on a screen of any size, in Spanish and English. Nothing is computed here."""

from ceiba.dashboards.app import build_app
from ceiba.dashboards.survey import survey_table, survey_views

__all__ = ["build_app", "survey_table", "survey_views"]
