"""Training and reference samples: reading, quality, draws, review."""
