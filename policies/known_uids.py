"""The UIDs that were replaced, looked for in everything that is kept: as text they lead back like any identifier."""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterable, Iterator
from functools import cache

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_has_tag, dictionary_VR

from policies.known import Remembering


class _UidSearch(Remembering):
    """Finds what is written like a UID and is none of the standard's."""

    _LIKE = re.compile(rb"[0-2](?:[._ ,-]\d+){3,}")
    _WIDE_LIKE = re.compile(rb"[0-2]\0\.\0\d|[0-2]\0\.\0\0\d")

    def written_in(self, chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Yield what may be UIDs in the chunks, with dots between their numbers, and the chunk it stands in."""
        for chunk in self.news(chunks):
            texts = [chunk, chunk.replace(b"\0", b"")] if self._WIDE_LIKE.search(chunk) else [chunk]
            found = [
                uid
                for text in texts
                for match in self._LIKE.findall(text)
                if (uid := match.translate(_DOTS)).decode() not in UID_dictionary
            ]
            if not found:
                self.remember((chunk,))
            yield from ((uid, chunk) for uid in found)


_DOTS = bytes.maketrans(b"_ ,-", b"....")
_uid_search = _UidSearch()


def uids_stand_in(
    chunks: Iterable[bytes], uids: frozenset[bytes], structural: Collection[int] = frozenset()
) -> bool:
    """Say whether one of the UIDs is written anywhere in the chunks.

    An attribute for UIDs that the policy retains may have the same UID as one that was replaced; not so those for
    ``structural`` UIDs, where no such UID belongs.
    """
    if not uids:
        return False
    lengths = sorted({len(uid) for uid in uids})
    return any(
        not _only_as_retained(chunk, uid, structural)
        for written, chunk in _uid_search.written_in(chunks)
        if len(written) >= lengths[0]
        for uid in _among(uids, lengths, written)
    )


def _among(uids: frozenset[bytes], lengths: list[int], written: bytes) -> Iterator[bytes]:
    """Yield those that begin with a number of ``written``: looked up by length, however many UIDs there are."""
    at = 0
    while True:
        for length in lengths:
            if at + length > len(written):
                break
            if written[at : at + length] in uids:
                yield written[at : at + length]
        at = written.find(b".", at) + 1
        if not at:
            return


def _only_as_retained(chunk: bytes, uid: bytes, structural: Collection[int]) -> bool:
    """Say whether a UID stands in a chunk of elements only as the value of an attribute that keeps UIDs."""
    at = chunk.find(uid)
    while at >= 0:
        group, element = _tag_at(chunk, at - 8) if at >= 8 else (0, 0)
        tag = group << 16 | element
        if tag in structural or _vr_of(tag) != "UI":
            return False
        at = chunk.find(uid, at + 1)
    return uid in chunk


_tag_at = struct.Struct("<HH").unpack_from


@cache
def _vr_of(tag: int) -> str:
    return dictionary_VR(tag) if dictionary_has_tag(tag) else ""
