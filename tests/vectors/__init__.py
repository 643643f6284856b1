"""Test vectors, and the scripts that make them with nothing of the project's own code."""
