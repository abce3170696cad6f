"""Crop surface, crop monitoring, protected agriculture and parcels."""
