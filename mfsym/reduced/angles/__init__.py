"""What serves any number of angles: coordinates, harmonics, laws of the start, labels, and the reduction by tables."""
