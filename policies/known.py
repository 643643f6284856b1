"""What the input itself says about the person, as byte strings to look for in everything that is kept.

Stage 1 knows the patient: his names, identifiers, addresses, his day of birth. Whatever it keeps is searched for them,
in any case, order and punctuation, and in the character sets of DICOM, declared or not (PS3.15 E.1.1: protecting an
attribute protects its value wherever else it is written). Two searches look for the same words:

    :class:`KnownSearch` over the joined bytes of an instance: quick, and finds too much rather than too little
    :func:`names_somebody`, :func:`hidden_in` in one value: with the borders of words and numbers

The first decides whether the second is asked, so it must find whatever the second finds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from policies.births import Birth
from policies.elements import KNOWN_VRS
from policies.figures import stand_only_in_numbers
from policies.legality import defined_terms
from policies.remembered import remembered
from policies.respelling import Respelled
from policies.text import safe_words

_WORD = re.compile(rb"[0-9a-z\x80-\xff]+")
_YEAR = re.compile(rb"(?:19|20)\d\d")
_WIDE = re.compile(rb"(?:[\x20-\x7e]\0){3,}|(?:\0[\x20-\x7e]){3,}")
"""A run of ASCII characters in UTF-16, little or big endian."""
_TEXT_RUN = re.compile(rb"[0-9A-Za-z\x80-\xff ^=_.,:;/@+()'-]{12,}")
"""What can hardly be anything but text in the middle of binary data."""

_SHORTEST_WORD = 3
_SHORTEST_NUMBER = 4
_LONG = 5
"""From this length on, letters mean something inside a longer word too."""
_SHORTEST_COMPACT = 4
_APART = 7
"""From this length on, letters mean something with signs and spaces between them."""
_NUMBERS_THAT_TELL = 6
_MOST_REMEMBERED = 1 << 22
_WHOLE_TEXT = 64

_PUNCTUATION = bytes(code for code in range(0x80) if not chr(code).isalnum())
_NO_FIGURES = bytes(code for code in range(0x100) if not 0x30 <= code <= 0x39)
_LOWER = bytes(ord(chr(code).lower()) if code != 0xD7 else code for code in range(0x100))
_WORD_BYTES = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz") | frozenset(range(0x80, 0x100))
_AFTER_A_TAG = frozenset(b"\0\x20\x7f\xff")
"""Second bytes of the tags that may follow a value directly: groups 00xx, 20xx and 7Fxx, and items."""

_COMMON = frozenset(
    b"street road avenue hospital clinic doctor prof strasse str platz weg rue via calle place square city town north"
    b" south east west floor apt house haus germany deutschland usa france italia espana schweiz austria".split()
)
"""Words of addresses and institutions that name nobody."""

_OF_INSTITUTIONS = frozenset(
    b"general medical center centre centrum zentrum hospitals klinik kliniken klinikum clinics university"
    b" universitaet universitat universitaetsklinikum universitatsklinikum universite universidad"
    b" universita krankenhaus ospedale hopital hospitalier radiology radiologie radiologia radiological"
    b" imaging image department dept abteilung institut institute institution health healthcare care saint"
    b" sankt medicine medizin research national international regional community memorial veterans children"
    b" womens surgery oncology cardiology neurology diagnostic diagnostics diagnostik praxis practice group"
    b" systems system service services mobile trailer room main campus building ward unit site test demo"
    b" anonymous unknown none siemens philips toshiba canon hitachi fujifilm agfa kodak carestream hologic"
    b" varian elekta samsung shimadzu neusoft mindray esaote bruker accuray electric united konica minolta"
    b" olympus zeiss healthineers scanner workstation station console server pacs gems".split()
)
"""Words in the names of institutions, departments and stations that many share, and those of manufacturers."""

_PLACEHOLDERS = frozenset(b"none unknown removed anonymous anonymized patient subject".split())


@dataclass(frozen=True, slots=True, repr=False)
class KnownWords:
    """What names the subject of an instance, or another person in it: lower case, bytes beyond ASCII as they are.

    ``telling`` are words that say something on their own. ``unmistakable`` are those that can hardly stand anywhere
    by chance: at least five letters and no safe word, or eight digits. ``compact`` are identifiers, names and words of
    other alphabets without spaces and punctuation, to be found in a text without its own. ``written`` are sequences of
    bytes that count as they are. ``places`` are words of institutions, ``sites`` their whole names; only free texts are
    searched for them. ``numbers`` are those that a decimal string may not be. ``birth`` is the day of birth.
    """

    telling: frozenset[bytes] = frozenset()
    unmistakable: frozenset[bytes] = frozenset()
    compact: frozenset[bytes] = frozenset()
    written: frozenset[bytes] = frozenset()
    places: frozenset[bytes] = frozenset()
    sites: frozenset[bytes] = frozenset()
    numbers: frozenset[bytes] = frozenset()
    birth: Birth | None = None

    @property
    def words(self) -> frozenset[bytes]:
        """All that a safe word may not be."""
        return self.telling | self.places


def words_of(raw: bytes) -> frozenset[bytes]:
    """Return the words of a value in lower case; bytes beyond ASCII stand for themselves (any character set)."""
    words = set(_WORD.findall(raw.translate(_LOWER)))
    if b"\0" in raw:
        for run in _WIDE.findall(raw):
            words.update(_WORD.findall(run.translate(_LOWER, b"\0")))
    return frozenset(words)


def compacted(raw: bytes) -> bytes:
    """Return the letters and digits of a value in lower case."""
    return raw.translate(_LOWER, _PUNCTUATION)


@lru_cache(maxsize=256)
def known_words(
    names: frozenset[bytes],
    identifiers: frozenset[bytes],
    places: frozenset[bytes] = frozenset(),
    *,
    addresses: frozenset[bytes] = frozenset(),
    further: Respelled | None = None,
    retained: frozenset[bytes] = frozenset(),
    birth: Birth | None = None,
) -> KnownWords:
    """Return what to search for, from names of persons, other identifying values, and values that name a place.

    ``further`` are the same names and values in other spellings. Words of the ``retained`` values, which the policy
    keeps where they stand, are not searched for as parts of one of the ``addresses`` (the town of the hospital in the
    patient's); whole addresses are. Safe words in an identifier identify nobody; as a whole it does. Words below three
    letters and numbers below four digits occur everywhere; alone they are left out. Shorter numbers occur inside UIDs,
    numbers that could be dates among dates, and safe words inside code strings.
    """
    further = further or Respelled()
    harmless = safe_words() | defined_terms()
    stays = frozenset[bytes]().union(*map(words_of, retained))
    numbered = frozenset(
        word
        for word in frozenset[bytes]().union(*map(words_of, identifiers)) - _COMMON
        if word.decode("latin-1") not in harmless
    )
    addressed = frozenset[bytes]().union(*map(words_of, addresses)) - _COMMON - stays
    identifiers |= addresses
    words = _words_of_names(names) | numbered | addressed | further.words
    words -= _PLACEHOLDERS
    telling = frozenset(word for word in words if _tells(word) and not _YEAR.fullmatch(word))
    unmistakable = frozenset(
        word
        for word in telling
        if len(word) >= (8 if word.isdigit() else _LONG)
        and word.decode("latin-1") not in harmless
        and not _DATE.fullmatch(word)
    )
    compact = {compacted(value) for value in identifiers if b"\x1b" not in value}
    compact |= {form for name in names for form in _joined_names(name)} | further.compact
    compact |= {form for name in names for form in _escaped_parts(name)}
    # The figures alone of an identifier with letters are an identifier still.
    compact |= {
        figures
        for value in identifiers
        if b"\x1b" not in value and len(figures := value.translate(None, _NO_FIGURES)) >= _NUMBERS_THAT_TELL
    }
    numbers = {word.lstrip(b"0") for word in compact if word.isdigit()}
    compact |= numbers
    named = frozenset(
        word
        for word in frozenset[bytes]().union(*map(words_of, places)) - _COMMON - _OF_INSTITUTIONS - stays
        if len(word) >= 4 and not word.isdigit() and word.decode("latin-1") not in safe_words()
    )
    named -= _PLACEHOLDERS
    sites = {
        whole
        for place in places
        if len(whole := compacted(place)) >= 8
        and not words_of(place).isdisjoint(named)
        and not any(whole in compacted(value) for value in retained)
    }
    return KnownWords(
        telling,
        unmistakable | further.unmistakable,
        frozenset(
            word
            for word in compact - _PLACEHOLDERS
            if len(word) >= (_LONG if word.isdigit() else _SHORTEST_COMPACT) or word in further.compact
        ),
        further.written,
        named,
        frozenset(sites),
        frozenset(
            number for number in numbers if len(number) >= _NUMBERS_THAT_TELL and not _DATE.fullmatch(number)
        )
        | (birth.numbers if birth else frozenset()),
        birth,
    )


_DATE = re.compile(rb"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


def _tells(word: bytes) -> bool:
    return len(word) >= (_SHORTEST_NUMBER if word.isdigit() else _SHORTEST_WORD)


def _words_of_names(names: Iterable[bytes]) -> frozenset[bytes]:
    """Return the words of names; what stands in an escaped character set is no ASCII, whatever its bytes look like."""
    parts = (part for name in names for part in re.split(rb"[\^=]", name) if b"\x1b" not in part)
    return frozenset[bytes]().union(*map(words_of, parts))


def _joined_names(name: bytes) -> Iterator[bytes]:
    for group in name.split(b"="):
        if b"\x1b" in group:
            continue
        family, _, given = (part.strip(b" \0") for part in group.partition(b"^"))
        given = given.split(b"^")[0].strip()
        for part in (family, given):
            if not part.isalnum():
                yield compacted(part)  # a double name, written in one
        if family and given:
            yield compacted(family + given)
            yield compacted(given + family)


def _escaped_parts(name: bytes) -> Iterator[bytes]:
    """Yield the parts of a name in a character set of its own, as bytes, wherever its escapes may stand elsewhere."""
    if b"\x1b" in name:
        for part in re.split(rb"[\^=]", name):
            form = compacted(_ESCAPES.sub(b"", part))
            if len(form) >= _SHORTEST_COMPACT and not form.isascii():
                yield form


_ESCAPES = re.compile(rb"\x1b\$[()*+,-]?[@-Z]|\x1b[()*+,.-][0-9@-Z]")


@remembered(8192)
def names_somebody(raw: bytes, known: KnownWords) -> bool:
    """Say whether a text names somebody: by a telling word, or anywhere in it by what is unmistakable or compact."""
    if not known.telling.isdisjoint(words_of(raw)):
        return True
    flat = raw.translate(_LOWER, b"\0")
    anywhere, apart, written = _alternatives(known)
    return (
        anywhere.search(flat) is not None
        or apart.search(compacted(raw)) is not None
        or written.search(raw.translate(_LOWER)) is not None
        or (known.birth is not None and known.birth.is_written_in(flat))
    )


@lru_cache(maxsize=32)
def _alternatives(known: KnownWords) -> tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    """Return what counts anywhere in a text, what counts without its punctuation too, and what counts as it is."""
    apart = known.compact | {word for word in known.unmistakable if len(word) >= _APART}
    return _any_of(known.unmistakable), _any_of(apart), _any_of(known.written)


def _any_of(words: Iterable[bytes]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(map(re.escape, sorted(_shortest(words)))) or rb"(?!)")


@remembered(8192)
def names_a_place(raw: bytes, known: KnownWords) -> bool:
    """Say whether a text names an institution that the instance may not name."""
    if not known.places.isdisjoint(words_of(raw)):
        return True
    compact = compacted(raw)
    return any(site in compact for site in known.sites)


def names_in_letters(raw: bytes, known: KnownWords) -> bool:
    """Say whether a word that names somebody stands in a value that should be a date, a time or a number."""
    if _NO_WORD.fullmatch(raw):
        return False
    letters = frozenset(word for word in words_of(raw) if not word.isdigit())
    flat = raw.translate(_LOWER, b"\0")
    return not known.telling.isdisjoint(letters) or any(
        word in flat for word in known.unmistakable if not word.isdigit()
    )


_NO_WORD = re.compile(rb"[0-9 .+:\\\0-]*")


def is_known_number(raw: bytes, known: KnownWords) -> bool:
    """Say whether one of the numbers of a decimal string is, as a whole, an identifier or the day of birth."""
    return any(part.strip(b" \0").lstrip(b"+0") in known.numbers for part in raw.split(b"\\"))


def hidden_in(raw: bytes, known: KnownWords) -> bool:
    """Say whether binary data names somebody: anywhere by an unmistakable word, or in what can only be text."""
    flat, lower = raw.translate(_LOWER, b"\0"), raw.translate(_LOWER)
    if any(word in flat for word in known.unmistakable) or any(word in lower for word in known.written):
        return True
    if len(raw) <= _WHOLE_TEXT:
        compact = compacted(raw)
        if any(word in compact for word in known.compact if len(word) >= _SHORTEST_COMPACT):
            return True
        if _TEXT.fullmatch(raw):
            return names_somebody(raw, known)
    runs = (
        *_TEXT_RUN.findall(raw),
        *(run.replace(b"\0", b"") for run in _WIDE.findall(raw) if len(run) > 15),
    )
    return any(names_somebody(run, known) for run in runs)


_TEXT = re.compile(rb"(?:[\x20-\x7e]+|(?:[\x20-\x7e]\0)+|(?:\0[\x20-\x7e])+)[\0 ]*")


class Remembering:
    """Tells what has not been found clear before. Most of a header is the same in a whole series."""

    def __init__(self) -> None:
        self._clear: set[bytes] = set()
        self._remembered = 0

    def news(self, chunks: Iterable[bytes]) -> list[bytes]:
        """Return the chunks that are not known to be clear."""
        clear = self._clear
        return [chunk for chunk in chunks if chunk not in clear]

    def remember(self, chunks: Iterable[bytes]) -> None:
        """Remember that these are clear."""
        for chunk in chunks:
            self._clear.add(chunk)
            self._remembered += len(chunk)
        if self._remembered > _MOST_REMEMBERED:
            self._clear.clear()
            self._remembered = 0


class KnownSearch(Remembering):
    """Says whether anything that is known may stand in what stays of an instance.

    It looks at whole runs of elements and knows no value from the next one, so it may be wrong when it finds
    something; it is never wrong when it finds nothing.
    """

    def __init__(self, known: KnownWords) -> None:
        super().__init__()
        short = {word for word in known.telling | known.places if len(word) < _LONG}
        needles = {compacted(word) for word in (known.telling | known.places) - short}
        needles |= {compacted(word) for word in known.unmistakable}
        needles |= known.compact | known.sites | known.numbers
        self._needles = tuple(sorted(_shortest(needles)))
        self._short = tuple((word, b"\0".join(bytes((code,)) for code in word)) for word in sorted(short))
        self._written = tuple(sorted(known.written))
        self._birth = known.birth
        self._known = known

    def finds_in_any(self, chunks: Iterable[bytes]) -> bool:
        """Say whether any of the words may stand in any of the chunks."""
        news = self.news(chunks)
        if not news:
            return False
        joined = b"\0\xff\0".join(news)
        if self._finds(joined):
            return True
        self.remember(news)
        return False

    def _finds(self, joined: bytes) -> bool:
        compact = joined.translate(_LOWER, _PUNCTUATION)
        for needle in self._needles:
            if needle in compact and not self._is_chance(joined, needle):
                return True
        lower = joined.translate(_LOWER)
        for word, wide in self._short:
            if word in lower and _stands_alone(joined, lower, word) and not self._is_chance(joined, word):
                return True
            if wide in lower:
                return True
        if any(word in lower for word in self._written):
            return True
        return self._birth is not None and self._birth.may_stand_in(joined.translate(_LOWER, b"\0"), compact)

    def _is_chance(self, joined: bytes, word: bytes) -> bool:
        """Say whether a number is only made of digits of several decimal strings, where it is not looked for."""
        known = self._known
        return word.isdigit() and stand_only_in_numbers(
            joined, word, lambda value: is_known_number(value, known)
        )


def _shortest(needles: Iterable[bytes]) -> set[bytes]:
    """Return the needles that contain no other one."""
    kept: list[bytes] = []
    for needle in sorted(needles, key=len):
        if not any(shorter in needle for shorter in kept):
            kept.append(needle)
    return set(kept)


def _stands_alone(joined: bytes, lower: bytes, word: bytes) -> bool:
    """Say whether a word stands somewhere without a letter or digit before and behind it.

    Before a value, its length may end with what looks like a letter; behind it, the next element's tag may begin so.
    """
    at = lower.find(word)
    while at >= 0:
        end = at + len(word)
        begins = not at or lower[at - 1] not in _WORD_BYTES or joined[max(0, at - 4) : at - 2] in KNOWN_VRS
        if begins and (
            end + 1 >= len(lower) or lower[end] not in _WORD_BYTES or lower[end + 1] in _AFTER_A_TAG
        ):
            return True
        at = lower.find(word, at + 1)
    return False


class UnmistakableSearch(Remembering):
    """Says whether a word that can hardly stand anywhere by chance stands in what stays of an instance."""

    def __init__(self, known: KnownWords) -> None:
        super().__init__()
        self._words = tuple(sorted(_shortest(known.unmistakable)))

    def finds_in_any(self, chunks: Iterable[bytes]) -> bool:
        """Say whether any of the words stands in any of the chunks."""
        news = self.news(chunks)
        flat = b"\xff\0".join(chunk.translate(_LOWER, b"\0") for chunk in news)
        if any(word in flat for word in self._words):
            return True
        self.remember(news)
        return False


@lru_cache(maxsize=32)
def unmistakable_search_for(known: KnownWords) -> UnmistakableSearch:
    """Return the search for these words that this process has used before, with what it remembers."""
    return UnmistakableSearch(known)


@lru_cache(maxsize=32)
def search_for(known: KnownWords) -> KnownSearch:
    """Return the search for these words that this process has used before, with what it remembers."""
    return KnownSearch(known)
