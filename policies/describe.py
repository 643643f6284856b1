"""A policy in words that a coordinator reads and an approver signs: what goes, what stays, what is claimed.

The words are made from the policy and the standard's tables, so they cannot say anything else than what the
engine is told. They describe rules, never a patient.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable

from policies.clauses import Region
from policies.model import (
    Action,
    Blank,
    Dates,
    Generalization,
    Override,
    Policy,
    PseudonymSource,
    Risk,
    Stage,
)
from policies.profile import resolve
from policies.quasi_identifiers import AgeBands
from policies.standard.attributes import attribute_named
from policies.standard.beyond import BURNED_IN_RISKS
from policies.standard.rows import printed
from policies.standard.tables import BASIC_CODE, Option, rows

_WIDTH = 100

_STAGES = {
    Stage.PSEUDONYMIZE: "stage 1, pseudonymizes: identifiers get pseudonyms that two custodians can lead back",
    Stage.ANONYMIZE: "stage 2, anonymizes: treats what could still single a person out, and identifiers anew",
}

_OPTIONS = {
    Option.CLEAN_PIXEL_DATA: "images stay in which a pixel rule blacks out what is written on them",
    Option.CLEAN_GRAPHICS: "graphic annotations stay, without what could identify",
    Option.CLEAN_STRUCTURED_CONTENT: "structured reports and manifests stay, cleaned item by item",
    Option.CLEAN_DESCRIPTORS: "descriptions and comments stay as far as their words are known to be safe",
    Option.RETAIN_LONGITUDINAL_FULL_DATES: "dates and times stay as they are",
    Option.RETAIN_LONGITUDINAL_MODIFIED_DATES: "dates stay as dates, and are moved",
    Option.RETAIN_PATIENT_CHARACTERISTICS: "age, sex, size, weight and the like stay",
    Option.RETAIN_DEVICE_IDENTITY: "serial numbers and names of devices stay; AE titles are cleaned",
    Option.RETAIN_UIDS: "UIDs stay as they are, and lead back to the originals",
    Option.RETAIN_SAFE_PRIVATE: "private elements known to be safe (PS3.15 Table E.3.10-1) stay",
    Option.RETAIN_INSTITUTION_IDENTITY: "names and addresses of institutions stay",
}

_GOES = {
    Option.CLEAN_GRAPHICS: "graphic annotations",
    Option.CLEAN_STRUCTURED_CONTENT: "the content of structured reports and manifests",
    Option.CLEAN_DESCRIPTORS: "descriptions and comments",
    Option.RETAIN_PATIENT_CHARACTERISTICS: "age, sex, size, weight and the like",
    Option.RETAIN_DEVICE_IDENTITY: "serial numbers and names of devices",
    Option.RETAIN_SAFE_PRIVATE: "all private elements",
    Option.RETAIN_INSTITUTION_IDENTITY: "names and addresses of institutions",
}

_DATES = {
    Dates.REMOVE: "removed, or replaced by a meaningless one where the standard demands a date",
    Dates.SHIFT: "shifted by a secret number of days, one for all of a patient and another for each patient",
    Dates.TRUNCATE_TO_MONTH: "moved so that a study begins on the first of its month; all dates of a study by as many"
    " days, so that intervals within it stay exact; the month is the true one",
    Dates.TRUNCATE_TO_QUARTER: "moved so that a study begins on the first day of its quarter; all its dates by as"
    " many days, so that intervals within it stay exact; the quarter is the true one",
    Dates.TRUNCATE_TO_YEAR: "moved so that a study begins on the first of January; all dates of a study by as many"
    " days, so that intervals within it stay exact; the year is the true one",
    Dates.STUDY_DAY: "moved so that each patient's event ({event}) falls on 1 January 1960; what is left of a date"
    " is the number of days since the event",
    Dates.KEEP: "kept as they are",
}

_SOURCES = {
    PseudonymSource.KEYED: "derived from the originals under a key, the same for ever; no store is needed",
    PseudonymSource.RANDOM: "drawn at random, new UIDs and numbers of days too, and kept in a store of the case;"
    " nothing of an original is in them",
}

_RISKS = {
    Risk.BURNED_IN_ANNOTATION: "images that say they have text burned in",
    Risk.SECONDARY_CAPTURE: "secondary captures: screens, films and documents as images",
    Risk.ULTRASOUND: "ultrasound images",
    Risk.ENCAPSULATED_DOCUMENT: "encapsulated documents (PDF, CDA, STL, OBJ, MTL)",
    Risk.FILM_SCAN: "digitized films and scanned images, by Conversion Type",
    Risk.VISIBLE_LIGHT: "photographs, endoscopy, microscopy, video and surface scans",
    Risk.RECOGNIZABLE_VISUAL_FEATURES: "images that say they show recognizable features",
    Risk.OPAQUE_STREAM: "video (MPEG-2, MPEG-4, HEVC) and JPEG XL, whose streams cannot be looked through",
    Risk.AUDIO: "recorded voices and other audio",
}

_CONDITIONS = {
    "sop_class": "SOP Class",
    "risk": "risk",
    "modality": "Modality",
    "manufacturer": "Manufacturer",
    "image_type": "Image Type",
    "model": "Manufacturer's Model Name",
    "rows": "Rows",
    "columns": "Columns",
}

_HEADS = Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES
_PIXEL_OPTIONS = {Option.CLEAN_PIXEL_DATA, Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES}

_ACTIONS = {
    Action.D: "replaced by {value}",
    Action.Z: "emptied",
    Action.X: "removed",
    Action.K: "kept",
    Action.C: "cleaned",
    Action.U: "replaced by a new UID",
}


def describe(policy: Policy) -> str:
    """Return the policy in words, as plain text with one heading a part. Equal policies, equal words."""
    parts = [_opening(policy)]
    for heading, entries in (
        ("Warning", warnings(policy)),
        ("What goes", _what_goes(policy)),
        ("What stays", _what_stays(policy)),
        ("Age, dates and UIDs", _age_dates_uids(policy)),
        ("Quasi-identifiers made coarser", _made_coarser(policy)),
        ("Exceptions for single attributes", _exceptions(policy)),
        ("Blacked out in the pixels", _blacked_out(policy)),
        ("Held for a person's review", _held(policy)),
        ("What the result says of itself", _claims(policy)),
    ):
        lines = [_entry(entry) for entry in entries]
        if lines:
            parts.append("\n".join([heading, *lines]))
    return "\n\n".join(parts) + "\n"


def warnings(policy: Policy) -> tuple[str, ...]:
    """Return what whoever approves a policy, or gets what it lets pass, has to know before anything else."""
    if policy.legacy_uids is None:
        return ()
    return (
        "New UIDs are made without a key. Anybody who has an original UID can work out the new one and find the"
        " patient's images by it, and so can anybody who tries out UIDs; equal UIDs are equal in every case with this"
        " root. They are not pseudonyms. Choose this only for a trial that began with such UIDs.",
    )


def _opening(policy: Policy) -> str:
    facts = f"{policy.name} {policy.version}\n{_STAGES[policy.stage]}\n{policy.digest}"
    if policy.extends is not None:
        taken = ", ".join(sorted(policy.extends.keys - {"title", "description"}))
        words = (
            f"extends {policy.extends.base} ({policy.extends.digest}); inherited: {taken or 'nothing whole'}"
        )
        facts += "\n" + textwrap.fill(words, _WIDTH, break_on_hyphens=False)
    return f"{policy.title}\n{facts}\n\n{textwrap.fill(policy.description, _WIDTH)}"


def _what_goes(policy: Policy) -> Iterable[str]:
    tally = Counter(_group(resolve(tag, policy.options) or "") for tag in rows())
    yield (
        f"Of the {len(rows())} attributes of PS3.15 Table E.1-1, {tally['goes']} are removed, emptied or"
        f" replaced by a meaningless value, {tally['uid']} are replaced by new UIDs, {tally['cleaned']} are"
        f" cleaned and {tally['kept']} kept; at every depth, also inside what is kept."
    )
    yield "names, identifiers, addresses and numbers of patients, relatives, physicians and operators"
    for option, words in _GOES.items():
        if option not in policy.options:
            yield words
    yield "overlay planes (60xx,eeee): nobody can say what their bitmaps show"
    yield "whatever neither the standard's dictionary nor this policy knows"


def _what_stays(policy: Policy) -> Iterable[str]:
    yield "pixels, geometry, acquisition and everything else that identifies nobody"
    for option in sorted(policy.options & _OPTIONS.keys(), key=lambda option: option.code):
        words = _OPTIONS[option]
        if option is Option.RETAIN_PATIENT_CHARACTERISTICS and policy.ages:
            words = "sex, size, weight and the like stay, age as a band"
        if option is Option.RETAIN_PATIENT_CHARACTERISTICS and policy.generalize:
            words += ", and coarser where it is said below"
        yield f"{words} ({option})"
    if policy.vocabulary:
        yield f"further words that are safe in descriptions: {', '.join(policy.vocabulary)}"
    for kept in policy.private:
        vr = f", VR {kept.vr}" if kept.vr else ""
        element = f"({kept.group:04X},xx{kept.element:02X})"
        yield f"private element {element} of {kept.creator}{vr}: {kept.reason}"
    if Option.RETAIN_SAFE_PRIVATE in policy.options:
        yield (
            "of private elements that stay: numbers and binary data as they are; texts without dates as above and"
            " without values of the patient; UIDs replaced; names, addresses and numbers that are dates go;"
            " sequences item by item"
        )
        yield (
            "private elements that an instance itself declares safe, if their creator is a known one: numbers,"
            " code strings, and the safe words of texts"
        )


def _age_dates_uids(policy: Policy) -> Iterable[str]:
    if policy.ages:
        yield _age_bands(policy.ages)
    elif Option.RETAIN_PATIENT_CHARACTERISTICS in policy.options:
        yield "Age: kept as it is."
    else:
        yield "Age: removed."
    if not any(override.attribute == "PatientBirthDate" for override in policy.overrides):
        yield "Date of birth: emptied."
    yield f"Dates and times: {_DATES[policy.dates].format(event=policy.event)}."
    if policy.dates.moves:
        yield (
            "Times of day stay. Dates written into texts that stay are moved as well; what names no day, can be read"
            " in two ways, or stands for no date goes."
        )
    if Option.RETAIN_UIDS in policy.options:
        yield "UIDs: kept as they are."
    elif policy.legacy_uids is not None:
        yield (
            f"UIDs: replaced by {policy.legacy_uids.root} and the MD5 of the original, as CTP's @hashuid does:"
            f" {policy.legacy_uids.reason}; equal ones stay equal, so every reference still finds its instance."
        )
    else:
        yield "UIDs: replaced; equal ones stay equal, so every reference still finds its instance."
    yield f"Pseudonyms: {_SOURCES[policy.pseudonyms]}."
    yield from _cohort(policy)


def _cohort(policy: Policy) -> Iterable[str]:
    if policy.k > 1:
        yield f"Cohort: no release of fewer than {policy.k} patients that look alike."
    if policy.k > 1 or policy.disclosure:
        yield f"Patients are compared by {', '.join(policy.quasi_identifiers)}, as released."
    if policy.disclosure and policy.disclosure.sensitive:
        yield (
            f"Those who look alike have at least {policy.disclosure.diversity} different values of"
            f" {policy.disclosure.sensitive}."
        )


def _age_bands(bands: AgeBands) -> str:
    low, high = bands.band(38)
    band = f"{low} to {high} years" if high is not None else f"{low} years and above"
    if bands.width == 1:
        younger = f"; below {bands.start} every age becomes 0" if bands.start else ""
        return f"Age: in completed years{younger}. From {bands.top} years up every age becomes {bands.top}."
    wide = f"bands of {bands.width} years" if bands.width else "bands"
    if bands.bounds:
        wide += f" that begin at 0, {', '.join(map(str, bands.bounds))} years"
    elif bands.start:
        wide += f" from {bands.start} years; below that every age becomes 0"
    return (
        f"Age: {wide}; 38 years become {low}, which stands for {band}."
        f" From {bands.top} years up every age becomes {bands.top}."
    )


def _made_coarser(policy: Policy) -> Iterable[str]:
    for rule in policy.generalize:
        weaker = " [weaker than the profile]" if rule in policy.weakening else ""
        because = f": {rule.reason}" if rule.reason else ""
        yield f"{_named(rule)}{_where(rule)}: {rule.words}{weaker}{because}{_inherited(policy, rule)}"
    if policy.companions:
        named = sorted(attribute_named(printed(tag)).written for tag in policy.companions)
        yield f"gone, because they would tell the same exactly: {', '.join(named)}"
        yield "so are items of reports that tell it"


def _inherited(policy: Policy, rule: Override | Generalization) -> str:
    key = "overrides" if isinstance(rule, Override) else "generalize"
    taken = policy.extends is not None and (key, rule.attribute) in policy.extends.rules
    return " [inherited]" if taken else ""


def _where(rule: Override | Generalization) -> str:
    if rule.when is None:
        return ""
    given = ", ".join(f"{_CONDITIONS[name]} {value}" for name, value in rule.when.given.items())
    return f", where {given}"


def _exceptions(policy: Policy) -> Iterable[str]:
    for override in policy.overrides:
        value = f"'{override.value}'" if override.value is not None else "a meaningless value"
        done = _ACTIONS[override.action].format(value=value)
        weaker = " [weaker than the profile]" if override in policy.weakening else ""
        inherited = _inherited(policy, override)
        yield f"{_named(override)}{_where(override)}: {done}{weaker}: {override.reason}{inherited}"
    if policy.blank is Blank.PLACEHOLDER:
        yield "where a text is emptied, the word REMOVED stands instead"


def _named(rule: Override | Generalization) -> str:
    if "." in rule.attribute or not rule.known.keyword or rule.known.repeats:
        return rule.attribute
    return f"{rule.attribute} {printed(rule.tag)}"


def _held(policy: Policy) -> Iterable[str]:
    reasons = {accepted.risk: accepted.reason for accepted in policy.accept}
    for risk, words in _RISKS.items():
        if risk is Risk.RECOGNIZABLE_VISUAL_FEATURES and _HEADS in policy.options:
            words = "volumes of the head, or of a part of the body that nothing names, and " + words
        if risk in reasons:
            yield f"{words}: pass without review: {reasons[risk]}"
        elif policy.pixels and risk in BURNED_IN_RISKS - {Risk.VISIBLE_LIGHT}:
            yield f"{words}: held, unless a pixel rule blacks out what is written on them"
        else:
            yield f"{words}: held"


def _blacked_out(policy: Policy) -> Iterable[str]:
    own = len(policy.pixels) - (policy.extends.pixels if policy.extends else 0)
    for place, rule in enumerate(policy.pixels):
        conditions = ", ".join(f"{_CONDITIONS[name]} {value}" for name, value in rule.conditions.items())
        regions = "; ".join(_region(region) for region in rule.regions)
        inherited = " [inherited]" if place >= own else ""
        yield f"where {conditions}: {regions}: {rule.reason}{inherited}"
    if policy.pixels:
        yield "all rules that match apply; an image that they do not fit, or that cannot be cleaned, is held"


def _region(region: Region) -> str:
    right = "the right edge" if region.width is None else region.x + region.width - 1
    bottom = "the lower edge" if region.height is None else region.y + region.height - 1
    return f"columns {region.x} to {right}, rows {region.y} to {bottom}"


def _claims(policy: Policy) -> Iterable[str]:
    yield "Patient Identity Removed: YES"
    yield f"Longitudinal Temporal Information Modified: {policy.temporal_information}"
    yield f"De-identification Method: {'; '.join(policy.method_text)}"
    for code, meaning in policy.codes:
        yield f"De-identification Method Code: {code} {meaning}"
    if policy.weakening:
        yield f"{BASIC_CODE[0]} {BASIC_CODE[1]} is not claimed, because exceptions above are weaker than it"
    if policy.pixels:
        pixels = Option.CLEAN_PIXEL_DATA
        yield (
            f"where pixels were blacked out: Burned In Annotation: NO, and De-identification Method Code:"
            f" {pixels.code} {pixels.meaning}; not claimed elsewhere"
        )
    for option in sorted(policy.options - _PIXEL_OPTIONS, key=lambda option: option.code):
        if (option.code, option.meaning) not in policy.codes:
            yield f"{option.code} {option.meaning} is not claimed, because exceptions above contradict it"
    if policy.clinical_trial:
        yield "Clinical Trial modules: sponsor, protocol, site and subject as the case names them"


def _entry(text: str) -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False
    )


def _group(code: str) -> str:
    return {"K": "kept", "C": "cleaned", "U": "uid"}.get(code, "goes")
