"""Segments of images, and land cover told by segment."""
