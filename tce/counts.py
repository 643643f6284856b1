"""Numbers of things in sentences for people: ``1 patient``, ``2 patients``."""

from __future__ import annotations


def counted(count: int, one: str, many: str) -> str:
    """Return a number with its noun, and whatever agrees with it: ``counted(n, "file was", "files were")``."""
    return f"{count} {one if count == 1 else many}"


def patients(count: int) -> str:
    """Return ``1 patient``, ``2 patients``."""
    return counted(count, "patient", "patients")


def instances(count: int) -> str:
    """Return ``1 instance``, ``2 instances``."""
    return counted(count, "instance", "instances")


def studies(count: int) -> str:
    """Return ``1 study``, ``2 studies``."""
    return counted(count, "study", "studies")


def files(count: int) -> str:
    """Return ``1 file``, ``2 files``."""
    return counted(count, "file", "files")
