"""A release record as in-toto Statements, and back: instances are the subjects, everything else is the predicate.

A statement speaks of at most a thousand instances, because a key server takes no text of any size; a larger release
is several statements with one predicate, each saying which part of how many it is. Files hold one envelope a line (an
in-toto bundle); of an ordinary release that is one.

    https://github.com/in-toto/attestation   spec/v1: statement.md, resource_descriptor.md, bundle.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tce.errors import ReleaseError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:uuid:0d1c6f3a-5b0e-4a57-9e0b-6f0d2c5e7a41"
"""The predicate that this module writes; ``format`` in it says so in words."""
MOST_SUBJECTS = 1000

Instance = Mapping[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """What statements say: the predicate without its part, and the instances."""

    predicate: Mapping[str, Any]
    instances: Sequence[Instance]


def canonical(content: object) -> bytes:
    """Return JSON in the one form that digests and signatures are made over."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def written(account: Account) -> list[bytes]:
    """Return the payloads of the statements of an account; one also for an account of nothing."""
    parts = -(-len(account.instances) // MOST_SUBJECTS) or 1
    return [canonical(_statement(account, number, parts)) for number in range(parts)]


def _statement(account: Account, number: int, parts: int) -> dict[str, Any]:
    predicate = dict(account.predicate)
    predicate["part"] = {"number": number + 1, "of": parts}
    of_part = account.instances[number * MOST_SUBJECTS : (number + 1) * MOST_SUBJECTS]
    return {
        "_type": STATEMENT_TYPE,
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
        "subject": [_subject(one) for one in of_part],
    }


def read(payloads: Sequence[bytes]) -> Account:
    """Return what statements say. Raises ReleaseError unless they are all parts of one account, in order."""
    predicates, instances = [], []
    try:
        for number, payload in enumerate(payloads, 1):
            statement = json.loads(payload)
            if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
                raise ValueError
            predicate = dict(statement["predicate"])
            if predicate.pop("part") != {"number": number, "of": len(payloads)}:
                raise ValueError
            predicates.append(predicate)
            instances += [_instance(one) for one in statement["subject"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _broken() from None
    if not predicates or any(predicate != predicates[0] for predicate in predicates):
        raise _broken()
    return Account(predicates[0], instances)


def _subject(instance: Instance) -> dict[str, Any]:
    """Return an instance as a resource descriptor: its digest is the sealed file's."""
    rest = dict(instance)
    name, digest = rest.pop("sop_instance_uid"), rest.pop("file_digest")
    return {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}, "annotations": rest}


def _instance(subject: Mapping[str, Any]) -> Instance:
    return {
        **subject["annotations"],
        "sop_instance_uid": subject["name"],
        "file_digest": f"sha256:{subject['digest']['sha256']}",
    }


def _broken() -> ReleaseError:
    return ReleaseError(
        "the statements of the record are not those of one release, all and in order",
        next_step="name the folder of a release, or its release.json",
    )
