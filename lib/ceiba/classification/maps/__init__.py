"""Maps of classes and probabilities: prediction, smoothing, minimum mapping unit, uncertainty."""
