"""A bundle against the truth: scores per case, tables over cases, pictures, one report."""
