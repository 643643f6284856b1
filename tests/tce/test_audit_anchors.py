"""Signed releases vouch for the trail: whoever rewrites it would have to forge a signature."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tce import release
from tce.audit.anchors import Anchored, prove
from tce.audit.trail import Trail
from tce.cli import main
from tce.config import Settings, Site, save
from tce.errors import AuditError, ReleaseError
from tce.release import ReleaseRecord
from tests.tce.test_release import (
    CASE_DIGEST,
    TRUST,
    change_envelope,
    change_statement,
    sign_as_the_site,
)


def a_release(site: Site, name: str) -> Path:
    """Sign a release over the trail as it stands, and write that to the trail, as the Export Manager does."""
    trail = Trail(site.audit_trail)
    head = trail.head()
    record = ReleaseRecord(
        release=name,
        case="lung-1",
        case_digest=CASE_DIGEST,
        policy={},
        approvals={},
        receivers=(),
        instances=(),
        tally={},
        audit_head={"records": head.records, "size": head.size, "hash": head.hash},
        made="2026-01-02T03:04:05+00:00",
        software="tce",
    )
    path = release.write(record, sign_as_the_site, site.releases_dir / name)
    trail.append("release.signed", actor="manager", detail={"release": name})
    return path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with 8 records on its trail: 3, release one, 1, release two, 2."""
    save(Settings(), tmp_path / "tce.toml")
    site = Site(tmp_path)
    TRUST.save(site.trust_path)
    trail = Trail(site.audit_trail)
    for _ in range(3):
        trail.append("policy.approved", actor="ann")
    a_release(site, "one")
    trail.append("policy.approved", actor="ann")
    a_release(site, "two")
    for _ in range(2):
        trail.append("policy.approved", actor="ann")
    return site


def proved(site: Site) -> Anchored:
    return prove(Trail(site.audit_trail), site.releases_dir, site.trust_path)


def rewrite(site: Site, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the records, chain them anew and put a fitting head beside them, as an intruder would."""
    records = [json.loads(line) for line in site.audit_trail.read_text().splitlines()]
    change(records)
    site.audit_trail.unlink()
    Trail(site.audit_trail).head_path.unlink()
    for one in records:
        Trail(site.audit_trail).append(
            one["event"], actor=one["actor"], outcome=one["outcome"], detail=one["detail"]
        )


def patch_anchors(site: Site) -> None:
    """Write the hashes of the trail that is there now into every release record; signatures stay."""
    hashes = {record.n: record.hash for record in Trail(site.audit_trail).records()}
    for path in site.releases_dir.glob("*/release.json"):

        def patch(statement: dict[str, Any]) -> None:
            head = statement["predicate"]["audit_head"]
            head["hash"] = hashes[head["records"]]

        change_statement(path, patch)


def test_signed_releases_say_how_far_the_trail_is_vouched_for(site: Site) -> None:
    """The newest signed release anchors all records before it; the others are counted as loose."""
    found = proved(site)
    assert (found.head.records, found.releases, found.newest) == (8, 2, "two")
    assert (found.reach, found.loose) == (5, 3)


def test_a_rewritten_trail_with_patched_releases_is_refused(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """An early record edited, the chain hashed anew, audit_head patched: the release's signature tells."""
    rewrite(site, lambda records: records[0].update(actor="eve"))
    patch_anchors(site)
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(site.home), "audit", "verify"])
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert "release one" in said.err and "whole" not in said.out


def test_a_rewritten_trail_does_not_fit_its_releases(site: Site) -> None:
    """Releases left as they were signed contradict the trail."""
    rewrite(site, lambda records: records[0].update(actor="eve"))
    with pytest.raises(AuditError, match="release one was signed over a trail that is not this one"):
        proved(site)


@pytest.mark.parametrize("changed", [{"sig": ""}, {"sig": "AAAA"}, {"keyid": "release:v9"}])
def test_a_release_without_a_good_signature_is_named(site: Site, changed: dict[str, str]) -> None:
    """An unsigned release is no anchor but an error."""
    change_envelope(site.releases_dir / "two" / release.RELEASE_FILE, **changed)
    with pytest.raises(AuditError, match="release two"):
        proved(site)


def test_a_release_that_cannot_be_read_is_named(site: Site) -> None:
    """A damaged record stops the proof."""
    path = site.releases_dir / "two" / release.RELEASE_FILE
    content = json.loads(path.read_text())
    del content["signatures"]
    path.write_text(json.dumps(content))
    with pytest.raises(ReleaseError, match="two"):
        proved(site)


def test_a_record_that_cannot_even_be_encoded_is_named(site: Site) -> None:
    """Half a character in a record is an altered record."""
    path = site.releases_dir / "two" / release.RELEASE_FILE
    change_statement(path, lambda statement: statement["predicate"].update(case="\ud800"))
    with pytest.raises(AuditError, match="release two"):
        proved(site)


def test_a_genuine_record_of_another_release_does_not_stand_in(site: Site) -> None:
    """An older release copied over a newer one does not move the anchor back."""
    older, newer = (site.releases_dir / name / release.RELEASE_FILE for name in ("one", "two"))
    newer.write_bytes(older.read_bytes())
    with pytest.raises(AuditError, match="release two"):
        proved(site)


def test_a_release_that_is_gone_is_named(site: Site) -> None:
    """Removing the release in place of patching it is told: the trail says that it was signed."""
    (site.releases_dir / "two" / release.RELEASE_FILE).unlink()
    with pytest.raises(AuditError, match="release two"):
        proved(site)


def test_another_site_s_keys_anchor_nothing(site: Site, tmp_path: Path) -> None:
    """The auditor's own copy of trust.json decides, not the one that lies in the site."""
    other = tmp_path / "mine.json"
    replace(TRUST, release={1: b"\0" * 32}).save(other)
    with pytest.raises(AuditError, match="release one"):
        prove(Trail(site.audit_trail), site.releases_dir, other)


def test_what_is_not_anchored_is_said(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """The auditor reads from which record on nothing but the head speaks for the trail."""
    for arguments in ([], ["--trust", str(site.trust_path)]):
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(site.home), "audit", "verify", *arguments])
        said = capsys.readouterr().out
        assert ended.value.code == 0
        assert "audit trail whole: 8 records, 2 releases anchored in it" in said
        assert "the last 3 records, from record 6 on, are not yet anchored by a signed release" in said


def test_a_tail_that_was_cut_with_its_head_is_at_least_told(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cut behind the last anchor cannot be seen, but the output says that it could not be."""
    trail = Trail(site.audit_trail)
    lines = site.audit_trail.read_bytes().splitlines(keepends=True)[:-1]
    last = list(trail.records())[-2]
    site.audit_trail.write_bytes(b"".join(lines))
    head = {"records": last.n, "size": len(b"".join(lines)), "hash": last.hash}
    trail.head_path.write_text(json.dumps(head))
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(site.home), "audit", "verify"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "the last 2 records, from record 6 on, are not yet anchored" in said
    assert "cut off" in said


def test_a_site_without_releases_says_that_nothing_is_anchored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A young site needs no trust.json to verify its trail, and is not taken for an anchored one."""
    save(Settings(), tmp_path / "tce.toml")
    Trail(Site(tmp_path).audit_trail).append("site.made", actor="operator")
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(tmp_path), "audit", "verify"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "the last record, record 1, is not yet anchored by a signed release" in said


def test_a_release_over_an_empty_trail_anchors_nothing(tmp_path: Path) -> None:
    """Anchor of no record: nothing is claimed for it."""
    save(Settings(), tmp_path / "tce.toml")
    site = Site(tmp_path)
    TRUST.save(site.trust_path)
    a_release(site, "one")
    assert proved(site).reach == 0
