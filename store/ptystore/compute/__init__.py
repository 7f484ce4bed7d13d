"""Arithmetic on blocks of frames, and the names that a virtual field has for it."""
