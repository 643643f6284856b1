"""The audit repository of a site, as ``tce.toml`` names it: where it is, how it is known, which dialect it reads.

How messages travel there is :mod:`tce.audit.syslog`'s, what is sent and when :mod:`tce.audit.forwarding`'s.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

_ADDRESS = re.compile(
    r"(?P<transport>tls|udp)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_PORTS = {"tls": 6514, "udp": 514}


class Form(StrEnum):
    """What a repository expects of a syslog message: ITI-20 of IHE, or PS3.15 A.6 of DICOM."""

    IHE = "IHE"
    DICOM = "DICOM"


class RepositorySettings(BaseModel):
    """The audit repository that audit messages are sent to (RFC 5424). What it did not get yet waits in the trail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str = Field(
        default="",
        description="tls://host:6514 (RFC 5425, with the certificates of network.tls) or udp://host:514 (RFC 5426;"
        " may lose messages, and everybody on the way can read them); empty: none",
    )
    fingerprints: tuple[Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")], ...] = Field(
        default=(), description="of its certificate (sha256:…); empty: its certificate has to name its host"
    )
    form: Form = Field(
        default=Form.IHE, description="IHE: messages as ITI-20 wants them; DICOM: as PS3.15 does"
    )
    away_hours: Annotated[float, Field(ge=0, le=8760)] = Field(
        default=1.0, description="a Security Alert tells when it was away for this long"
    )

    @model_validator(mode="after")
    def _an_address(self) -> RepositorySettings:
        if self.repository and not (_ADDRESS.fullmatch(self.repository) and 0 < self.port < 65536):
            raise ValueError("repository: this is no address; write tls://host:6514 or udp://host:514")
        return self

    @property
    def transport(self) -> str:
        """``tls`` or ``udp``; nothing without a repository."""
        return self._part("transport")

    @property
    def host(self) -> str:
        """Its name or address, without the brackets of IPv6."""
        return self._part("host").strip("[]")

    @property
    def port(self) -> int:
        """Its port; by default that of the transport."""
        return int(self._part("port") or _PORTS[self.transport])

    def _part(self, name: str) -> str:
        found = _ADDRESS.fullmatch(self.repository)
        return (found[name] or "") if found else ""
