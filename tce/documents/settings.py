"""The table ``documents`` of ``tce.toml``: coding schemes, and what a title or a description leads to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tce.documents.codes import ExportTitle, Scheme
from tce.documents.disposition import CASE_ID, Disposition, DocumentRules

CaseId = Annotated[str, StringConstraints(pattern=f"^{CASE_ID}$")]
Description = Annotated[str, StringConstraints(min_length=1, max_length=1024, strip_whitespace=True)]


class DocumentSettings(BaseModel):
    """Manifests and additional information: how they are coded, and which case is meant where they name none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    selected_codes: Scheme = Field(
        default=Scheme.IHERADTF,
        description="codes that tce select writes: IHERADTF or DCM; both are read everywhere",
    )
    exported_codes: Literal["received", "IHERADTF", "DCM"] = Field(
        default="received",
        description="codes in documents that the Export Manager sends: IHERADTF, DCM, or as they were received",
    )
    descriptions: Mapping[Description, CaseId] = Field(
        default_factory=dict,
        description="case for a Key Object Description that reads exactly so, if no policy request names a case",
    )
    titles: Mapping[Literal["teaching", "trial", "research", "publication"], CaseId] = Field(
        default_factory=dict,
        description="case for a title (teaching, trial, research, publication), if nothing else names a case",
    )

    def rules(self) -> DocumentRules:
        """Return the settings as the Export Manager applies them."""
        titles = {ExportTitle[title.upper()]: case for title, case in self.titles.items()}
        return DocumentRules(
            Disposition(self.descriptions, titles),
            None if self.exported_codes == "received" else Scheme(self.exported_codes),
        )
