"""ISO 9660 images for tests: ``an_image(folder, out)`` holds what lies in a folder."""

from __future__ import annotations

from pathlib import Path

import pycdlib

SECTOR = 2048


def an_image(folder: Path, out: Path, *, volume_id: str = "CASE_7", joliet: bool = False) -> Path:
    """An image of level 1 with the folders and files below ``folder``, whose names must be legal there."""
    image = pycdlib.PyCdlib()
    image.new(interchange_level=1, vol_ident=volume_id, joliet=3 if joliet else None)
    for path in sorted(folder.rglob("*")):
        name = "/" + "/".join(path.relative_to(folder).parts)
        further = {"joliet_path": name} if joliet else {}
        if path.is_dir():
            image.add_directory(name, **further)
        else:
            image.add_file(str(path), (name if "." in path.name else f"{name}.") + ";1", **further)
    image.write(str(out))
    image.close()
    return out


def place_of(image: Path, name: bytes) -> int:
    """The offset of the directory record of the entry with an identifier."""
    data = image.read_bytes()
    at = data.index(bytes([len(name)]) + name) - 32
    assert data[at] >= 33 + len(name)
    return at


def poke(image: Path, at: int, value: bytes) -> None:
    """Put bytes into an image."""
    with image.open("r+b") as file:
        file.seek(at)
        file.write(value)


def both_orders(number: int) -> bytes:
    """A number as directory records hold it."""
    return number.to_bytes(4, "little") + number.to_bytes(4, "big")
