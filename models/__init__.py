"""Tensors only."""
