"""The pixel rules that the coordinator's guide shows do what the guide says of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from policies.describe import describe
from policies.errors import Held
from policies.loader import loads
from tests.docs.generated import DOCS
from tests.policies.pixels.builders import an_image, carried, saved

_HEAD = "name: guide\nversion: 1\nstage: anonymize\ntitle: From the guide\ndescription: For tests.\n"


def the_example() -> str:
    """The example under *Black out text*, as a whole policy."""
    guide = (DOCS / "coordinator.md").read_text(encoding="utf-8")
    section = guide.partition("### Black out text")[2]
    found = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return _HEAD + found[1]


def test_the_example_blacks_out_what_it_says(tmp_path: Path) -> None:
    """An ultrasound image of the model in the example loses its head and its corner, and passes; others are held."""
    pixels = np.random.default_rng(3).integers(1, 255, (480, 640)).astype(np.uint8)
    ds = an_image(
        pixels,
        Rows=480,
        Columns=640,
        Modality="US",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1",
        Manufacturer="Example Medical",
        ManufacturerModelName="Sono 5",
    )
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    policy = loads(the_example(), "the guide")
    out = carried(saved(ds, tmp_path / "in.dcm"), policy, tmp_path / "out.dcm")
    pixels[:40] = 0
    pixels[440:480, 500:640] = 0
    assert out.PixelData == pixels.tobytes()
    assert out.BurnedInAnnotation == "NO"
    ds.ManufacturerModelName = "Sono 6"
    with pytest.raises(Held) as held:
        carried(saved(ds, tmp_path / "in.dcm"), policy, tmp_path / "other.dcm")
    assert held.value.reason == "at-risk-ultrasound"


def test_the_example_is_told_in_words() -> None:
    """What an approver reads names conditions, regions and reasons, and what is claimed where."""
    words = " ".join(describe(loads(the_example(), "the guide")).split())
    for said in (
        "where Modality US, Manufacturer Example Medical, Manufacturer's Model Name Sono 5, Rows 480, Columns 640:",
        "columns 0 to the right edge, rows 0 to 39; columns 500 to 639, rows 440 to 479: Name and date stand",
        "where risk secondary-capture, Manufacturer Example Medical, Rows 512, Columns 512:",
        "ultrasound images: held, unless a pixel rule blacks out what is written on them",
        "surface scans: held",
        "where pixels were blacked out: Burned In Annotation: NO, and De-identification Method Code: 113101 Clean",
    ):
        assert said in words
