"""Rows of a dataset as inputs of towers."""
