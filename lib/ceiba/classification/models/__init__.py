"""Models of land cover behind one interface, their calibration and their files."""
