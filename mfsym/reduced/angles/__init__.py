"""What serves any number of angles: the interface, coordinates, laws of the start, labels, what is kept of a target."""
