"""4D-STEM files that rosettasciio reads, an extra: a row in the table of formats."""
