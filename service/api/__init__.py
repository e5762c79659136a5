"""REST: one file per subject. `parts.py` is what a route is handed."""
