"""Several angles: nested polar coordinates for any list of blocks, the last one radial."""
