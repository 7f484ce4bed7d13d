"""Transforms: a Dataset in, a Dataset out, no frame read. One file a transform."""
