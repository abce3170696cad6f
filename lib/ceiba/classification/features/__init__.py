"""What a classifier sees of a pixel: recipes, seasons, phenology, terrain."""
