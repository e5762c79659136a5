"""Faults on purpose: what `penumbra bench faults` and `penumbra bench intake` do to a running system."""
