"""Change between the mosaics of two dates."""
