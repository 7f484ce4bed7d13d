"""MATLAB files of version 5, which are only read: a row in the table of formats."""
