"""Several angles: blocks, harmonics as products of tables, coefficients of targets, and finite volumes on a tensor grid."""
