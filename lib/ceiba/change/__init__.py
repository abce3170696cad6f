"""Land-cover change between two dates: detection, minimum mapping unit and areas."""
