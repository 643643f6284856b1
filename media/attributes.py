"""Attributes of a data set that was parsed and not yet decoded: values as bytes, and as text where people read them.

Bytes are what a directory record takes over and what is compared, so that no decoding stands between a file and
its record.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from media.errors import UnreadableInstance

SPECIFIC_CHARACTER_SET = 0x00080005
BINARY_VRS = ("US", "UL")  # those that occur among the keys of directory records


class Attributes:
    """The attributes of one data set: of pydicom's, read as big or little endian, or as the quick reader gives them."""

    __slots__ = ("_dataset", "_elements", "big_endian")

    def __init__(
        self,
        dataset: Any = None,
        big_endian: bool = False,
        *,
        elements: Mapping[int, tuple[bytes, bytes]] | None = None,
    ) -> None:
        self._dataset = dataset
        self._elements = elements
        self.big_endian = big_endian

    @property
    def dataset(self) -> Any:
        """The same as a pydicom data set."""
        if self._dataset is None:
            self._dataset = _data_set(self._elements or {})
        return self._dataset

    def __contains__(self, tag: int) -> bool:
        return tag in (self.dataset if self._elements is None else self._elements)

    def value(self, tag: int) -> bytes:
        """Return the value of an attribute that is a string, without padding; empty when absent.

        This and the other questions raise :class:`UnreadableInstance` when the attribute breaks the parser.
        """
        if self._elements is not None:
            plain = self._elements.get(tag)
            return b"" if plain is None else plain[1].strip(b" \0")
        element = self._element(tag)
        if element is None:
            return b""
        if isinstance(element, RawDataElement):
            return (element.value or b"").strip(b" \0")
        # pydicom has decoded this one already: only UIDs and the character set, which are ASCII.
        value = element.value
        if element.VR == "SQ":
            raise UnreadableInstance("malformed", "an attribute is a sequence and should be a text")
        text = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")
        return text.encode("ascii", "replace").strip(b" \0")

    def words(self, tag: int) -> bytes:
        """Return the little endian value of an attribute of a binary VR; empty when absent."""
        if self._elements is not None:
            return self._elements.get(tag, (b"", b""))[1]
        element = self._element(tag)
        value = element.value if isinstance(element, RawDataElement) else None
        return (value[::-1] if self.big_endian else bytes(value)) if value else b""

    def items(self, tag: int) -> list[Any]:
        """Return the items of a sequence; none when absent."""
        if tag not in self:
            return []
        try:
            return list(self.dataset[tag].value or ())
        except (
            Exception
        ) as fault:  # a broken sequence may break the parser anywhere; its text may quote values
            raise UnreadableInstance(
                "malformed", f"a sequence breaks the parser ({type(fault).__name__})"
            ) from None

    def has_private(self) -> bool:
        """Whether there is a private element, at any depth."""
        for tag in self.dataset.keys():  # noqa: SIM118 - iterating over the data set itself would decode it
            if tag.is_private:
                return True
            element = self._element(tag)
            if (
                element is not None
                and element.VR == "SQ"
                and any(Attributes(item, self.big_endian).has_private() for item in self.items(tag))
            ):
                return True
        return False

    def text(self, keyword: str) -> str:
        """Return the value of an attribute as text in which no control character is left.

        It is for people and comparisons: what cannot be read is empty here, not an error.
        """
        try:
            value = self.value(int(tag_for_keyword(keyword)))
        except UnreadableInstance:
            return ""
        if value.isascii() and b"\x1b" not in value:
            # The same in all character sets of DICOM.
            plain = value.decode("ascii")
            return plain if plain.isprintable() else "".join(one for one in plain if one.isprintable())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                decoded = decode_bytes(value, self.encodings, {"\\", "^", "="})
            except (LookupError, ValueError):
                decoded = value.decode("ascii", "replace")
        return "".join(character for character in decoded if character.isprintable())

    @property
    def encodings(self) -> list[str]:
        """The Python codecs of Specific Character Set."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                terms = self.value(SPECIFIC_CHARACTER_SET).decode("ascii", "replace").split("\\")
                return list(convert_encodings([term.strip() for term in terms]))
            except (LookupError, UnreadableInstance):
                return ["iso8859"]

    def _element(self, tag: int) -> Any:
        if tag not in self.dataset:
            return None
        try:
            return self.dataset.get_item(tag)
        except Exception as fault:  # a value cut short is read again by pydicom, and may break it anywhere
            raise UnreadableInstance(
                "malformed", f"an attribute breaks the parser ({type(fault).__name__})"
            ) from None


def plain_name(name: str) -> str:
    """Return a person's name without what makes no other person of it: case, and empty parts at its end."""
    return name.rstrip("^= ").casefold()


def _data_set(elements: Mapping[int, tuple[bytes, bytes]]) -> Dataset:
    implicit = any(not vr for vr, _ in elements.values())
    return Dataset(
        {
            BaseTag(tag): RawDataElement(
                BaseTag(tag), vr.decode() or None, len(value), value, 0, implicit, True
            )
            for tag, (vr, value) in elements.items()
        }
    )
