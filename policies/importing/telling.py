"""What the report of an import says beside attributes: defaults, what is lost, and warnings."""

from __future__ import annotations

from collections.abc import Iterator

from policies.importing.original import Dialect, Original, Rest
from policies.importing.report import Fate, Line


def the_rest(original: Original) -> Iterator[Line]:
    """Yield what became of everything that is no single attribute, and of what no policy can do."""
    for lost in original.lost:
        fate = Fate.LOOSER if lost.loosens else Fate.NOT
        yield Line(lost.line, lost.what, "", lost.why, fate)
    for rule in original.rules:
        for what in rule.lost:
            stops = what.startswith("stops")
            fate = Fate.LOOSER if stops else Fate.NOT
            yield Line(rule.line, rule.where.words, what, "not done", fate)
    if not original.rules:
        return
    done = "treated as the Basic Profile does"
    fate = {Rest.KEPT: Fate.STRICTER, Rest.REMOVED: Fate.LOOSER, Rest.PROFILE: Fate.EXACT}[original.rest]
    if original.rest is Rest.REMOVED:
        done += ", so what the profile leaves stays; --compare shows what that is"
    yield Line(original.rest_line, "attributes that no line names", original.rest, done, fate)
    if not original.descends:
        done = "treated item by item, by the same rules"
        yield Line(0, "items of sequences", "kept unless a line descends", done, Fate.STRICTER)


def warnings(original: Original, *, moves: bool) -> Iterator[str]:
    """Yield what has to be known before the report is read; ``moves`` says that the draft moves dates."""
    if any(rule.unkeyed for rule in original.rules):
        yield (
            "The original makes codes or UIDs without a key, so anybody can try them out. Here they are made under"
            " the case's key, and are other ones: data of a running trial will not match without a list"
            " (tce mapping import)."
        )
    if original.uids:
        yield original.uids
    if moves:
        yield (
            "Dates move by another number of days than in the original: one for each patient. For a running trial"
            " import date_offset (tce mapping import)."
        )
    if original.masks:
        yield "Look at images of each kind, and at results, before you submit the rules for pixels."
    if original.dialect is Dialect.CTP_PIXELS:
        yield "An image that no signature matches passed the original untouched; here it is held if it is at risk."
