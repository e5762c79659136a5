"""How good, and at what cost: metrics with stated definitions, and the cost of sampling."""
