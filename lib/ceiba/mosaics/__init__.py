"""Annual cloud-free mosaics: geometric medians with their deviations, indices, water and animations."""
