"""One pass over all values, and the commit that makes its result visible."""
