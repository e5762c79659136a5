"""One CT series in, one RTSTRUCT out."""
