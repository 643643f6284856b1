"""The settings of a site: ``tce.toml`` with comments on one side, frozen pydantic models on the other.

Every key carries its comment as the field's description, so the file that ``tce init`` writes and the model
cannot differ. Faults are named with line and key, all of them at once. Secrets do not belong into this file,
and there is no key for one: tokens come from the environment or from the embedded site's own files.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from media.profiles import Profile
from tce.audit.repository import RepositorySettings
from tce.audit.rules import AlertRules
from tce.documents.settings import DocumentSettings
from tce.errors import ConfigFault, SiteMissing
from tce.people import PeopleSettings
from tce.retention import RetentionSettings
from tce.settings_text import fault_text, lines_of_keys, table_text

SETTINGS_FILE = "tce.toml"
HOME_VARIABLE = "TCE_HOME"

AETitle = Annotated[str, StringConstraints(pattern=r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]{1,253}$")]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class SiteSettings(_Table):
    """Who runs this site. Written on media and into audit messages."""

    name: str = Field(
        default="site", min_length=1, max_length=64, description="name of this site in audit messages"
    )
    institution: str = Field(
        default="not named",
        min_length=1,
        max_length=64,
        description="who de-identified, on media; not the hospital",
    )
    contact: str = Field(
        default="whoever gave you this medium",
        min_length=1,
        max_length=128,
        description="whom a finder of a medium can ask",
    )
    node: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9.:_-]{1,253})?$")] = Field(
        default="", description="address or name of this machine in audit messages; empty: its host name"
    )


class VaultSettings(_Table):
    """Where the keys are."""

    mode: Literal["embedded", "server"] = Field(
        default="embedded",
        description="embedded: an OpenBao server of this site's own; server: the address below",
    )
    address: str = Field(
        default="", description="https://… of your Vault or OpenBao, for mode = server; empty: VAULT_ADDR"
    )
    ca: str = Field(
        default="",
        description="file with the CA certificate of that server; empty: VAULT_CACERT, else the system's",
    )
    namespace: str = Field(default="", description="Vault namespace; empty: VAULT_NAMESPACE, else none")

    @model_validator(mode="after")
    def _address_for_a_server(self) -> VaultSettings:
        if self.mode == "server" and self.address and not re.match(r"https?://\S+$", self.address):
            raise ValueError("address: this is no address; write one such as https://vault.example:8200")
        return self


class SelectorSettings(_Table):
    """The Export Selector of this site."""

    ae_title: AETitle = Field(default="TCE_SELECTOR", description="calling AE title of tce select")
    host: Host = Field(
        default="127.0.0.1",
        description="address on which tce select --move listens for what an archive sends; 0.0.0.0: every network",
    )
    port: Port = Field(default=11114, description="port on which it does")


class ActorSettings(_Table):
    """An actor that listens."""

    ae_title: AETitle = Field(description="its AE title")
    host: Host = Field(default="127.0.0.1", description="address to listen on; 0.0.0.0: every network")
    port: Port = Field(description="port to listen on")
    allowed: tuple[AETitle, ...] = Field(description="AE titles that may call; nobody else is answered")
    tls: bool = Field(
        default=False, description="true: answer over TLS only, with the certificates of network.tls"
    )
    durability: Literal["power", "process"] = Field(
        default="power",
        description="what an instance survives once its sender was told Success: the loss of power, or only"
        " the death of this program (several times faster on slow disks)",
    )
    associations: int = Field(
        default=64, ge=1, le=1000, description="associations that may be open at a time"
    )
    largest_instance_mib: int = Field(
        default=16384, ge=1, le=4194304, description="an instance beyond so many MiB ends its association"
    )
    idle_seconds: int = Field(
        default=60, ge=1, le=3600, description="how long a peer may say nothing, or take for one PDU"
    )


class ManagerSettings(ActorSettings):
    """The Export Manager."""

    ae_title: AETitle = Field(default="TCE_MANAGER", description="its AE title")
    port: Port = Field(default=11112, description="port to listen on")
    allowed: tuple[AETitle, ...] = Field(
        default=("TCE_SELECTOR",), description="AE titles that may call; nobody else is answered"
    )


class ReceiverSettings(ActorSettings):
    """The Receiver."""

    ae_title: AETitle = Field(default="TCE_RECEIVER", description="its AE title")
    port: Port = Field(default=11113, description="port to listen on")
    allowed: tuple[AETitle, ...] = Field(
        default=("TCE_MANAGER",), description="AE titles that may call; nobody else is answered"
    )


Fingerprint = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


class TlsSettings(_Table):
    """Certificates for DICOM over TLS (PS3.15 B.12): PEM files, by their path from this folder or absolute."""

    certificate: str = Field(default="", description="this site's certificate with its chain; empty: no TLS")
    key: str = Field(default="", description="its key, without passphrase, readable by the owner only")
    ca: str = Field(default="", description="certificates of those who sign the peers' certificates")
    peers: Mapping[AETitle, tuple[Fingerprint, ...]] = Field(
        default_factory=dict,
        description="AE titles with the fingerprints of their certificates (sha256:…); who calls needs one",
    )

    @model_validator(mode="after")
    def _all_or_none(self) -> TlsSettings:
        given = [bool(one) for one in (self.certificate, self.key, self.ca)]
        if any(given) and not all(given):
            raise ValueError("certificate: certificate, key and ca belong together; give all three or none")
        return self


class PacsSettings(_Table):
    """An archive of pseudonymized instances, from which the Export Manager fetches what an export waits for."""

    ae_title: Annotated[str, StringConstraints(pattern=r"^[!-\[\]-~ ]{0,16}$")] = Field(
        default="", description="its AE title; empty: nothing is fetched"
    )
    host: Host = Field(default="127.0.0.1", description="its address")
    port: Port = Field(default=104, description="its port")
    tls: bool = Field(
        default=False, description="true: call it over TLS, with the certificates of network.tls"
    )
    method: Literal["get", "move"] = Field(
        default="get",
        description="get: over the association that asks; move: it calls the Export Manager, which must allow it",
    )
    after_minutes: float = Field(
        default=0.0,
        ge=0,
        description="fetch without being asked after so long, and again after as long; 0: only by tce exports fetch",
    )


class NetworkSettings(_Table):
    """AE titles and ports of the three actors."""

    plaintext: bool = Field(
        default=False,
        description="true: associations with other machines may go without TLS; within this machine they always may",
    )
    tls: TlsSettings = TlsSettings()
    selector: SelectorSettings = SelectorSettings()
    manager: ManagerSettings = ManagerSettings()
    receiver: ReceiverSettings = ReceiverSettings()
    pacs: PacsSettings = PacsSettings()

    @model_validator(mode="after")
    def _moves_only_to_who_lets_it_in(self) -> NetworkSettings:
        pacs = self.pacs
        if pacs.ae_title and pacs.method == "move" and pacs.ae_title not in self.manager.allowed:
            raise ValueError("pacs.method: it could not call; add its AE title to network.manager.allowed")
        return self

    @model_validator(mode="after")
    def _secured(self) -> NetworkSettings:
        for name, actor in (("manager", self.manager), ("receiver", self.receiver)):
            if actor.tls and not self.tls.certificate:
                raise ValueError(f"{name}.tls: there are no certificates; fill in network.tls")
            if actor.tls and (strangers := set(actor.allowed) - set(self.tls.peers)):
                raise ValueError(
                    f"{name}.allowed: {', '.join(sorted(strangers))} has no certificate in network.tls.peers"
                )
            if not (actor.tls or self.plaintext or is_here(actor.host)):
                raise ValueError(
                    f"{name}.host: other machines could call without TLS; set tls = true, or network.plaintext = true"
                )
        return self


def is_here(host: str) -> bool:
    """Say whether an address is this machine's own and reached by nobody else."""
    return host == "localhost" or host == "::1" or host.startswith("127.")


class ExportSettings(_Table):
    """How the Export Manager waits."""

    settle_seconds: float = Field(default=2.0, ge=0, le=3600, description="quiet time before an export")
    poll_seconds: float = Field(default=0.5, gt=0, le=60, description="how often waiting work is looked at")
    delivery_hours: float = Field(
        default=72.0,
        gt=0,
        description="how long a receiver that is away, full or owes its commitment is tried again",
    )
    stale_hours: float = Field(default=24.0, gt=0, description="an export incomplete for this long fails")


class MediaSettings(_Table):
    """How media are written, and what may come in from one."""

    profile: Profile = Field(
        default=Profile.STD_GEN_CD, description="DICOM application profile: " + ", ".join(Profile)
    )
    images: bool = Field(default=True, description="whether the pages on media show small pictures")
    known_stage_one: tuple[str, ...] = Field(
        default=(),
        description="policies of stage 1, as name@version, whose instances may come in from media; empty: all"
        " that are approved here",
    )
    trusted_signers: tuple[str, ...] = Field(
        default=(),
        description="certificates in PEM, relative to the site's folder, of those who may have signed encrypted media:"
        " their own, or of who issued theirs",
    )


class DatabaseSettings(_Table):
    """Where the mapping and the exports are stored."""

    mapping: str = Field(
        default="", repr=False, description="SQLAlchemy URL of the mapping; empty: SQLite in this folder"
    )
    exports: str = Field(
        default="", repr=False, description="SQLAlchemy URL of the exports; empty: SQLite in this folder"
    )


class Settings(_Table):
    """All of ``tce.toml``."""

    site: SiteSettings = SiteSettings()
    vault: VaultSettings = VaultSettings()
    people: PeopleSettings = PeopleSettings()
    network: NetworkSettings = NetworkSettings()
    exports: ExportSettings = ExportSettings()
    documents: DocumentSettings = DocumentSettings()
    retention: RetentionSettings = RetentionSettings()
    media: MediaSettings = MediaSettings()
    database: DatabaseSettings = DatabaseSettings()
    alerts: AlertRules = AlertRules()
    audit: RepositorySettings = RepositorySettings()


def loads(text: str, source: str) -> Settings:
    """Read settings from text.

    Raises ConfigFault that names every fault as ``SOURCE, line N, key: reason``.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigFault(f"{source}: {exc}", next_step=f"correct this line of {source}") from None
    return checked(raw, source, lines_of_keys(text))


def checked(
    fields: object, source: str, lines: Mapping[tuple[str, ...], int] = MappingProxyType({})
) -> Settings:
    """Make settings of their fields. Raises ConfigFault that names every fault, with its line if it has one."""
    try:
        return Settings.model_validate(fields)
    except ValidationError as exc:
        what = f"{source}: " + "; ".join(fault_text(error, lines) for error in exc.errors())
        raise ConfigFault(what, next_step=f"correct these keys in {source}") from None


def load(path: Path) -> Settings:
    """Read ``tce.toml``. Raises SiteMissing when there is none, ConfigFault when it has faults."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise SiteMissing(
            f"there is no site in {path.parent}",
            next_step=f"make one: tce --home {path.parent} init (see: tce init --help), or name another site: --home",
        ) from None
    except UnicodeDecodeError:
        raise ConfigFault(f"{path.name} is not UTF-8 text", next_step="save it as UTF-8") from None
    return loads(text, str(path))


def dumps(settings: Settings) -> str:
    """Write settings as TOML with a comment above every key; :func:`loads` reads the same settings back."""
    head = "# Settings of this site. Every key has a default: a key that is left out means the default.\n"
    return head + "".join(table_text((), settings))


def save(settings: Settings, path: Path) -> None:
    """Write ``tce.toml``; the file is replaced in one step."""
    draft = path.with_suffix(".new")
    draft.write_text(dumps(settings), "utf-8")
    draft.replace(path)


def default_home() -> Path:
    """Return the site's folder when none is named: ``TCE_HOME``, else the platform's user data folder."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named).expanduser() if named else Path(platformdirs.user_data_dir("tce", appauthor=False))


class Site:
    """A site's folder: where each thing lies, and its settings (read once, when first asked for)."""

    def __init__(self, home: Path) -> None:
        self.home = home.expanduser().absolute()

    @cached_property
    def settings(self) -> Settings:
        """The settings. Raises SiteMissing or ConfigFault."""
        return load(self.settings_path)

    @property
    def settings_path(self) -> Path:
        """The settings file."""
        return self.home / SETTINGS_FILE

    @property
    def vault_home(self) -> Path:
        """The embedded server's folder, with people/ and roles/."""
        return self.home / "vault"

    @property
    def spool_dir(self) -> Path:
        """Received instances that are not exported yet."""
        return self.home / "spool"

    @property
    def receiver_spool_dir(self) -> Path:
        """Instances that the Receiver has taken in."""
        return self.home / "receiver" / "spool"

    @property
    def receiver_url(self) -> str:
        """SQLAlchemy URL of the Receiver's own index."""
        return f"sqlite:///{self.home / 'receiver' / 'exports.db'}"

    @property
    def mapping_url(self) -> str:
        """SQLAlchemy URL of the mapping store."""
        return self.settings.database.mapping or f"sqlite:///{self.home / 'mapping.db'}"

    @property
    def exports_url(self) -> str:
        """SQLAlchemy URL of the exports."""
        return self.settings.database.exports or f"sqlite:///{self.home / 'exports.db'}"

    @property
    def audit_trail(self) -> Path:
        """The audit trail."""
        return self.home / "audit" / "trail.jsonl"

    @property
    def policies_dir(self) -> Path:
        """Policies with their submissions and approvals beside them."""
        return self.home / "policies"

    @property
    def cases_dir(self) -> Path:
        """One folder for each case."""
        return self.home / "cases"

    @property
    def releases_dir(self) -> Path:
        """One folder for each release."""
        return self.home / "releases"

    @property
    def key_version_path(self) -> Path:
        """The version of the keys of stage 1 that a new case takes; absent before the first rotation."""
        return self.home / "key-version"

    @property
    def trust_path(self) -> Path:
        """Public keys of authors, approvers and the release key."""
        return self.home / "trust.json"
