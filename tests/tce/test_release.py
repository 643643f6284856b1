"""A release record proves what left: any change of record, approvals or bytes is found, offline."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydicom.uid import ImplicitVRLittleEndian

from media.placing import place
from media.profiles import Handling
from tce import release, statements
from tce.errors import ReleaseError
from tce.proof import Proof, prove, require
from tce.release import ReleasedInstance, ReleaseRecord
from tests.builders import a_ct_study
from tests.docs.shell import commands_of, run_script
from vault.approvals import Approval, Document, Submission
from vault.attestations import sign_statement
from vault.trust import Trust

POLICY_DIGEST, CASE_DIGEST = "sha256:" + "1" * 64, "sha256:" + "2" * 64
NOW = datetime.now(UTC).replace(microsecond=0)


class Signer:
    """A key pair as the Vault would hold it, writing signatures in the Vault's form."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    @property
    def public(self) -> dict[int, bytes]:
        return {1: self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)}

    def sign(self, payload: bytes) -> str:
        return "vault:v1:" + base64.b64encode(self._key.sign(payload)).decode()


AUTHOR, APPROVER, RELEASER = Signer(), Signer(), Signer()
TRUST = Trust({"alice": AUTHOR.public}, {"bob": APPROVER.public}, RELEASER.public)


def an_approval(kind: str, digest: str, *, expires: datetime = NOW + timedelta(days=1)) -> dict[str, Any]:
    document = Document(kind, "thing", "1", digest, "lung-1" if kind == "case" else "")
    submission = Submission(document, "alice", NOW.strftime("%Y-%m-%dT%H:%M:%SZ"), "")
    submission = replace(submission, signature=AUTHOR.sign(submission.payload()))
    form = "%Y-%m-%dT%H:%M:%SZ"
    approval = Approval(
        submission, "bob", (NOW - timedelta(hours=1)).strftime(form), expires.strftime(form), ""
    )
    approval = replace(approval, signature=APPROVER.sign(approval.payload()))
    signed: dict[str, Any] = json.loads(approval.to_json())
    return signed


def sign_as_the_site(payload: bytes) -> str:
    """Sign as :func:`vault.attestations.sign_statement` does, with the test's own key in place of the Vault's."""

    class AtTheVault:
        def sign(self, mount: str, key: str, content: bytes) -> str:
            return RELEASER.sign(content)

    return sign_statement(AtTheVault(), payload)  # type: ignore[arg-type]


def change_statement(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a signed record says; its signatures stay."""
    lines = []
    for line in path.read_text().splitlines():
        envelope = json.loads(line)
        statement = json.loads(base64.b64decode(envelope["payload"]))
        change(statement)
        payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
        lines.append(json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}) + "\n")
    path.write_text("".join(lines))


def change_envelope(path: Path, **changed: object) -> None:
    """Change the signature of a record, or its hint at the key."""
    envelope = json.loads(path.read_text())
    envelope["signatures"][0].update(changed)
    path.write_text(json.dumps(envelope))


def an_instance(path: Path, syntax: str = "1.2.840.10008.1.2.1", *, uid: str) -> ReleasedInstance:
    whole, data_set = release.digests_of(path)
    return ReleasedInstance(
        "1.2.840.10008.5.1.4.1.1.2",
        uid,
        syntax,
        whole,
        data_set,
        release.explicit_digest(path, syntax),
        False,
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Three released files by SOP Instance UID."""
    folder = tmp_path / "files"
    folder.mkdir()
    found = {}
    for sample in a_ct_study(slices=3)[:3]:
        path = folder / f"{len(found)}.dcm"
        sample.instance.save_as(path, enforce_file_format=True)
        found[str(sample.instance.SOPInstanceUID)] = path
    return found


@pytest.fixture
def record(files: dict[str, Path]) -> ReleaseRecord:
    return ReleaseRecord(
        release="3f9a0c11d2e4",
        case="lung-1",
        case_digest=CASE_DIGEST,
        policy={"name": "thing", "version": "1", "digest": POLICY_DIGEST},
        approvals={"case": an_approval("case", CASE_DIGEST), "policy": an_approval("policy", POLICY_DIGEST)},
        receivers=({"ae_title": "R", "host": "h", "port": 1},),
        instances=tuple(an_instance(path, uid=uid) for uid, path in files.items()),
        tally={"instances": 3},
        audit_head={"records": 1, "size": 2, "hash": "0" * 64},
        made=NOW.isoformat(),
        software="tce",
    )


def failing(proof: Proof) -> set[str]:
    return {answer.question for answer in proof.answers if not answer.holds}


def test_a_genuine_release_holds(record: ReleaseRecord, files: dict[str, Path], tmp_path: Path) -> None:
    """What was signed and delivered is proved with no server at hand."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    proof = prove(path.parent, TRUST, next(iter(files.values())).parent)
    assert failing(proof) == set()
    require(proof)


@pytest.mark.parametrize(
    ("change", "question"),
    [
        (lambda s: s["predicate"].update(case="other"), "signature of the record"),
        (lambda s: s["subject"].pop(), "signature of the record"),
        (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "signature of the record"),
        (lambda s: s["predicate"]["tally"].update(instances=2), "signature of the record"),
        (lambda s: s["predicate"].update(disclosure={"k": 99}), "signature of the record"),
        (lambda s: s["predicate"].update(policy={"digest": CASE_DIGEST}), "approval of the policy"),
        (lambda s: s["predicate"]["approvals"].pop("case"), "approval of the case"),
        (lambda s: s["predicate"]["approvals"]["policy"].update(approver="alice"), "approval of the policy"),
        (
            lambda s: s["predicate"]["approvals"].update(policy=s["predicate"]["approvals"]["case"]),
            "approval of the policy",
        ),
        (lambda s: s.update(subject=[]), "account of instances"),
    ],
    ids=[
        "case",
        "instances",
        "digest",
        "tally",
        "disclosure",
        "policy",
        "no approval",
        "self approval",
        "swapped",
        "empty",
    ],
)
def test_every_change_of_the_record_is_found(
    record: ReleaseRecord, tmp_path: Path, change: Callable[[dict[str, Any]], object], question: str
) -> None:
    """Nobody can add to a record, take from it, or exchange its approvals."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    change_statement(path, change)
    proof = prove(path, TRUST)
    assert question in failing(proof)
    with pytest.raises(ReleaseError):
        require(proof)


@pytest.mark.parametrize(
    "changed",
    [{"sig": base64.b64encode(b"x" * 64).decode()}, {"sig": ""}, {"keyid": "release:v9"}],
    ids=["another", "none", "unknown key"],
)
def test_a_record_with_another_signature_is_not_believed(
    record: ReleaseRecord, tmp_path: Path, changed: dict[str, str]
) -> None:
    """The signature must be that of the site's release key over this very statement."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    change_envelope(path, **changed)
    assert failing(prove(path, TRUST)) == {"signature of the record"}


def test_whoever_knows_dsse_and_in_toto_can_verify_a_record(record: ReleaseRecord, tmp_path: Path) -> None:
    """Envelope, encoding and statement are those of the specifications; nothing of this program is needed."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    envelope = json.loads(path.read_text())
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    assert kind == "application/vnd.in-toto+json"
    encoded = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    [signature] = envelope["signatures"]
    public = Ed25519PublicKey.from_public_bytes(RELEASER.public[1])
    public.verify(base64.b64decode(signature["sig"]), encoded)
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert {one["name"]: one["digest"]["sha256"] for one in statement["subject"]} == {
        one.sop_instance_uid: one.file_digest.removeprefix("sha256:") for one in record.instances
    }
    said = statement["predicate"]
    assert (said["case"], said["policy"]["digest"]) == (record.case, POLICY_DIGEST)
    assert said["approvals"]["policy"]["approver"] == "bob"


@pytest.mark.peer
def test_openssl_verifies_a_record(record: ReleaseRecord, tmp_path: Path) -> None:
    """The commands of the auditor's page verify a record: openssl, jq and the public key are enough."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    TRUST.save(tmp_path / "trust.json")
    script = commands_of("docs/auditor.md", "openssl-release")
    done = run_script(script, tmp_path, RECORD=str(path), TRUST=str(tmp_path / "trust.json"))
    assert "Signature Verified Successfully" in done
    change_statement(path, lambda statement: statement["predicate"].update(case="other"))
    with pytest.raises(subprocess.CalledProcessError):
        run_script(script, tmp_path, RECORD=str(path), TRUST=str(tmp_path / "trust.json"))


def test_a_large_release_is_several_statements(
    record: ReleaseRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is signed; a part that is missing, moved or of another release is told."""
    monkeypatch.setattr(statements, "MOST_SUBJECTS", 2)
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    other = release.write(replace(record, release="another"), sign_as_the_site, tmp_path / "other")
    first, second = path.read_text().splitlines(keepends=True)
    assert release.read(path).record.instances == record.instances
    assert failing(prove(path, TRUST)) == set()
    for lines in (
        first,
        second,
        second + first,
        first + second + second,
        first + other.read_text().split("\n")[1],
    ):
        path.write_text(lines)
        with pytest.raises(ReleaseError):
            prove(path, TRUST)


def test_a_record_of_the_first_format_is_still_verified(record: ReleaseRecord, tmp_path: Path) -> None:
    """What was signed before records were statements can be proved, and a change of it is found."""
    content = asdict(record)
    for field in ("options", "key_version", "holds", "disclosure", "delivered"):
        del content[field]
    content = json.loads(json.dumps({**content, "format": "tce-release-1"}))
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    signature = RELEASER.sign(b"tce-release-1\0" + hashlib.sha512(canonical).digest())
    path = tmp_path / "release.json"
    path.write_text(json.dumps({"record": content, "signature": signature}, indent=1))
    assert failing(prove(path, TRUST)) == set()
    content["case"] = "other"
    path.write_text(json.dumps({"record": content, "signature": signature}, indent=1))
    assert failing(prove(path, TRUST)) >= {"signature of the record"}


def test_an_approval_that_ran_out_after_the_last_instance_left_counts(
    record: ReleaseRecord, tmp_path: Path
) -> None:
    """What matters is that it was in force when it was asked for last, not when the record was written."""
    late = an_approval("policy", POLICY_DIGEST, expires=NOW - timedelta(minutes=1))
    stale = replace(
        record,
        approvals={**record.approvals, "policy": late},
        delivered=(NOW - timedelta(minutes=2)).isoformat(),
    )
    path = release.write(stale, sign_as_the_site, tmp_path / "release")
    assert failing(prove(path, TRUST)) == set()


def test_an_approval_that_had_run_out_does_not_count(record: ReleaseRecord, tmp_path: Path) -> None:
    """An approval must have been in force when the release was made."""
    late = an_approval("policy", POLICY_DIGEST, expires=NOW - timedelta(minutes=1))
    stale = replace(record, approvals={**record.approvals, "policy": late})
    path = release.write(stale, sign_as_the_site, tmp_path / "release")
    assert failing(prove(path, TRUST)) == {"approval of the policy"}


def test_an_unknown_site_is_not_believed(record: ReleaseRecord, tmp_path: Path) -> None:
    """A record signed with keys that are not trusted here proves nothing."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    stranger = Trust({"alice": Signer().public}, {"bob": Signer().public}, Signer().public)
    assert failing(prove(path, stranger)) == {
        "signature of the record",
        "approval of the case",
        "approval of the policy",
    }


def test_one_changed_byte_is_found(record: ReleaseRecord, files: dict[str, Path], tmp_path: Path) -> None:
    """A file with other content under a released identity counts as altered."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    victim = next(iter(files.values()))
    content = bytearray(victim.read_bytes())
    content[-3] ^= 1
    victim.write_bytes(content)
    proof = prove(path, TRUST, victim.parent)
    assert failing(proof) == {"files"}
    assert "1 altered" in proof.answers[-1].what


def test_a_missing_file_is_found(record: ReleaseRecord, files: dict[str, Path], tmp_path: Path) -> None:
    """A release that lost an instance is not the release."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    victim = next(iter(files.values()))
    victim.unlink()
    proof = prove(path, TRUST, victim.parent)
    assert failing(proof) == {"files"}
    assert "1 missing" in proof.answers[-1].what


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("another.dcm", None),
        ("DICOM/IM000009", None),
        ("INDEX.HTM", None),
        ("IHE_PDI/ST000001.HTM", None),
        ("IHE_PDI/notes.txt", b"text"),
        ("letter.txt", b"text"),
        ("sub/DICOMDIR", b"text"),
    ],
)
def test_a_file_too_many_is_found(
    record: ReleaseRecord, files: dict[str, Path], tmp_path: Path, name: str, content: bytes | None
) -> None:
    """An instance or any other file of which the release does not speak is named, wherever it hides."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    folder = next(iter(files.values())).parent
    extra = folder / name
    extra.parent.mkdir(exist_ok=True)
    if content is None:
        a_ct_study(patient=3, slices=1)[0].instance.save_as(extra, enforce_file_format=True)
    else:
        extra.write_bytes(content)
    proof = prove(path, TRUST, folder)
    assert failing(proof) == {"files"}
    assert proof.others == (extra,)
    assert "1 file of which this release does not speak" in proof.answers[-1].what


def test_a_link_is_a_file_too_many(record: ReleaseRecord, files: dict[str, Path], tmp_path: Path) -> None:
    """What a link leads to may change after the proof."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    first = next(iter(files.values()))
    (first.parent / "link").symlink_to(first)
    assert failing(prove(path, TRUST, first.parent)) == {"files"}


def test_what_makes_a_medium_is_no_file_too_many(
    record: ReleaseRecord, files: dict[str, Path], tmp_path: Path
) -> None:
    """DICOMDIR, README.TXT and pages belong to no release; they are counted."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    folder = next(iter(files.values())).parent
    (folder / "IHE_PDI").mkdir()
    for name in ("DICOMDIR", "README.TXT", "INDEX.HTM", "IHE_PDI/INDEX.HTM", "IHE_PDI/ST000001.HTM"):
        (folder / name).write_text("text")
    proof = prove(path, TRUST, folder)
    assert failing(proof) == set()
    assert "5 files of the medium itself" in proof.answers[-1].what


def test_new_file_meta_information_changes_nothing(files: dict[str, Path]) -> None:
    """A Receiver writes File Meta Information of its own; the data set is recognized all the same."""
    path = next(iter(files.values()))
    before = release.digests_of(path)
    content = path.read_bytes()
    path.write_bytes(b"\x01" * 128 + content[128:])
    after = release.digests_of(path)
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_an_instance_that_a_medium_encodes_anew_is_recognized(tmp_path: Path, record: ReleaseRecord) -> None:
    """Media of STD-GEN hold Explicit VR; what was released as Implicit VR is still the same data set."""
    ds = a_ct_study(slices=1)[0].instance
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    implicit = tmp_path / "implicit"
    ds.save_as(implicit, implicit_vr=True, little_endian=True, enforce_file_format=True)
    one = an_instance(implicit, ImplicitVRLittleEndian, uid=str(ds.SOPInstanceUID))
    medium = tmp_path / "medium"
    medium.mkdir()
    place(implicit, medium / "IM000001", Handling.REWRITE)
    match = release.compare(replace(record, instances=(one,)), medium)
    assert (match.found, match.altered, match.missing) == (1, 0, 0)


def test_what_is_no_record_is_named(tmp_path: Path) -> None:
    """A wrong file is answered with what to name instead."""
    for content in ("", "{}", "[1]", '{"record": {"format": "tce-release-1"}, "signature": ""}'):
        (tmp_path / "release.json").write_text(content)
        with pytest.raises(ReleaseError):
            release.read(tmp_path)
    with pytest.raises(ReleaseError, match="no release record"):
        release.read(tmp_path / "nowhere")


def test_a_record_is_read_back_as_written(record: ReleaseRecord, tmp_path: Path) -> None:
    """Nothing is lost between writing and reading; the signed bytes are the same."""
    path = release.write(record, sign_as_the_site, tmp_path / "release")
    again = release.read(path).record
    assert json.dumps(asdict(again), sort_keys=True) == json.dumps(asdict(record), sort_keys=True)
