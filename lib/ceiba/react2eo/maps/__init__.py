"""Layers as tiles and maps for browsers, QGIS, GDAL and others."""
