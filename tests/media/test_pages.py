"""README.TXT, INDEX.HTM and IHE_PDI: what people see of a medium."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as XmlTree

import pytest
from PIL import Image
from pydicom.sequence import Sequence

from media import thumbnails, web
from media.checker import check_medium
from media.pages import MediumLabel
from media.pdi import Medium, write_medium
from media.profiles import Profile
from tests.media.builders import LABEL, a_medium, an_instance, bytes_of, one_of_each_kind, written
from tests.media.test_documents import an_image_reference, an_item

XHTML = "{http://www.w3.org/1999/xhtml}"
NAME = re.compile(r"[A-Z0-9_]{1,8}(\.[A-Z0-9_]{1,3})?")

# Elements of XHTML Basic 1.1 that the pages use, with their attributes and what may stand directly in them.
INLINE = {"a", "br", "img", "span", "strong", "#text"}
BLOCK = {"div", "dl", "h1", "h2", "h3", "p", "table", "ul"}
REQUIRED = {"src", "alt", "href"}
BASIC: dict[str, tuple[set[str], set[str]]] = {
    "html": ({"lang"}, {"head", "body"}),
    "head": (set(), {"meta", "title", "style"}),
    "meta": ({"http-equiv", "name", "content"}, set()),
    "title": (set(), {"#text"}),
    "style": ({"type"}, {"#text"}),
    "body": (set(), BLOCK),
    "div": ({"class"}, BLOCK | INLINE),
    "p": ({"class", "style"}, INLINE),
    "h1": (set(), INLINE),
    "h2": (set(), INLINE),
    "ul": (set(), {"li"}),
    "li": (set(), INLINE | BLOCK),
    "table": (set(), {"tr"}),
    "tr": (set(), {"th", "td"}),
    "th": (set(), INLINE),
    "td": ({"class"}, INLINE | BLOCK),
    "a": ({"href"}, INLINE - {"a"}),
    "span": ({"class"}, INLINE),
    "strong": (set(), INLINE),
    "img": ({"src", "alt", "width", "height"}, set()),
    "br": (set(), set()),
}


def pages_of(medium: Path) -> dict[str, XmlTree.Element]:
    """Every page of a medium, parsed as XML."""
    return {
        str(path.relative_to(medium)): XmlTree.fromstring(path.read_bytes())
        for path in sorted(medium.rglob("*.HTM"))
    }


def text_of(page: XmlTree.Element) -> str:
    """What a person reads on a page."""
    body = page.find(f"{XHTML}body")
    assert body is not None
    return " ".join("".join(body.itertext()).split())


def faults_of(element: XmlTree.Element) -> list[str]:
    """What of an element and all below it is not XHTML Basic, as far as the pages use it."""
    name = element.tag.removeprefix(XHTML)
    if name not in BASIC:
        return [f"{name} is not known"]
    attributes, content = BASIC[name]
    faults = [f"{name}/@{key}" for key in element.attrib if key.split("}")[-1] not in attributes]
    faults += [f"{name} without {key}" for key in REQUIRED & attributes - element.attrib.keys()]
    inside = {below.tag.removeprefix(XHTML) for below in element}
    texts = [element.text, *(below.tail for below in element)]
    inside |= {"#text"} if any(text and text.strip() for text in texts) else set()
    faults += [f"{below} in {name}" for below in inside - content]
    return faults + [fault for below in element for fault in faults_of(below)]


def a_rich_medium(folder: Path) -> Medium:
    """A medium with everything that pages show: all kinds of instances, many images, a selection, reports."""
    images = [an_instance(patient=2, number=number) for number in range(1, 31)]
    selection = an_instance("KEY OBJECT DOC", patient=2, series=2)
    selection.ContentSequence = Sequence(
        [an_image_reference(images[4].SOPInstanceUID), an_image_reference("2.25.404")]
    )
    hidden = an_instance(patient=2, series=3, BurnedInAnnotation="YES")
    return a_medium(folder, *one_of_each_kind(), *images, selection, hidden)


def test_pages_are_xhtml_basic(tmp_path: Path) -> None:
    """All pages are well-formed, in UTF-8 that browsers are told of, and use elements as XHTML Basic allows."""
    medium = a_rich_medium(tmp_path)
    for name, page in pages_of(medium.path).items():
        assert faults_of(page) == [], name
        data = (medium.path / name).read_bytes()
        assert data.startswith(
            b'<?xml version="1.0" encoding="UTF-8"?>\r\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML'
        )
        assert b'<meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />' in data
        assert b"<script" not in data and b"javascript" not in data and b"http://" not in data[300:]


def test_what_is_not_basic_is_found() -> None:
    """The check itself tells wrong pages from right ones."""
    wrong = (
        f'<html xmlns="{XHTML[1:-1]}"><body>text<p><p/></p><script/><img src="x" onerror="y"/></body></html>'
    )
    assert len(faults_of(XmlTree.fromstring(wrong))) == 7


def links_of(page: XmlTree.Element) -> list[str]:
    """Where the links and the pictures of a page lead."""
    return [link.get("href", "") for link in page.iter(f"{XHTML}a")] + [
        picture.get("src", "") for picture in page.iter(f"{XHTML}img")
    ]


def reached_from(start: str, medium: Path, *, small_letters: bool) -> set[str]:
    """All files that links lead to from a page, on a system that tells capital and small letters apart."""
    shown = {(name.lower() if small_letters else name): data for name, data in bytes_of(medium).items()}
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in shown:
            continue
        reached.add(name)
        if name.upper().endswith(".HTM"):
            links = links_of(XmlTree.fromstring(shown[name]))
            waiting += [os.path.normpath(os.path.join(os.path.dirname(name), link)) for link in links]
    return reached


def test_every_page_is_reached_whatever_letters_a_system_shows(tmp_path: Path) -> None:
    """From INDEX.HTM links lead to all pages and pictures, where names are in capitals and where in small letters."""
    medium = a_rich_medium(tmp_path).path
    files = {name for name in bytes_of(medium) if not name.startswith("DICOM")}
    small = {name for name in files if name.startswith("IHE_PDI/SMALL/")}
    assert small
    assert reached_from("INDEX.HTM", medium, small_letters=False) == files - small
    pictures = {name for name in files if name.endswith(".JPG")}
    reached = reached_from("index.htm", medium, small_letters=True)
    assert reached >= {name.lower() for name in small | pictures | {"README.TXT"}}


def test_links_stay_on_the_medium(tmp_path: Path) -> None:
    """Every link is relative and leads to a file of the medium; all names are ISO 9660 level 1."""
    medium = a_rich_medium(tmp_path).path
    names = {name.upper() for name in bytes_of(medium)}
    for page, element in pages_of(medium).items():
        for link in links_of(element):
            assert os.path.normpath(os.path.join(os.path.dirname(page), link)).upper() in names
    assert all(NAME.fullmatch(part) for name in names for part in name.split("/"))


def test_the_index_says_what_pdi_asks_for(tmp_path: Path) -> None:
    """INDEX.HTM names the institution and has privacy, links, manifest, and what cannot be imported."""
    medium = a_rich_medium(tmp_path)
    index = pages_of(medium.path)["INDEX.HTM"]
    text = text_of(index)
    assert text.startswith("Institute of Trials Medium CASE_7")
    assert "Privacy." in text and "trials@example.org" in text
    assert {"IHE_PDI/INDEX.HTM", "README.TXT"} <= {link.get("href") for link in index.iter(f"{XHTML}a")}
    assert "DICOM/PA000001/ST000001" in text and "DICOM/PA000002/ST000001" in text
    assert "3 series: 31 images, 1 key object selection" in text
    assert "1 hanging protocol, 1 implant, 1 implant assy, 1 implant group, 1 palette" in text
    assert "cannot be imported None" in text and "no viewer" in text


def test_images_are_shown_evenly_and_key_images_first(tmp_path: Path) -> None:
    """A study shows its key images large before its series; a series a few of its images, and says of how many."""
    medium = a_rich_medium(tmp_path).path
    study = (medium / "IHE_PDI" / "ST000002.HTM").read_text(encoding="utf-8")
    assert study.index("Key images") < study.index(">image 5<") < study.index("<h2>Series</h2>")
    page = pages_of(medium)[f"IHE_PDI/SE{len(one_of_each_kind()) - 5 + 1:06d}.HTM"]
    pictures = [picture.get("alt") for picture in page.iter(f"{XHTML}img")]
    assert pictures == [f"image {number}" for number in (2, 6, 10, 14, 17, 21, 25, 29)]
    assert "8 of 30 images, evenly chosen" in text_of(page)
    assert "not shown: there is text in the picture" in study


def test_pictures_are_jpeg_of_a_bounded_size(tmp_path: Path) -> None:
    """Every picture opens as JPEG, is as large as its page says, and no larger than is promised."""
    image = an_instance(Rows=600, Columns=900, PixelData=bytes(600 * 900 * 2))
    selection = an_instance("KEY OBJECT DOC", series=2)
    selection.ContentSequence = Sequence([an_image_reference(image.SOPInstanceUID)])
    medium = a_medium(tmp_path, image, selection).path
    sizes = set()
    for name, page in pages_of(medium).items():
        for picture in page.iter(f"{XHTML}img") if "SMALL" not in name else ():
            with Image.open((medium / name).parent / picture.get("src", "")) as shown:
                assert shown.format == "JPEG" and not shown.getexif() and "comment" not in shown.info
                assert shown.size == (int(picture.get("width", 0)), int(picture.get("height", 0)))
                sizes.add(shown.size)
    assert sizes == {(128, 85), (384, 256)}


def test_the_number_of_pictures_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many series each shows fewer images, and with more series than pictures evenly chosen ones show one."""
    instances = [an_instance(series=series, number=n) for series in range(1, 11) for n in range(1, 5)]
    for most, pictures in ((1000, 40), (20, 20), (10, 10), (4, 3)):
        monkeypatch.setattr(web, "MOST_ON_MEDIUM", most)
        medium = a_medium(tmp_path / str(most), *instances).path
        assert len(list((medium / "IHE_PDI").glob("*.JPG"))) == pictures
        assert len(list((medium / "IHE_PDI").glob("SE*.HTM"))) == 10


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("ISO_IR 192", '<script>alert("x")</script> &amp; \'"><img src=x onerror=y>'),
        ("ISO_IR 192", "Lungenödem «quoted» 😀"),
        ("ISO_IR 144", "Лёгкие, контроль"),
        ("ISO 2022 IR 149", "흉부 방사선"),
        ("ISO 2022 IR 87", "胸部 単純"),
        ("ISO_IR 13", "ﾑﾈ"),
        ("GB18030", "胸部复查"),
        ("ISO_IR 126", "Πνεύμονας"),
    ],
)
def test_text_comes_out_as_it_was_meant(tmp_path: Path, charset: str, text: str) -> None:
    """Descriptions and reports in every character set are read as text, and none becomes markup."""
    attributes = {"SpecificCharacterSet": ["", charset] if "2022" in charset else charset}
    report = an_instance("SR DOCUMENT", series=2, StudyDescription=text, **attributes)
    report.ContentSequence = Sequence([an_item("TEXT", "Finding", TextValue=text)])
    image = an_instance(StudyDescription=text, SeriesDescription=text, **attributes)
    medium = a_medium(tmp_path, report, image).path
    pages = pages_of(medium)
    for name in ("INDEX.HTM", "INDEX.HTM", "ST000001.HTM", "SE000001.HTM", "SE000002.HTM"):
        assert text in text_of(pages[f"IHE_PDI/{name}"])
    assert all(faults_of(page) == [] for page in pages.values())


def test_what_cannot_be_seen_is_left_out(tmp_path: Path) -> None:
    """Control characters, marks that turn the direction of writing, and what XML forbids do not reach a page."""
    report = an_instance("SR DOCUMENT", SpecificCharacterSet="ISO_IR 192")
    hostile = "be\u0001fore \u202eafter\u200b \ufffe\ufeff end\u0085next"
    report.ContentSequence = Sequence([an_item("TEXT", "Fin\u0007ding", TextValue=hostile)])
    medium = a_medium(tmp_path, report).path
    text = text_of(pages_of(medium)["IHE_PDI/SE000001.HTM"])
    assert "Finding: before after endnext" in text.replace("end next", "endnext")


def test_a_text_without_end_is_cut(tmp_path: Path) -> None:
    """A description of half a million characters does not make a page of that length."""
    image = an_instance(SeriesDescription="x" * 500_000)
    medium = a_medium(tmp_path, image).path
    assert max(path.stat().st_size for path in medium.rglob("*.HTM")) < 20_000


def test_pages_without_pictures(tmp_path: Path) -> None:
    """Without images there is no JPEG, README.TXT says so, and the medium still passes its checks."""
    source = written(an_instance(), tmp_path / "in")
    medium = write_medium([source], tmp_path / "medium", label=LABEL, images=False).path
    pages = "".join(path.read_text(encoding="utf-8") for path in medium.rglob("*.HTM"))
    assert not list(medium.rglob("*.JPG")) and "<img" not in pages and "lossy" not in pages
    assert "no pictures" in (medium / "README.TXT").read_text(encoding="ascii")
    assert check_medium(medium, profile=Profile.STD_GEN_CD).passed


def test_pictures_come_from_the_medium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only files of the medium itself are opened to make pages."""
    opened: list[Path] = []
    read_header = thumbnails.read_header
    read_document = web.read_document

    def header(path: Path) -> Any:
        opened.append(path)
        return read_header(path)

    def document(path: Path) -> Any:
        opened.append(path)
        return read_document(path)

    monkeypatch.setattr(thumbnails, "read_header", header)
    monkeypatch.setattr(web, "read_document", document)
    a_rich_medium(tmp_path)
    assert len(opened) > 15 and all("in" not in path.relative_to(tmp_path).parts for path in opened)


def test_the_readme_has_every_point(tmp_path: Path) -> None:
    """README.TXT has institution and contact, application, organization, viewer and privacy, and no patient."""
    medium = a_rich_medium(tmp_path).path
    data = (medium / "README.TXT").read_bytes()
    text = data.decode("ascii")
    for point in (
        "Institute of Trials",
        "Contact: trials@example.org",
        "TCE 0.1.0",
        "DICOMDIR",
        "INDEX.HTM",
        "IHE_PDI",
        "STD-GEN-CD",
        "There is no viewer",
        "pseudonyms",
    ):
        assert point in text
    assert "PSN" not in text and data.count(b"\n") == data.count(b"\r\n")
    assert all(len(line) <= 80 for line in text.splitlines())


def test_a_label_cannot_become_markup(tmp_path: Path) -> None:
    """Institution and contact are texts, whatever a setting holds."""
    label = MediumLabel("CASE_7", "A & B <Trials>", "<a@example.org>", "TCE", "0.1.0")
    source = written(an_instance(), tmp_path / "in")
    pages = pages_of(write_medium([source], tmp_path / "medium", label=label).path)
    assert all(text_of(page).startswith("A & B <Trials>") for page in pages.values())
    assert "<a@example.org>" in text_of(pages["INDEX.HTM"])


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_shows_the_pages_from_the_file_system(tmp_path: Path) -> None:
    """Chromium opens the pages without a server: it has the texts, in their letters, and draws the pictures."""
    bright = an_instance(
        Rows=128,
        Columns=128,
        PixelData=b"\xff\x0f" * (128 * 128),
        WindowCenter="100",
        WindowWidth="100",
        SpecificCharacterSet="ISO_IR 192",
        StudyDescription="胸部 Лёгкие",
    )
    medium = a_medium(tmp_path, bright).path
    page = medium / "IHE_PDI" / "ST000001.HTM"
    options = (
        "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-sync --no-first-run"
    )
    shot = tmp_path / "shot.png"
    command = [
        "chromium",
        *options.split(),
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'browser'}",
        "--window-size=800,1200",
    ]
    subprocess.run(
        [*command, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True, timeout=120
    )
    with Image.open(io.BytesIO(shot.read_bytes())) as image:
        pixels = image.convert("L").crop((0, 300, 400, 1000))
        dark = sum(pixels.histogram()[:60])
    dom = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], check=True, capture_output=True, timeout=120
    ).stdout.decode("utf-8")
    assert "胸部 Лёгкие" in dom
    assert dark < 128 * 128 / 2, "the picture is white; its frame would be black had it not been drawn"
