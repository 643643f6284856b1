"""tce.toml says what the settings are, and every fault in it is named by line and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from media.profiles import Profile
from tce.config import ManagerSettings, NetworkSettings, Settings, Site, dumps, loads, save
from tce.errors import ConfigFault, SiteMissing
from tce.people import PeopleSettings


def test_written_settings_are_read_back_the_same() -> None:
    """What is saved is what is loaded, whatever characters a value has."""
    settings = Settings(
        people=PeopleSettings(coordinators=("carla", "carl"), approvers=("ann",)),
        network=NetworkSettings(manager=ManagerSettings(port=4242, allowed=("A B", "C"))),
    )
    settings = settings.model_copy(
        update={"site": settings.site.model_copy(update={"institution": 'Klinik "Süd" \\ Haus 3\t#1'})}
    )
    assert loads(dumps(settings), "tce.toml") == settings


def test_every_key_has_a_comment_of_its_own() -> None:
    """A person who opens the file finds what each key means on the line above it."""
    lines = dumps(Settings()).splitlines()
    keys = [number for number, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    assert len(keys) > 20
    assert [lines[number] for number in keys if not lines[number - 1].startswith("# ")] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[site]\nname = 3\n", ["line 2", "site.name"]),
        ("[site]\n\nnmae = 'x'\n", ["line 3", "site.nmae", "spelling"]),
        ("[network.manager]\nport = 0\n", ["line 2", "network.manager.port"]),
        ("[network.manager]\nae_title = 'A23456789012345678'\n", ["line 2", "ae_title", "16 characters"]),
        ("[network.manager]\nallowed = ['A\\\\B']\n", ["line 2", "network.manager.allowed"]),
        ("[people]\ncustodians = ['one']\n", ["line 2", "people.custodians", "two"]),
        ("[people]\ncustodians = ['one', 'one']\n", ["people.custodians", "two"]),
        ("[people]\napprovers = ['coordinator']\n", ["line 2", "people.approvers", "one role"]),
        (
            "[people]\ncustodians = ['carol', 'dave']\nlogin_names = { carol = 'dave', dave = 'carol' }\n",
            ["line 3", "people.login_names", "userpass"],
        ),
        ("[vault]\nmode = 'server'\naddress = 'vault'\n", ["vault.address", "https://"]),
        ("[vault]\ntoken = 'x'\n", ["line 2", "vault.token"]),
        ("[site\n", ["line 1"]),
    ],
)
def test_a_fault_is_named_with_its_line_and_key(text: str, words: list[str]) -> None:
    """Whoever made a mistake is shown where it is."""
    with pytest.raises(ConfigFault) as caught:
        loads(text, "tce.toml")
    for word in words:
        assert word in caught.value.what
    assert caught.value.next_step


@pytest.mark.parametrize("profile", Profile)
def test_every_profile_of_media_can_be_set(profile: Profile) -> None:
    """What the medium writer can write is what tce.toml takes."""
    assert loads(f"[media]\nprofile = '{profile}'\n", "tce.toml").media.profile is profile


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[network.manager]\nport = 0\n", "network.manager.port: is too small; write 1 or more"),
        ("[network.manager]\nport = 70000\n", "network.manager.port: is too large; write 65535 or less"),
        (
            "[network.manager]\nport = 'x'\n",
            "network.manager.port: is no whole number; write it without quotes",
        ),
        (
            "[network.manager]\nport = 1.5\n",
            "network.manager.port: is no whole number; write it without quotes",
        ),
        ("[exports]\npoll_seconds = 0\n", "exports.poll_seconds: is too small; write more than 0"),
        ("[exports]\npoll_seconds = 'a'\n", "exports.poll_seconds: is no number; write it without quotes"),
        ("[site]\nname = 3\n", "site.name: is no text; write it in quotes"),
        ("[site]\nname = ''\n", "site.name: is empty; write at least 1 character"),
        (f"[site]\nname = '{'x' * 65}'\n", "site.name: is too long; write at most 64 characters"),
        (
            "[media]\nprofile = 'CD'\n",
            "media.profile: is not possible; write 'STD-GEN-CD', 'STD-GEN-DVD-RAM'",
        ),
        ("[vault]\nmode = 'x'\n", "vault.mode: is not possible; write 'embedded' or 'server'"),
        ("[people]\nauditors = 'x'\n", "people.auditors: is no list; write ['…', '…']"),
        ("network = 3\n", "network: is no table; write its keys below [network]"),
    ],
)
def test_a_fault_is_told_in_plain_words(text: str, said: str) -> None:
    """What is wrong and what would be right is said in words of the file, not of a library."""
    with pytest.raises(ConfigFault) as caught:
        loads(text, "tce.toml")
    assert said in caught.value.what


def test_all_faults_are_named_at_once() -> None:
    """Nobody has to run the command once for each mistake."""
    with pytest.raises(ConfigFault) as caught:
        loads("[site]\nname = 3\n[network.receiver]\nport = 70000\nhots = 'x'\n", "tce.toml")
    assert "site.name" in caught.value.what
    assert "network.receiver.port" in caught.value.what
    assert "network.receiver.hots" in caught.value.what


def test_a_folder_without_a_site_says_how_to_make_one(tmp_path: Path) -> None:
    """A wrong --home is answered with the command that helps."""
    with pytest.raises(SiteMissing) as caught:
        _ = Site(tmp_path).settings
    assert f"tce --home {tmp_path} init" in caught.value.next_step


def test_a_site_keeps_everything_below_its_folder(tmp_path: Path) -> None:
    """A site can be moved or removed as one folder."""
    save(Settings(), tmp_path / "tce.toml")
    site = Site(tmp_path)
    paths = [
        site.vault_home,
        site.spool_dir,
        site.audit_trail,
        site.policies_dir,
        site.cases_dir,
        site.trust_path,
    ]
    assert all(path.is_relative_to(tmp_path) for path in paths)
    assert site.mapping_url.startswith("sqlite:///") and str(tmp_path) in site.mapping_url


def test_one_person_has_one_role() -> None:
    """The role of a person is unambiguous, and a stranger has none."""
    people = PeopleSettings()
    assert people.role_of("custodian-b") == "custodian"
    assert people.role_of("nobody") is None


_TLS = '[network.tls]\ncertificate = "c.pem"\nkey = "k.pem"\nca = "ca.pem"\n'
_PRINT = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[network.manager]\nhost = '0.0.0.0'", "manager.host: other machines could call without TLS"),
        ("[network.manager]\ntls = true", "manager.tls: there are no certificates"),
        (_TLS + "[network.manager]\ntls = true", "TCE_SELECTOR has no certificate in network.tls.peers"),
        ("[network.tls]\ncertificate = 'c.pem'", "certificate, key and ca belong together"),
        (_TLS + "peers = { TCE_SELECTOR = ['abc'] }", "is not legal"),
    ],
)
def test_plaintext_beyond_this_machine_has_to_be_wanted(text: str, said: str) -> None:
    """An actor that others could reach without TLS, or with TLS and no certificates, does not start."""
    with pytest.raises(ConfigFault, match=re.escape(said)):
        loads(text, "tce.toml")


@pytest.mark.parametrize(
    "text",
    [
        "[network]\nplaintext = true\n[network.manager]\nhost = '0.0.0.0'",
        "[network.manager]\nhost = '127.0.0.1'",
        f'{_TLS}peers = {{ "TCE_SELECTOR" = ["{_PRINT}"] }}\n[network.manager]\nhost = "0.0.0.0"\ntls = true',
    ],
    ids=["wanted", "here", "tls"],
)
def test_what_is_secured_or_wanted_is_read_back_the_same(text: str) -> None:
    """Settings for TLS survive being written and read."""
    settings = loads(text, "tce.toml")
    assert loads(dumps(settings), "tce.toml") == settings
