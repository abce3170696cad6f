"""Animations of what is on the screen."""
