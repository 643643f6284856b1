"""Tests that no byte which stage 1 leaves is an original, nor an original's hash that anybody could compute.

An unkeyed hash of a patient number is as good as the number: there are few enough to try all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from policies.engine import Engine
from policies.loader import load_library
from policies.pseudonyms import Subject
from tests.builders import a_ct_image
from tests.conftest import SiteVault
from tests.vault.conftest import StageOne, open_case
from vault.backup import back_up
from vault.credentials import Credentials
from vault.mapping import MappingStore
from vault.pseudonyms import IdentityPseudonyms
from vault.scheme import canonical

CANARIES = {
    "PatientName": "Qzcanary^Fjordine^^Dr",
    "PatientID": "MRN-Qz-77012345",
    "IssuerOfPatientID": "Qzhospital-North",
    "OtherPatientNames": "Qzmaiden^Fjordine",
    "PatientBirthDate": "19370517",
    "PatientAddress": "Qzlane 17, 99999 Qzville",
    "PatientTelephoneNumbers": "+49-555-7301992",
    "AccessionNumber": "Qzacc00731",
    "StudyID": "Qzstudy4471",
    "InstitutionName": "Qz General Hospital",
    "ReferringPhysicianName": "Qzreferrer^Ada",
    "OperatorsName": "Qzoperator^Bo",
    "DeviceSerialNumber": "Qzserial-88123",
    "StationName": "QZSTATION7",
    "SOPInstanceUID": "1.2.826.0.1.3680043.10.77.1.99120031",
    "StudyInstanceUID": "1.2.826.0.1.3680043.10.77.1.99120032",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.10.77.1.99120033",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.10.77.1.99120034",
}
_HEAD = 8
HASHES = ("md5", "sha1", "sha256", "sha512")


def spellings(value: str) -> Iterator[bytes]:
    """A value as it is, in small and capital letters, and as it is written into numbers and texts."""
    for text in {value, value.lower(), value.upper(), value.replace("^", " ").strip()}:
        for raw in (text.encode(), text.encode("utf-16-le")):
            yield from written(raw)


def written(raw: bytes) -> Iterator[bytes]:
    yield from (raw, raw.hex().encode(), raw.hex().upper().encode())
    yield from (base64.b64encode(raw).rstrip(b"="), base64.urlsafe_b64encode(raw).rstrip(b"="))


def hashes(*texts: bytes) -> Iterator[bytes]:
    """The hashes that need no key, whole and by halves, as bytes and as texts."""
    for text in texts:
        for name in HASHES:
            digest = hashlib.new(name, text, usedforsecurity=False).digest()
            for part in (digest, digest[:16], digest[-16:]):
                yield from written(part)


def needles(subjects: list[Subject]) -> dict[bytes, str]:
    """What must not be found, with what it is."""
    found: dict[bytes, str] = {}
    for subject in subjects:
        triples = [tuple(one) for one in (subject.patient, *subject.identifiers)]
        triples += [(f"attribute:{keyword}", "", value) for keyword, value in subject.attributes]
        triples += [(keyword, "", value) for keyword, value in CANARIES.items()]
        for kind, issuer, value in triples:
            if len(value) < 6:
                continue  # stands in any file by chance
            for spelling in spellings(value):
                found[spelling] = f"{kind} itself"
            texts = {
                value,
                value.lower(),
                value.upper(),
                issuer + value,
                f"{issuer}\0{value}",
                value + issuer,
            }
            for needle in hashes(*(text.encode() for text in texts), canonical(kind, issuer, value)):
                found[needle] = f"hash of {kind}"
    return found


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> list[Subject]:
    """What the engine of stage 1 hands over of an instance full of canaries."""
    folder = tmp_path_factory.mktemp("canaries")
    ds = a_ct_image()
    for keyword, value in CANARIES.items():
        setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(folder / "ct.dcm", enforce_file_format=True)
    draft = Engine(load_library("pseudonymization")).read(folder / "ct.dcm")
    subject = draft.subject
    draft.close()
    handed = {one[2] for one in (subject.patient, *subject.identifiers)} | {
        one[1] for one in subject.attributes
    }
    assert len(handed & set(CANARIES.values())) > 10  # else little would be proved below
    return [subject]


def seen(files: list[Path], unwanted: dict[bytes, str]) -> set[str]:
    """What of the unwanted stands in which file. There are tens of thousands, so they are sought by their heads."""
    assert files
    by_head: dict[int, list[bytes]] = {}
    for needle in unwanted:
        if len(needle) >= _HEAD:
            by_head.setdefault(int.from_bytes(needle[:_HEAD], "little"), []).append(needle)
    heads = np.array(sorted(by_head), dtype="<u8")
    short = [needle for needle in unwanted if len(needle) < _HEAD]
    found: set[str] = set()
    for file in files:
        content = file.read_bytes() + bytes(_HEAD)
        hits = {needle for needle in short if needle in content}
        for shift in range(_HEAD):
            windows = np.frombuffer(content, "<u8", max(0, len(content) - shift) // _HEAD, shift)
            places = np.nonzero(np.isin(windows, heads))[0]
            for at in (int(place) * _HEAD + shift for place in places):
                head = int.from_bytes(content[at : at + _HEAD], "little")
                hits.update(needle for needle in by_head[head] if content.startswith(needle, at))
        found |= {f"{unwanted[needle]} in {file.name}" for needle in hits}
    return found


@pytest.mark.parametrize("form", ["plain", "capital letters", "hash", "half a hash", "hash in base 64"])
def test_the_search_finds_what_it_looks_for(subjects: list[Subject], tmp_path: Path, form: str) -> None:
    """A value or a hash of it that stands anywhere in a file is found."""
    value = CANARIES["PatientID"].encode()
    digest = hashlib.sha256(value).digest()
    planted = {
        "plain": value,
        "capital letters": value.upper(),
        "hash": digest,
        "half a hash": digest[16:],
        "hash in base 64": base64.b64encode(digest),
    }[form]
    (tmp_path / "file").write_bytes(b"x" * 5000 + planted + b"y" * 5000)
    assert seen([tmp_path / "file"], needles(subjects))


@pytest.mark.vault
def test_no_file_of_a_site_tells_an_original(
    stage_one: StageOne,
    store: MappingStore,
    embedded_site_vault: SiteVault,
    mapping_url: str,
    subjects: list[Subject],
    tmp_path: Path,
) -> None:
    """Neither the mapping, its indices and log, nor a backup, nor the key server's storage, trail and log."""
    stage_one().resolve(subjects)
    unwanted = needles(subjects)
    files = list(tmp_path.glob("mapping.db*"))
    assert {file.name for file in files} >= {"mapping.db", "mapping.db-wal"}
    assert seen(files, unwanted) == set()
    back_up(mapping_url, tmp_path / "backup.db")
    store.close()  # what stood in the log stands in the tables now
    of_the_server = [file for file in embedded_site_vault.home.rglob("*") if file.is_file()]
    assert {file.name for file in of_the_server} >= {"audit.log", "server.log"}
    assert seen([*tmp_path.glob("*.db*"), *of_the_server], unwanted) == set()


@pytest.mark.vault
@pytest.mark.peer
def test_no_file_of_postgresql_tells_an_original(
    embedded_site_vault: SiteVault, emptied: str, case: str, subjects: list[Subject]
) -> None:
    """Neither tables, indices and log, nor the messages of the database's server."""
    site = embedded_site_vault
    open_case(site, case)
    store = MappingStore(emptied)
    client = Credentials(site.home).service(site.url, "pseudonymizer")
    IdentityPseudonyms(client, store, case=case, custodians=site.custodians).resolve(subjects)
    with store.database.writing() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM mappings"))
    store.close()
    engine = sa.create_engine(emptied, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("CHECKPOINT"))
    engine.dispose()
    folder = Path(str(sa.make_url(emptied).query["host"]))
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert {"log", "pg_wal"} <= {part for file in files for part in file.relative_to(folder).parts}
    assert seen(files, needles(subjects)) == set()
