"""How each dialect lays a scan out, as data, for people to read."""
