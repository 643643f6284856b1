"""Decompressing the frames of an image, one at a time (PS3.5 section 8.2, annex A.4).

What a codec gives is what goes onto the medium: no colour is converted, so that lossless stays lossless and the
pixels of lossy images are those that any decoder sees. What the header has to say of the result comes back with it.
The codecs are GDCM for JPEG, CharLS for JPEG-LS, OpenJPEG for JPEG 2000 and HTJ2K, and pydicom for RLE.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, BinaryIO

import numpy as np
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder

from media.errors import UnreadableInstance

_FAMILY = "1.2.840.10008.1.2.4."
_RLE = "1.2.840.10008.1.2.5"
_JPEG_LS = (_FAMILY + "80", _FAMILY + "81")
_DCT = (_FAMILY + "50", _FAMILY + "51")
_JPEG = (*_DCT, _FAMILY + "57", _FAMILY + "70")
_METHODS = {
    **dict.fromkeys(_DCT, "ISO_10918_1"),
    _FAMILY + "81": "ISO_14495_1",
    _FAMILY + "91": "ISO_15444_1",
    _FAMILY + "203": "ISO_15444_15",
}
_IRREVERSIBLE = 0  # the 9-7 wavelet, in the coding style of a JPEG 2000 codestream


@dataclass(frozen=True, slots=True, repr=False)
class Shape:
    """What the header says of one frame and of their number."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: int
    photometric: str
    planar: int
    frames: int

    @classmethod
    def of(cls, ds: Any) -> Shape:
        """Read it from a data set. Raises AttributeError or ValueError for an image without one."""
        return cls(
            rows=int(ds.Rows),
            columns=int(ds.Columns),
            samples=int(ds.SamplesPerPixel),
            bits_allocated=int(ds.BitsAllocated),
            bits_stored=int(ds.BitsStored),
            signed=int(ds.PixelRepresentation),
            photometric=str(ds.PhotometricInterpretation),
            planar=int(ds.get("PlanarConfiguration") or 0),
            frames=int(ds.get("NumberOfFrames") or 1),
        )

    @property
    def octets(self) -> int:
        """Octets of one frame, uncompressed."""
        return self.rows * self.columns * self.samples * (self.bits_allocated // 8)


@dataclass(frozen=True, slots=True, repr=False)
class Told:
    """What the first frame tells of all: the photometric interpretation and the bits of its decoded pixels, and how
    they were compressed with loss (empty when they were not)."""

    photometric: str
    bits_stored: int
    lossy_method: str


@dataclass(frozen=True, slots=True, repr=False)
class Encoded:
    """Encapsulated pixel data in a file, from the value's first octet on."""

    file: BinaryIO = field(repr=False)
    start: int
    transfer_syntax_uid: str
    shape: Shape
    offsets: tuple[bytes, bytes] | None = None

    def told(self) -> Told:
        """Look at the first frame. Raises :class:`UnreadableInstance` when there is none."""
        for frame in self._encoded_frames():
            return _told(frame, self.transfer_syntax_uid, self.shape)
        raise UnreadableInstance("malformed", "an image has no frame")

    def frames(self) -> Iterator[bytes]:
        """Yield the frames, decompressed, colour by pixel, little endian.

        Raises :class:`UnreadableInstance` when one is not as large as the header says or one is missing.
        """
        count = 0
        for frame in self._decoded():
            if len(frame) != self.shape.octets:
                raise UnreadableInstance(
                    "malformed", "a decompressed frame is not as large as its header says"
                )
            count += 1
            yield frame
        if count != self.shape.frames:
            raise UnreadableInstance("malformed", "an image has not as many frames as its header says")

    def _encoded_frames(self) -> Iterator[bytes]:
        self.file.seek(self.start)
        yield from generate_frames(
            self.file, number_of_frames=self.shape.frames, extended_offsets=self.offsets
        )

    def _decoded(self) -> Iterator[bytes]:
        if self.transfer_syntax_uid == _RLE:
            yield from self._run_lengths()
            return
        for encoded in self._encoded_frames():
            if self.transfer_syntax_uid in _JPEG:
                yield _jpeg(encoded, self.transfer_syntax_uid, self.shape)
            elif self.transfer_syntax_uid in _JPEG_LS:
                yield _jpeg_ls(encoded, self.shape)
            else:
                yield _jpeg_2000(encoded, self.shape)

    def _run_lengths(self) -> Iterator[bytes]:
        shape = self.shape
        self.file.seek(self.start)
        decoded = get_decoder(_RLE).iter_buffer(
            self.file,
            raw=True,
            rows=shape.rows,
            columns=shape.columns,
            samples_per_pixel=shape.samples,
            bits_allocated=shape.bits_allocated,
            bits_stored=shape.bits_stored,
            pixel_representation=shape.signed,
            photometric_interpretation=shape.photometric,
            planar_configuration=shape.planar,
            number_of_frames=shape.frames,
            pixel_keyword="PixelData",
            extended_offsets=self.offsets,
            decoding_plugin="pydicom",
        )
        for frame, said in decoded:
            yield _by_pixel(bytes(frame), shape) if said.get("planar_configuration") else bytes(frame)


def _by_pixel(frame: bytes, shape: Shape) -> bytes:
    """Turn colour by plane into colour by pixel."""
    if shape.samples == 1:
        return frame
    planes = np.frombuffer(frame, dtype=f"<u{shape.bits_allocated // 8}").reshape(shape.samples, -1)
    return np.ascontiguousarray(planes.T).tobytes()


def _widened(frame: bytes, bits: int, shape: Shape) -> bytes:
    """Bring samples that a codec gives in fewer octets than the header allocates into as many."""
    held = 8 if bits <= 8 else 16 if bits <= 16 else 32
    if held == shape.bits_allocated:
        return frame
    if held > shape.bits_allocated:
        raise UnreadableInstance("malformed", "a compressed image has more bits than its header says")
    kind = "i" if shape.signed else "u"
    return (
        np.frombuffer(frame, dtype=f"<{kind}{held // 8}")
        .astype(f"<{kind}{shape.bits_allocated // 8}")
        .tobytes()
    )


@cache
def _gdcm() -> Any:
    import gdcm  # slow to load, and seldom needed

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    return gdcm


def _jpeg(encoded: bytes, transfer_syntax_uid: str, shape: Shape) -> bytes:
    gdcm = _gdcm()
    bits, rows, columns, samples = _frame_header(encoded)
    if (rows, columns, samples) != (shape.rows, shape.columns, shape.samples):
        raise UnreadableInstance("malformed", "a compressed frame has another size than its header says")
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(encoded)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(shape.photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    if samples > 1:
        image.SetPlanarConfiguration(0)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(transfer_syntax_uid)))
    image.SetPixelFormat(gdcm.PixelFormat(samples, 8 if bits <= 8 else 16, bits, bits - 1, shape.signed))
    # GDCM gives octets as text with surrogates.
    return _widened(image.GetBuffer().encode("utf-8", "surrogateescape"), bits, shape)


def _jpeg_ls(encoded: bytes, shape: Shape) -> bytes:
    import jpeg_ls

    frame, said = jpeg_ls.decode_pixel_data(encoded)
    wide = _widened(bytes(frame), int(said["bits_per_sample"]), shape)
    return _by_pixel(wide, shape) if said["components"] > 1 and said["interleave_mode"] == 0 else wide


def _jpeg_2000(encoded: bytes, shape: Shape) -> bytes:
    import openjpeg

    bits = int(openjpeg.get_parameters(encoded)["precision"])
    frame = openjpeg.decode_pixel_data(
        encoded,
        version=2,
        rows=shape.rows,
        columns=shape.columns,
        samples_per_pixel=shape.samples,
        bits_stored=shape.bits_stored,
        photometric_interpretation=shape.photometric,
        pixel_representation=shape.signed,
    )
    return _widened(bytes(frame), bits, shape)


def _told(encoded: bytes, transfer_syntax_uid: str, shape: Shape) -> Told:
    photometric = shape.photometric
    lossy, bits = transfer_syntax_uid in _DCT, 0
    if transfer_syntax_uid in _DCT:
        # The codec gives one Cb and Cr for each pixel. A header may say RGB of a stream that says YCbCr.
        if photometric == "YBR_FULL_422" or (photometric == "RGB" and _says_ycbcr(encoded)):
            photometric = "YBR_FULL"
    elif transfer_syntax_uid in _JPEG_LS:
        import jpeg_ls

        said = jpeg_ls.decode_pixel_data(encoded)[1]
        lossy, bits = int(said["allowed_lossy_error"]) > 0, int(said["bits_per_sample"])
    elif transfer_syntax_uid != _RLE and transfer_syntax_uid not in _JPEG:
        import openjpeg

        bits = int(openjpeg.get_parameters(encoded)["precision"])
        photometric = "RGB" if photometric in ("YBR_RCT", "YBR_ICT") else photometric
        lossy = _wavelet(encoded) == _IRREVERSIBLE
    if transfer_syntax_uid in _JPEG:
        bits = _frame_header(encoded)[0]
    # A stream may have more bits than the header says; its samples then have them too.
    return Told(
        photometric, max(bits, shape.bits_stored), _METHODS.get(transfer_syntax_uid, "") if lossy else ""
    )


def _segments(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of the segments of a JPEG stream before its first scan."""
    place = 2
    while place + 4 <= len(encoded) and encoded[place] == 0xFF:
        marker = encoded[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        length = struct.unpack_from(">H", encoded, place + 2)[0]
        yield marker, encoded[place + 4 : place + 2 + length]
        if marker == 0xDA:
            return
        place += 2 + length


def _frame_header(encoded: bytes) -> tuple[int, int, int, int]:
    """Return precision, rows, columns and components as the stream says."""
    for marker, content in _segments(encoded):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(content) >= 6:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", content)
            return bits, rows, columns, samples
    raise UnreadableInstance("malformed", "a compressed frame has no header")


def _says_ycbcr(encoded: bytes) -> bool:
    """Whether a JPEG stream says by its JFIF or Adobe segment that it holds YCbCr."""
    for marker, content in _segments(encoded):
        if marker == 0xEE and content.startswith(b"Adobe") and len(content) >= 12:
            return content[11] == 1
        if marker == 0xE0 and content.startswith(b"JFIF"):
            return True
    return False


def _wavelet(encoded: bytes) -> int:
    """Return the transformation that the main header of a JPEG 2000 codestream names."""
    start = encoded.find(b"\xff\x4f\xff\x51")
    place = encoded.find(b"\xff\x52", start)
    if start < 0 or place < 0 or place + 13 >= len(encoded):
        raise UnreadableInstance("malformed", "a compressed frame has no header")
    return encoded[place + 13]
