"""Tests, mirroring the four packages, and the journeys through all of them."""
