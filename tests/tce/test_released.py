"""What was released under which policy can always be told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tce import release
from tce.cli import main
from tce.config import Settings, Site, save
from tce.errors import ReleaseError
from tce.released import under
from tce.road import Delivered, Reason
from tests.tce.parts import POLICY, a_request, documents
from tests.tce.test_release import (
    POLICY_DIGEST,
    TRUST,
    ReleaseRecord,
    change_statement,
    files,
    record,
    sign_as_the_site,
)
from tests.tce.workbench import Bench

__all__ = ["files", "record"]


@pytest.fixture
def site(tmp_path: Path, record: ReleaseRecord) -> Site:
    """A site with two releases under one policy and one under another; none of them is on its shelf."""
    home = tmp_path / "site"
    home.mkdir()
    save(Settings(), home / "tce.toml")
    site = Site(home)
    TRUST.save(site.trust_path)
    other = {"name": "thing", "version": "2", "digest": "sha256:" + "3" * 64}
    for name, policy in (("one", record.policy), ("two", record.policy), ("three", other)):
        made = replace(record, release=name, policy=policy)
        release.write(made, sign_as_the_site, site.releases_dir / name)
    return site


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (POLICY_DIGEST, {"one", "two"}),
        ("thing@1", {"one", "two"}),
        ("thing@2", {"three"}),
        ("thing", {"one", "two", "three"}),
        ("another", set()),
    ],
)
def test_releases_are_found_by_the_policy_that_their_records_name(
    site: Site, wanted: str, found: set[str]
) -> None:
    """By digest, by version or by name, although the policy itself is gone."""
    left = under(site, wanted)
    assert {one.export for one in left} == found
    assert {one.told_by for one in left} <= {"signed record"}


def test_a_record_that_does_not_verify_is_told_as_such(site: Site) -> None:
    """An altered record is listed, since something left, and nobody can take it for a good one."""
    change_statement(site.releases_dir / "one/release.json", lambda said: said["predicate"].update(case="x"))
    told = {one.export: one.told_by for one in under(site, "thing@1")}
    assert told == {"one": "RECORD THAT DOES NOT VERIFY", "two": "signed record"}


def test_a_record_that_cannot_be_read_ends_the_list(site: Site) -> None:
    """A list that leaves out what it cannot read would tell too little."""
    (site.releases_dir / "one/release.json").write_text("{}")
    with pytest.raises(ReleaseError, match="one"):
        under(site, "thing")


def test_an_export_that_was_stopped_on_its_way_is_told_too(
    bench: Bench, ct: list[Path], tmp_path: Path
) -> None:
    """What left before the withdrawal is in no record yet, and is told by the index."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    export = bench.work()
    first = bench.exports.sealed(export)[:2]
    bench.exports.delivered(export, [Delivered(one, "RECEIVER") for one in first])
    bench.exports.hold(export.id, [Reason("not-approved", "the approval was withdrawn")])
    home = tmp_path / "site"
    home.mkdir()
    save(
        Settings.model_validate({"database": {"exports": f"sqlite:///{bench.home / 'exports.db'}"}}),
        home / "tce.toml",
    )
    [left] = under(Site(home), POLICY.digest)
    assert (left.export, left.instances, left.receivers) == (export.id, 2, "RECEIVER has 2")
    assert "held" in left.told_by


def test_the_command_lists_them(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """``tce policy releases`` names every release with its case and receivers."""
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(site.home), "policy", "releases", "thing@1"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "one" in said and "two" in said and "three" not in said
