"""Measured comparison of engine and kernel pairs on the same input, with the arithmetic shown."""
