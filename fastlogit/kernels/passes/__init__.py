"""Reads of a range of rows, each from the tiles of a storage and the formulas of a loss."""
