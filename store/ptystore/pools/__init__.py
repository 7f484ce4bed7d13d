"""Who does the work: the only wing that makes threads."""
