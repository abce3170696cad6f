"""Revisions of the tables of reactions, in the order in which :mod:`alembic` applies them."""
