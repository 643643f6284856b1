"""Tests of the vault room, against a real OpenBao."""
