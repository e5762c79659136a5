"""What held-out cases say about a bundle: how wide its band must be, and what its quality score is worth."""
