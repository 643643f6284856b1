"""Which case a selection is for: what its documents say, else what the settings say about title or description.

The profile leaves it to the Export Manager's configuration what a title or a Key Object Description leads to
(RAD-51, RAD-53). Here everything leads to a case, and the case to policy and receivers. Nothing is guessed: documents
that name no case, or two, hold the export.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tce.documents.codes import ExportTitle, Scheme
from tce.documents.manifest import Manifest
from tce.documents.teaching_file_info import PolicyRequest
from tce.road import Hold, Reason

CASE_ID = r"[a-z][a-z0-9-]{0,30}"  # anything else is free text and no name of a case


@dataclass(frozen=True, slots=True)
class Disposition:
    """What the settings say: the case of a description that is written exactly so, and the case of a title."""

    descriptions: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[ExportTitle, str] = field(default_factory=dict)

    def case_of(self, requests: Sequence[PolicyRequest], manifests: Sequence[Manifest]) -> str:
        """Return the id of the case. Raises Hold when the documents name none, or more than one.

        1. the policy request says it (RAD-52);
        2. else the Key Object Description, which the settings know or which is the id of a case;
        3. else the title, if the settings know one for it.
        """
        named = (
            {request.case for request in requests if request.case}
            or {case for one in manifests if (case := self._described(one.description.strip()))}
            or {self.titles[one.title] for one in manifests if one.title in self.titles}
        )
        if not named:
            raise Hold([Reason("no-case", "neither the documents nor the settings name a case for it")])
        if len(named) > 1 or not all(re.fullmatch(CASE_ID, name) for name in named):
            raise Hold([Reason("ambiguous-case", "the documents do not name one case")])
        return named.pop()

    def _described(self, description: str) -> str:
        """Return the case that a description leads to; empty for other free text."""
        own = description if re.fullmatch(CASE_ID, description) else ""
        return self.descriptions.get(description, own)


@dataclass(frozen=True, slots=True)
class DocumentRules:
    """How documents are read and written: what leads to which case, and in which codes they leave.

    Without a scheme they leave with the codes that they came with.
    """

    disposition: Disposition = Disposition()
    scheme: Scheme | None = None
