"""The certificate of a check: one page for people who are no programmers, to be printed and put beside the medium.

It says what was checked, by what, when, with which result, and what nobody has checked. It holds no value of an
instance; the File-set ID, which stands on the medium's label as well, only where it is a legal one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined

from media.checker import Check
from media.digests import FileDigest
from media.errors import LabelFault
from media.fileset import require_legal_fileset_id

QUESTIONS = {
    "protection": "Is every file encrypted, so that a lost medium shows nothing?",
    "opening": "Does every file open, and is it what was signed?",
    "signer": "Is it signed by somebody whom the site trusts?",
    "dicomdir": "Is there one table of contents (DICOMDIR) that any reader can open?",
    "records": "Is its list of patients, studies, series and images whole, with each of them once?",
    "keys": "Does each entry have what readers look for, and nothing of a maker's own?",
    "files": "Is every file that it names there, and no other image beside them?",
    "instances": "Is every image file whole, and written as this kind of medium asks?",
    "agreement": "Does the table of contents say what the files say, and no more?",
    "identity": "Does every file say that the patient's identity was removed?",
    "layout": "Can names, texts and pages be read everywhere, and does nothing start by itself?",
    "volume": "Is the disc itself written so that any system can read it, with nothing hidden beside?",
    "set": "Do the media go together, with no study torn and nothing twice?",
    "policy": "Is everything that the policy takes away gone from every file?",
    "identifiers": "Does none of the names and numbers that were searched for stand anywhere?",
}
_OTHERWISE = "Another check"


@dataclass(frozen=True, slots=True)
class Proved:
    """One medium as it was found. ``digest`` is over all files; ``image_digest`` over the image, if it was one."""

    what: str
    fileset_id: str = field(repr=False)
    instances: int
    checks: Sequence[Check]
    digest: str = field(repr=False)
    image_digest: str = field(repr=False)
    files: Sequence[FileDigest]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def name(self) -> str:
        """The File-set ID where it is legal; whatever else stands there is not shown."""
        try:
            require_legal_fileset_id(self.fileset_id)
        except LabelFault:
            return "without a legal name"
        return self.fileset_id


@dataclass(frozen=True, slots=True)
class Certificate:
    """The check of one medium, or of several that belong together."""

    made: str
    software: str
    site: str = field(repr=False)
    profile: str
    policy: str
    media: Sequence[Proved]
    together: Sequence[Check]
    not_checked: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether every check of every medium passed."""
        return all(one.passed for one in self.media) and all(check.passed for check in self.together)


def as_page(certificate: Certificate) -> str:
    """Return the certificate as one page of XHTML that needs nothing beside it."""
    environment = Environment(
        loader=PackageLoader("media"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("certificate.htm")
    return template.render(certificate=certificate, question=lambda name: QUESTIONS.get(name, _OTHERWISE))


def as_json(certificate: Certificate) -> dict[str, object]:
    """Return the certificate for programs, with the digest of every file."""
    return {
        "passed": certificate.passed,
        "made": certificate.made,
        "software": certificate.software,
        "site": certificate.site,
        "profile": certificate.profile,
        "policy": certificate.policy,
        "media": [
            {
                "medium": one.what,
                "fileset_id": one.name,
                "passed": one.passed,
                "instances": one.instances,
                "checks": [_check(check) for check in one.checks],
                "digest": f"sha256:{one.digest}",
                "image_digest": f"sha256:{one.image_digest}" if one.image_digest else "",
                "files": [
                    {"name": file.name, "octets": file.octets, "digest": f"sha256:{file.hash}"}
                    for file in one.files
                ],
            }
            for one in certificate.media
        ],
        "together": [_check(check) for check in certificate.together],
        "not_checked": list(certificate.not_checked),
    }


def _check(check: Check) -> dict[str, object]:
    return {"name": check.name, "passed": check.passed, "what": check.what}
