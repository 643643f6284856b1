"""HTJ2K (PS3.5 A.4.4): pixels of known arrays come onto a medium as they were.

The streams were made of the formulas here with OpenJPH, which none of our codecs is.
"""

from __future__ import annotations

from base64 import b85decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate

from media.instances import EXPLICIT_VR_LITTLE_ENDIAN
from media.placing import place
from media.profiles import Handling
from tests.media.builders import an_instance

LOSSLESS, LOSSLESS_RPCL, LOSSY = (f"1.2.840.10008.1.2.4.{last}" for last in (201, 202, 203))
_ROW, _COLUMN = np.mgrid[0:10, 0:14]
SIGNED = ((17 * _ROW * _ROW + 31 * _COLUMN + 5 * _ROW * _COLUMN) % 4096 - 2048).astype("<i2")
_ROW, _COLUMN = np.mgrid[0:9, 0:11]
COLOUR = np.stack([20 * _ROW + _COLUMN, 255 - 9 * _COLUMN - _ROW, 7 * _ROW * _COLUMN % 256], -1).astype("u1")
SOFT = (8 * _ROW + 6 * _COLUMN).astype("u1")

_SIGNED = b85decode(
    "|4;u>04YEK0000E0000A00000000000000E0000A000000000000EBy0sl|{2mk^A000XAQUDA90ssL30t5s=0smY83LuD("
    "kdTOoi2q~&7XSfIaAj^vP)HzFWpW@eE;2SQGcNy-015yA0001&00IA#zyK|fQ&8kv|4Pfev9Gq}>me=IA^rl+AwV-X0Kfnh"
    "5C8>i00AIw{s5oap2h%&>BH-xdk6pk05P@z{(u7jzyK>?02f;T0F*q4#5?}y0w34li+BJb3_}PZgb+dqAq+zZA%qY@2tZOn"
    "!zUzCb^QVW0{s90_dou>S#m?>Br&o9`28ew0RPz"
)
_COLOUR = b85decode(
    "|4;u>053oQ0000B0000900000000000000B00009000000000000RdB0S5sA2LS>9Pyh%30ssI21OHM03;+TE0RaL81V91*"
    "TmT9nP*_-4P*70+WB?Zc0Z(vcZc0!{AXa5^ATTa6HZC(R|BwI*000000S*8G|C7KKz+y-UY$OE!07d7>yjK9g7Lfh#YfqaX"
    "+AHD!2$%dJ0e?9Fz!rf0Ra+NKt+sakCAc90dA9(-3a9~504e~1Q3xU=ywc}Z00B_x03_#C00R`)0OaRY0Kf|P0apMjz(YXC"
    "Y=)cwApl)qh`d<<hX4Yr^#A|?yjB1Y1xVH901$z^Rsg^XfTl5k58w-S0KgWE0ck)Lpr46;7q!Cx1-r<dZ8V<zI{*Y=fCSWf"
    "6A%1Ay_j_XM}(OG(12dh_W}Nv-N$$s0KgWE0bKxAfbV(#KEL1h{m>v=n3@~Uc>o_i&-?#<@%_-~Y(rK6zn@<}|9{Ybp|Fp4"
    "0095l"
)
_SOFT = b85decode(
    "|4;u>04YEK0000B0000900000000000000B000090000000000009R90sl|{2mk^A001KYQUDA90ssL30t5s=0RLP75h7oP"
    "Py<i{P)1kMSJGEu|6~9c00B>MWo}APNFY{aav(4+GBz$VF8`1K3IG5A002|~0soW03sAMw-MGn>#2W(l{s0h{{6YbFxd6Zw"
    "ums?`0bmOFKmZot2>G}GNDT4}`LqDQ6%YkT%>D&0U5OR|f<Qk1W%cSf0RPz"
)


def on_a_medium(folder: Path, stream: bytes, syntax: str, pixels: Any, photometric: str, stored: int) -> Any:
    """What becomes of an image of two frames, each of them this stream."""
    ds = an_instance()
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.NumberOfFrames = 2
    ds.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    ds.PhotometricInterpretation = photometric
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = pixels.itemsize * 8, stored, stored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.PixelData = encapsulate([stream, stream])
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(folder / "source", enforce_file_format=True)
    place(folder / "source", folder / "out", Handling.REWRITE)
    found = dcmread(folder / "out")
    assert found.file_meta.TransferSyntaxUID == EXPLICIT_VR_LITTLE_ENDIAN
    return found


@pytest.mark.parametrize("syntax", [LOSSLESS, LOSSLESS_RPCL])
def test_grey_values_are_the_same(tmp_path: Path, syntax: str) -> None:
    """Signed values of both frames are those of the array, and the image is not called lossy."""
    ds = on_a_medium(tmp_path, _SIGNED, syntax, SIGNED, "MONOCHROME2", 16)
    assert (ds.pixel_array == np.stack([SIGNED, SIGNED])).all()
    assert ds.PixelRepresentation == 1
    assert "LossyImageCompression" not in ds


def test_colours_are_the_same(tmp_path: Path) -> None:
    """The reversible colour transform of the stream is taken back, and the pixels are called RGB."""
    ds = on_a_medium(tmp_path, _COLOUR, LOSSLESS, COLOUR, "YBR_RCT", 8)
    assert ds.PhotometricInterpretation == "RGB"
    assert (ds.pixel_array == np.stack([COLOUR, COLOUR])).all()


def test_what_lost_something_says_so(tmp_path: Path) -> None:
    """Of the irreversible wavelet each pixel is near the array's, and the header says how it was compressed."""
    ds = on_a_medium(tmp_path, _SOFT, LOSSY, SOFT, "MONOCHROME2", 8)
    assert abs(ds.pixel_array.astype(int) - SOFT).max() <= 1
    assert (ds.LossyImageCompression, ds.LossyImageCompressionMethod) == ("01", "ISO_15444_15")
