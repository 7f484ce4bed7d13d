"""A scan's facts: problems, overlap, descriptions. Nothing here changes one."""
