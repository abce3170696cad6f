"""Land cover: features, samples, forests with calibrated probabilities, validation and areas."""
