"""The layout of a PDI medium beside its DICOM files: names, texts, pages (IHE PDI, RAD-47; ISO 9660 level 1).

Only what a reader of any other system stumbles over is a fault here. Faults name no file that a stranger may have
named; what lies where is said by the kind of file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as XmlTree

from media.files import MediumFiles, is_part_10
from media.pages import INDEX, README, SMALL_LETTERS, WEB_FOLDER

_FILE = re.compile(r"[A-Z0-9_]{1,8}(\.[A-Z0-9_]{1,3})?")
_FOLDER = re.compile(r"[A-Z0-9_]{1,8}")
_RESERVED_PREFIX = "IHE"
_DEEPEST = 8
_LARGEST_PAGE = 64 << 20
_LINK, _PICTURE = "{http://www.w3.org/1999/xhtml}a", "{http://www.w3.org/1999/xhtml}img"
_ACTIVE = frozenset({"script", "iframe", "frame", "object", "embed", "applet", "form", "base", "link"})


def is_page(name: tuple[str, ...]) -> bool:
    """Whether a file of this name is a text, page or picture of those that make a folder of instances a PDI medium."""
    in_web = name[0] == WEB_FOLDER and (len(name) == 2 or name[1:-1] == (SMALL_LETTERS,))
    return name in ((README,), (INDEX,)) or (in_web and name[-1].endswith((".HTM", ".JPG")))


def layout_faults(files: MediumFiles) -> Iterator[str]:
    """Yield what is wrong with the layout, one sentence a fault."""
    if files.irregular:
        yield f"{files.irregular} entries are links or devices"
    if files.unreadable_folders:
        yield f"{files.unreadable_folders} folders cannot be opened"
    yield from _name_faults(files)
    yield from _readme_faults(files)
    for name, path in files.names.items():
        if len(name) == 1 and name[0] != "DICOMDIR" and is_part_10(path):
            yield "a DICOM instance lies in the root"
        if name[0] == WEB_FOLDER and is_part_10(path):
            yield "a DICOM instance lies among the web pages"
        if name[-1].upper().startswith("AUTORUN."):
            yield "there is an autorun file"
    if (INDEX,) in files.names or any(name[0] == WEB_FOLDER for name in files.names):
        yield from _page_faults(files)


def _name_faults(files: MediumFiles) -> Iterator[str]:
    for name in files.names:
        if not _FILE.fullmatch(name[-1]) or len(name) > _DEEPEST:
            yield "a file's name is not legal in ISO 9660 level 1"
    for folder in files.folders:
        if not _FOLDER.fullmatch(folder[-1]):
            yield "a folder's name is not legal in ISO 9660 level 1"
    for top in {name[0] for name in files.names}:
        if top.upper().startswith(_RESERVED_PREFIX) and top != WEB_FOLDER:
            yield "a name begins with IHE, which is reserved"


def _readme_faults(files: MediumFiles) -> Iterator[str]:
    path = files.names.get((README,))
    if path is None:
        yield f"there is no {README}"
        return
    text = _bytes_of(path)
    if text is None:
        yield f"{README} cannot be read, or is larger than any text"
        return
    if not text.isascii():
        yield f"{README} is not ASCII"
    if not text.strip() or text.count(b"\n") != text.count(b"\r\n"):
        yield f"{README} is empty or its lines do not end with CR LF"


def _page_faults(files: MediumFiles) -> Iterator[str]:
    for entry in ((INDEX,), (WEB_FOLDER, INDEX)):
        if entry not in files.names:
            yield f"there is no {'/'.join(entry)}"
    for name, path in files.names.items():
        if name[0] == WEB_FOLDER and name[-1].endswith(".JPG"):
            yield from _picture_faults(path)
        if not name[-1].endswith(".HTM") or (len(name) > 1 and name[0] != WEB_FOLDER):
            continue
        content = _bytes_of(path)
        if content is None:
            yield "a page cannot be read, or is larger than any page"
            continue
        try:
            page = XmlTree.fromstring(content)  # noqa: S314 - expat of Python 3.11 limits entities
        except (XmlTree.ParseError, LookupError, ValueError):  # also for a character set that there is not
            yield "a page is not well-formed XHTML"
            continue
        links = [link.get("href", "") for link in page.iter(_LINK)]
        pictures = [picture.get("src", "") for picture in page.iter(_PICTURE)]
        for link in links + pictures:
            if not _leads_somewhere(link, name, files):
                yield "a link of a page leads nowhere on the medium"
        if any(_does_something(element) for element in page.iter()):
            yield "a page does something by itself, or brings something from elsewhere"


def _bytes_of(path: Path) -> bytes | None:
    """Return the bytes of a text or page; None for one that cannot be read or would fill the memory."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_PAGE + 1)
    except OSError:
        return None
    return content if len(content) <= _LARGEST_PAGE else None


def _picture_faults(path: Path) -> Iterator[str]:
    content = _bytes_of(path) or b""
    if content[:3] != b"\xff\xd8\xff":
        yield "a picture of the pages is no JPEG"
    elif not _is_only_a_picture(content):
        yield "a picture of the pages holds words beside the picture"


def _is_only_a_picture(jpeg: bytes) -> bool:
    """Whether a JPEG has no comment, no application's data but JFIF and Adobe's, and nothing behind its end."""
    at = 2
    while jpeg[at : at + 1] == b"\xff" and at + 4 <= len(jpeg):
        marker = jpeg[at + 1]
        if marker == 0xDA:  # the scan begins
            return jpeg.endswith(b"\xff\xd9") and b"\xff\xfe" not in jpeg[at:]
        if marker == 0xFE or (0xE1 <= marker <= 0xEF and marker != 0xEE):
            return False
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return False


def _does_something(element: XmlTree.Element) -> bool:
    """Whether an element of a page is a script, or loads something."""
    name = str(element.tag).rpartition("}")[2].lower()
    return name in _ACTIVE or any(attribute.lower().startswith("on") for attribute in element.attrib)


def _leads_somewhere(href: str, page: tuple[str, ...], files: MediumFiles) -> bool:
    parts = list(page[:-1])
    for part in PurePosixPath(href).parts:
        if part == "..":
            if not parts:
                return False
            parts.pop()
        else:
            parts.append(part)
    return files.find(parts) is not None  # a system may show names in small letters
