"""Nothing that somebody wrote beside a compressed image stays in its frames, and no other byte changes."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from policies.errors import Held, Refusal
from policies.pixels.overwritten import BLOCK
from tests.policies.pixels.builders import (
    DEFLATED_FRAMES,
    HTJ2K,
    JPEG,
    JPEG_2000,
    JPEG_LS,
    PLANTED,
    RLE,
    UNCOMPRESSED,
    a_jp2,
    a_jpeg,
    a_jpeg_2000,
    a_jpeg_ls,
    a_policy,
    an_image,
    an_rle,
    box,
    carried,
    compressed,
    encapsulated,
    in_fragments,
    saved,
    segment,
)

_JFIF = b"JFIF\0\1\2\0\0\1\0\1"
_DEFLATE = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
_DEFLATED = _DEFLATE.compress(bytes(64)) + _DEFLATE.flush()

PLACES = {
    "a JPEG comment": (JPEG, a_jpeg(head=segment(0xFE, PLANTED))),
    "a JPEG comment behind fill bytes": (JPEG, a_jpeg(head=b"\xff\xff" + segment(0xFE, PLANTED))),
    "Exif": (JPEG, a_jpeg(head=segment(0xE1, b"Exif\0\0" + PLANTED))),
    "an ICC profile": (JPEG, a_jpeg(head=segment(0xE2, b"ICC_PROFILE\0" + PLANTED))),
    "Photoshop's segment": (JPEG, a_jpeg(head=segment(0xED, b"Photoshop 3.0\0" + PLANTED))),
    "the thumbnail of JFIF": (JPEG, a_jpeg(head=segment(0xE0, _JFIF + b"\1\4" + PLANTED[:12]))),
    "the extension of JFIF": (JPEG, a_jpeg(head=segment(0xE0, b"JFXX\0" + PLANTED))),
    "behind Adobe's transform": (JPEG, a_jpeg(head=segment(0xEE, b"Adobe\0\x64\0\0\0\0\1" + PLANTED))),
    "the directory of SPIFF": (JPEG, a_jpeg(head=segment(0xE8, b"\0\0\0\2" + PLANTED))),
    "between two scans": (JPEG, a_jpeg(between=segment(0xFE, PLANTED))),
    "an application segment between two scans": (JPEG, a_jpeg(between=segment(0xE5, PLANTED))),
    "behind the end of a JPEG frame": (JPEG, a_jpeg(behind=PLANTED)),
    "another image behind the end": (JPEG, a_jpeg(behind=a_jpeg(head=segment(0xFE, PLANTED)))),
    "a JPEG-LS comment": (JPEG_LS, a_jpeg_ls(head=segment(0xFE, PLANTED))),
    "a JPEG-LS application segment": (JPEG_LS, a_jpeg_ls(head=segment(0xE8, PLANTED))),
    "behind the end of a JPEG-LS frame": (JPEG_LS, a_jpeg_ls(behind=PLANTED)),
    "a JPEG 2000 comment": (JPEG_2000, a_jpeg_2000(main=segment(0x64, b"\0\1" + PLANTED))),
    "a comment of a tile-part": (JPEG_2000, a_jpeg_2000(tile=segment(0x64, b"\0\1" + PLANTED))),
    "a comment of HTJ2K": (
        HTJ2K,
        a_jpeg_2000(main=segment(0x50, bytes(6)) + segment(0x64, b"\0\0" + PLANTED)),
    ),
    "behind the end of a codestream": (JPEG_2000, a_jpeg_2000(behind=PLANTED)),
    "behind a tile of no told length": (JPEG_2000, a_jpeg_2000(open_end=True, behind=PLANTED)),
    "XML in a JP2 file": (JPEG_2000, a_jp2(boxes=box(b"xml ", PLANTED))),
    "a UUID box": (JPEG_2000, a_jp2(boxes=box(b"uuid", bytes(16) + PLANTED))),
    "UUID information": (JPEG_2000, a_jp2(boxes=box(b"uinf", box(b"url ", PLANTED)))),
    "a box that nobody knows": (JPEG_2000, a_jp2(boxes=box(b"what", PLANTED))),
    "free space": (JPEG_2000, a_jp2(boxes=box(b"free", PLANTED))),
    "a label among the headers": (JPEG_2000, a_jp2(header=box(b"lbl ", PLANTED))),
    "a second image in the file": (
        JPEG_2000,
        a_jp2() + box(b"jp2c", a_jpeg_2000(main=segment(0x64, PLANTED))),
    ),
    "behind the boxes": (JPEG_2000, a_jp2() + PLANTED[:7]),
    "behind the last RLE segment": (RLE, an_rle(between=PLANTED)),
    "the unused offsets of RLE": (RLE, an_rle(offsets=PLANTED)),
    "behind a deflated frame": (DEFLATED_FRAMES, _DEFLATED + PLANTED),
    "behind an uncompressed frame": (UNCOMPRESSED, bytes(64) + PLANTED[:1]),
}
SOME = PLANTED[:7]


def through(ds: Dataset, folder: Path, **changes: object) -> tuple[bytes, bytes]:
    """The value of Pixel Data before and after a policy, as it stands in the files."""
    out = carried(saved(ds, folder / "in.dcm"), a_policy(**changes), folder / "out.dcm")
    return ds.PixelData, out.PixelData


def blanked(frame: bytes) -> set[int]:
    """The places of a frame where planted words may stand."""
    return {at for at in range(len(frame)) if frame[at : at + 1]}


@pytest.mark.parametrize("place", [place for place in PLACES if place != "behind an uncompressed frame"])
@pytest.mark.parametrize("size", [1 << 20, 6])
def test_words_beside_the_image_are_blanked_in_place(tmp_path: Path, place: str, size: int) -> None:
    """Wherever words stand in a frame, in one fragment or in many, they become zeros; lengths and the rest stay."""
    syntax, frame = PLACES[place]
    frame += b"\0" * (len(frame) % 2)
    if (size == 6 and "box" in place) or (size == 6 and frame[4:8] == b"jP  "):
        size = 1 << 10  # the name of a box does not lie in two fragments
    before, after = through(compressed(in_fragments(frame, size), syntax), tmp_path)
    assert len(after) == len(before)
    assert SOME not in after
    assert SOME not in b"".join(in_fragments_of(after))
    for old, new in zip(before, after, strict=True):
        assert new in (old, 0) or new in b"free"


def in_fragments_of(value: bytes) -> list[bytes]:
    """The contents of the items of a value, the table first."""
    found, at = [], 0
    while at < len(value):
        length = struct.unpack_from("<I", value, at + 4)[0]
        found.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    return found


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (JPEG, a_jpeg()),
        (JPEG, a_jpeg(head=segment(0xE0, _JFIF + b"\0\0"))),
        (JPEG, a_jpeg(head=segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"))),
        (JPEG, a_jpeg(fill=b"\xff\xff\xff")),
        (JPEG, a_jpeg(behind=b"\xff")),
        (JPEG_LS, a_jpeg_ls(head=segment(0xE8, b"mrfx\1"))),
        (JPEG_LS, a_jpeg_ls(head=segment(0xE8, b"SPIFF\0" + bytes(range(24))))),
        (JPEG_LS, a_jpeg_ls(head=segment(0xE8, b"\0\0\0\1\xff\xd8"))),
        (JPEG_2000, a_jpeg_2000()),
        (JPEG_2000, a_jpeg_2000(open_end=True)),
        (JPEG_2000, a_jpeg_2000(end=b"")),
        (JPEG_2000, a_jp2(header=box(b"colr", b"\1\0\0\0\0\0\x11"))),
        (RLE, an_rle()),
        (DEFLATED_FRAMES, _DEFLATED),
        (UNCOMPRESSED, bytes(range(64))),
    ],
)
def test_what_decoding_needs_stays(tmp_path: Path, syntax: str, frame: bytes) -> None:
    """Headers that tell how to decode a frame, and the byte that makes it even, are those of the input."""
    before, after = through(compressed([frame], syntax), tmp_path)
    assert after == before


def test_every_frame_is_looked_through(tmp_path: Path) -> None:
    """Words in the last of several frames go like those in the first, with and without an offset table."""
    frames = [a_jpeg(head=segment(0xFE, PLANTED)) for _ in range(3)]
    frames = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    places = [sum(len(frame) + 8 for frame in frames[:number]) for number in range(3)]
    for table in (b"", struct.pack("<3I", *places)):
        _before, after = through(compressed(frames, JPEG, table=table, NumberOfFrames=3), tmp_path)
        assert SOME not in after
        assert in_fragments_of(after)[0] == table
        (tmp_path / "out.dcm").unlink()


def test_frames_of_several_fragments_are_told_apart(tmp_path: Path) -> None:
    """Frames that are cut into different numbers of fragments are found where streams begin."""
    frame = a_jpeg(head=segment(0xFE, PLANTED)) + b"\0"
    fragments = [*in_fragments(frame, 20), *in_fragments(frame, 50)]
    _, after = through(compressed(fragments, JPEG, NumberOfFrames=2), tmp_path)
    assert SOME not in b"".join(in_fragments_of(after))


@pytest.mark.parametrize("at", [BLOCK - 1, BLOCK, 4096, 4097, 2 * BLOCK - 2])
def test_a_marker_between_two_blocks_is_seen(tmp_path: Path, at: int) -> None:
    """A large scan is searched block by block, and a comment behind it is found wherever the blocks meet."""
    whole = a_jpeg(
        scan=segment(0xDA, b"\1\1\0\0\x3f\0") + bytes(at) + b"\xff\x00", between=segment(0xFE, PLANTED)
    )
    for cut in range(4):
        _, after = through(
            compressed([whole[:2] + segment(0xDD, bytes(2 + cut)) + whole[2:]], JPEG), tmp_path
        )
        assert SOME not in after
        (tmp_path / "out.dcm").unlink()


@pytest.mark.parametrize(
    "table", [PLANTED + b"\0", PLANTED[:4], struct.pack("<I", 4), struct.pack("<2I", 0, 8)]
)
def test_words_in_place_of_an_offset_table_go(tmp_path: Path, table: bytes) -> None:
    """What is no table of the frames is replaced by an empty one, and the frames stay."""
    frame = a_jpeg() + b"\0"
    _, after = through(compressed([frame], JPEG, table=table), tmp_path)
    assert in_fragments_of(after) == [b"", frame[: len(frame) // 2 * 2]]


def test_words_in_an_extended_offset_table_go(tmp_path: Path) -> None:
    """An Extended Offset Table that is one stays, another one goes with its lengths."""
    frame = a_jpeg() + b"\0"
    good = {"ExtendedOffsetTable": bytes(8), "ExtendedOffsetTableLengths": struct.pack("<Q", len(frame))}
    for offsets, stays in ((good, True), ({**good, "ExtendedOffsetTable": PLANTED[:8]}, False)):
        ds = compressed([frame], JPEG, **offsets)
        out = carried(saved(ds, tmp_path / "in.dcm"), a_policy(), tmp_path / "out.dcm")
        assert ("ExtendedOffsetTable" in out) == ("ExtendedOffsetTableLengths" in out) == stays
        (tmp_path / "out.dcm").unlink()


@pytest.mark.parametrize(
    ("syntax", "fragments", "attributes"),
    [
        (JPEG, [a_jpeg_2000()], {}),
        (JPEG_LS, [a_jpeg()], {}),
        (JPEG_2000, [a_jpeg()], {}),
        (JPEG, [PLANTED], {}),
        (JPEG, [a_jpeg()[:-2]], {}),
        (JPEG, [a_jpeg()[:20]], {}),
        (JPEG, [a_jpeg(head=segment(0xF3, PLANTED))], {}),
        (JPEG, [a_jpeg(head=PLANTED)], {}),
        (JPEG, [b"\xff\xd8" + segment(0xFE, PLANTED) + b"\xff\xd9"], {}),
        (JPEG, [a_jpeg(), a_jpeg()], {}),
        (JPEG, [a_jpeg()], {"NumberOfFrames": 2}),
        (JPEG, [], {}),
        (JPEG_2000, [a_jpeg_2000(main=segment(0x30, PLANTED))], {}),
        (JPEG_2000, [a_jpeg_2000()[:-4]], {}),
        (JPEG_2000, [a_jp2()[:60]], {}),
        (RLE, [an_rle((b"\x00\x07",))], {}),
        (RLE, [an_rle((bytes((0xC1, 7)),) * 2)], {}),
        (RLE, [PLANTED * 8], {}),
        (DEFLATED_FRAMES, [PLANTED], {}),
        (DEFLATED_FRAMES, [_DEFLATED], {"Rows": 9}),
        (UNCOMPRESSED, [bytes(64) + PLANTED], {}),
    ],
)
def test_a_stream_that_is_not_what_its_syntax_says_is_held(
    tmp_path: Path, syntax: str, fragments: list[bytes], attributes: dict[str, object]
) -> None:
    """Where nobody can say what stands in the frames, the instance waits for a person."""
    if fragments == [a_jpeg(), a_jpeg()]:
        attributes = {"NumberOfFrames": 3}
    with pytest.raises(Held) as held:
        through(compressed(fragments, syntax, **attributes), tmp_path)
    assert held.value.reason == "unreadable-stream"
    assert held.value.next_step
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("number", ["100", "102", "106.1", "107", "110", "111", "112"])
def test_video_is_held_unless_the_policy_accepts_it(tmp_path: Path, number: str) -> None:
    """What cannot be looked through is held by its own name, and passes as it is when a policy accepts the risk."""
    ds = compressed([b"\0\0\1\xb3" + bytes(12)], f"1.2.840.10008.1.2.4.{number}")
    with pytest.raises(Held) as held:
        through(ds, tmp_path)
    assert held.value.reason == "at-risk-opaque-stream"
    before, after = through(ds, tmp_path, accept=[{"risk": "opaque-stream", "reason": "looked at"}])
    assert after == before


def test_pixels_at_another_place_are_refused(tmp_path: Path) -> None:
    """An instance that only names where its pixels are cannot be vouched for."""
    ds = an_image(
        PixelDataProviderURL="https://hospital.example/patient/4711", syntax="1.2.840.10008.1.2.4.94"
    )
    del ds.PixelData
    with pytest.raises(Refusal) as refused:
        carried(saved(ds, tmp_path / "in.dcm"), a_policy(), tmp_path / "out.dcm")
    assert refused.value.reason == "pixels-elsewhere"


def test_an_address_of_pixels_goes(tmp_path: Path) -> None:
    """Pixel Data Provider URL, which leads to the hospital, goes where it stands beside pixels."""
    ds = an_image(PixelDataProviderURL="https://hospital.example/patient/4711")
    out = carried(saved(ds, tmp_path / "in.dcm"), a_policy(), tmp_path / "out.dcm")
    assert b"hospital.example" not in (tmp_path / "out.dcm").read_bytes()
    assert out.PixelData == ds.PixelData


def test_no_frame_is_held_in_memory(tmp_path: Path) -> None:
    """Many frames are looked through by their markers: reading needs far less memory than the frames."""
    import tracemalloc

    from policies.engine import Engine

    frame = a_jpeg_2000() + bytes(100)
    big = a_jpeg_2000(main=segment(0x64, b"\0\1" + PLANTED))
    body = big[:-2]
    size = 12 + len(b"\xff\x93") + 7
    at = body.rindex(b"\xff\x90")
    huge = body[:at] + segment(0x90, struct.pack(">HIBB", 0, size + (16 << 20), 1, 2)) + body[at + 12 :]
    ds = compressed([huge + bytes(16 << 20) + b"\xff\xd9", frame], JPEG_2000, NumberOfFrames=2)
    path = saved(ds, tmp_path / "in.dcm")
    engine = Engine(a_policy())
    engine.read(path).close()
    tracemalloc.start()
    engine.read(path).close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_two_kinds_of_pixel_data_are_refused(tmp_path: Path) -> None:
    """An image has one kind of pixel data; a second one would not be looked at."""
    ds = an_image(FloatPixelData=bytes(256))
    with pytest.raises(Refusal) as refused:
        carried(saved(ds, tmp_path / "in.dcm"), a_policy(), tmp_path / "out.dcm")
    assert refused.value.reason == "malformed"


def test_the_same_frames_are_written_whatever_came_before(tmp_path: Path) -> None:
    """An engine that has seen other instances writes the same bytes as a new one."""
    from policies.engine import Engine
    from tests.policies.pseudonyms_for_tests import CountedPseudonyms

    paths = [
        saved(compressed([frame], syntax), tmp_path / f"in-{number}.dcm")
        for number, (syntax, frame) in enumerate((*PLACES.values(), *PLACES.values()))
        if len(frame) > 65 or syntax != UNCOMPRESSED
    ]
    shared, pseudonyms = Engine(a_policy()), CountedPseudonyms()
    for number, path in enumerate(paths):
        for name, engine in (("shared", shared), ("fresh", Engine(a_policy()))):
            with engine.read(path) as draft:
                engine.write(draft, pseudonyms.resolve([draft.subject]), tmp_path / f"{name}-{number}.dcm")
        shared_bytes = (tmp_path / f"shared-{number}.dcm").read_bytes()
        assert shared_bytes == (tmp_path / f"fresh-{number}.dcm").read_bytes()
        assert encapsulated([]) in shared_bytes


def test_comments_in_very_many_fragments_are_found_in_linear_time(tmp_path: Path) -> None:
    """Neither their number times that of the comments nor that of the reads makes the work."""
    frame = a_jpeg(head=segment(0xFE, b"ab") * 30_000, behind=PLANTED)
    source = saved(compressed(in_fragments(frame, 2), JPEG), tmp_path / "in.dcm")
    out = carried(source, a_policy(), tmp_path / "out.dcm")
    assert PLANTED not in out.PixelData.replace(b"\xfe\xff\x00\xe0\2\0\0\0", b"")


def test_filling_before_a_marker_is_stepped_over_at_once(tmp_path: Path) -> None:
    """Any number of FF may stand before a marker; they are not looked at one by one."""
    from policies.engine import Engine

    source = saved(compressed([a_jpeg(fill=b"\xff" * 500_000)], JPEG), tmp_path / "in.dcm")
    engine, steps = Engine(a_policy()), 0
    engine.read(source).close()

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        engine.read(source).close()
    finally:
        sys.setprofile(None)
    assert steps < 10_000


def test_more_fragments_than_can_be_held_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each fragment lies is held in memory, so their number is bounded."""
    monkeypatch.setattr("policies.scan.MOST_FRAGMENTS", 20)
    source = saved(compressed(in_fragments(a_jpeg(), 2), JPEG), tmp_path / "in.dcm")
    with pytest.raises(Refusal) as refusal:
        carried(source, a_policy(), tmp_path / "out.dcm")
    assert refusal.value.reason == "malformed"
