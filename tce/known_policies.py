"""Which policies instances on media are held against: those that let something in, and those that a check is given.

What comes in is let in by a policy of stage 1 that lies on this site's shelf, in the very text that two people
approved, for as long as that approval holds; ``media.known_stage_one`` of the settings may narrow that further.
"""

from __future__ import annotations

from policies.forms import Forms
from policies.model import Stage
from tce import cases, wiring
from tce.approvals_desk import Desk
from tce.config import Site
from tce.errors import Refused
from tce.gate import Known, known_by
from tce.shelf import Shelf, Shelved


def that_let_in(site: Site, case_id: str = "") -> list[Known]:
    """Return the policies of stage 1 whose results may come in. Raises Refused when there is none.

    A case of this site says what its pseudonyms look like, and for how many it has originals encrypted.
    """
    forms, recipients = Forms(), 0
    if case_id and (cases.case_dir(site.cases_dir, case_id) / cases.CASE_FILE).exists():
        forms = wiring.forms(site, case_id, Stage.PSEUDONYMIZE)
        recipients = len(cases.load(site.cases_dir, case_id).encrypt_for)
    desk = Desk(site)
    found = [
        known_by(one.policy, forms, recipients)
        for one in Shelf(site.policies_dir).all()
        if _may_let_in(one, site.settings.media.known_stage_one)
        and desk.standing(one.path, one.policy.digest).approved
    ]
    if not found:
        raise Refused(
            "no policy of stage 1 is known here, so nothing can be told from identified material",
            next_step="put the hospital's policy of stage 1 among this site's, have it approved, and read again",
        )
    return found


def _may_let_in(one: Shelved, wanted: tuple[str, ...]) -> bool:
    named = f"{one.policy.name}@{one.policy.version}"
    return one.policy.stage is Stage.PSEUDONYMIZE and (not wanted or named in wanted)


def to_check_by(site: Site, policy: str = "", case_id: str = "") -> list[Known]:
    """Return the policies that a check holds instances against: one by its name, both of a case, or none.

    Approved or not: a check says what is, and lets nothing in. Raises UnknownPolicy, UnknownCase, CaseFault or Refused.
    """
    if not policy and not case_id:
        return []
    shelf = Shelf(site.policies_dir)
    if not case_id:
        return [known_by(shelf.find(policy).policy)]
    case = cases.load(site.cases_dir, case_id)
    found = [shelf.exactly(case.stage1), shelf.exactly(case.stage2)]
    if policy:
        found = [one for one in found if one.ref == shelf.find(policy).ref]
    if not found:
        raise Refused(f"the case {case_id} has no such policy", next_step="leave --case or --policy out")
    return [
        known_by(
            one.policy,
            wiring.forms(site, case_id, one.policy.stage),
            len(case.encrypt_for) if one.policy.stage is Stage.PSEUDONYMIZE else 0,
        )
        for one in found
    ]
