"""Parts of layers in space and time: series, statistics and files."""
