"""The physics of a scan, numpy in and numpy out: the forward model, phantoms, spacing."""
