"""Scripts of other de-identifiers become drafts, never looser than the profile unless a line says so by name."""

from __future__ import annotations

import random

import pytest
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_for_tag

from policies.errors import PolicyFault
from policies.importing import dialects
from policies.importing.ctp_calls import meaning
from policies.importing.drafting import Drafting
from policies.importing.original import Dialect, Effect
from policies.importing.report import Fate, Report
from policies.importing.writing import written
from policies.loader import load_library
from policies.model import Action, Dates, Policy
from policies.rules import Rules
from policies.standard.tables import Option

CTP = """<script>
 <p t="ROOT">1.2.3</p>
 <p t="DAYS">-77</p>
 <e en="T" t="00080018" n="SOPInstanceUID">@hashuid(@ROOT,this)</e>
 <e en="T" t="00080020" n="StudyDate">@incrementdate(this,@DAYS)</e>
 <e en="T" t="00080080" n="InstitutionName">Trial centre</e>
 <e en="T" t="00080060" n="Modality">@require()</e>
 <e en="T" t="00081010" n="StationName">@keep()</e>
 <e en="T" t="00081030" n="StudyDescription">@keep()</e>
 <e en="T" t="00100010" n="PatientName">@keep()</e>
 <e en="T" t="00100040" n="PatientSex">@if(this,isblank){@remove()}{@keep()}</e>
 <e en="F" t="00101030" n="PatientWeight">@keep()</e>
 <e en="T" t="00101010" n="PatientAge">@round(this,5)</e>
 <e en="T" t="00180015" n="BodyPartExamined">@remove()</e>
 <e en="T" t="00080008" n="ImageType">@if(this,contains,"SCREEN"){@quarantine()}{@keep()}</e>
 <e en="T" t="00080070" n="Manufacturer">@nosuchfunction(this)</e>
 <k en="T" t="safeprivateelements">x</k>
 <r en="T" t="privategroups">x</r>
 <r en="T" t="unspecifiedelements">x</r>
</script>
"""

KARNAK = """name: "A"
version: "1.0"
profileElements:
  - name: "keep"
    codename: "action.on.specific.tags"
    action: "K"
    tags:
      - "(0010,0040)"
      - "0008,10XX"
  - name: "if"
    codename: "action.on.specific.tags"
    action: "K"
    condition: "tagIsPresent(#Tag.PatientID)"
    tags:
      - "0008,1010"
  - name: "dates"
    codename: "action.on.dates"
    option: "shift_range"
    arguments:
      max_days: 100
    tags:
      - "0008,0020"
  - name: "remove"
    codename: "action.on.specific.tags"
    action: "X"
    tags:
      - "0018,0015"
  - name: "Basic"
    codename: "basic.dicom.profile"
"""

DEID = """FORMAT dicom

%filter graylist

LABEL Screens # of one scanner
  equals Modality US
  + equals Rows 480
  + equals Columns 640
  coordinates 0,0,640,40

LABEL Others
  contains ImageType SAVE
  coordinates 0,0,10,10

%header

BLANK StationName
KEEP StationName
REPLACE InstitutionName var:site
JITTER StudyDate -31
REMOVE endswith:Comments
KEEP contains:Sex
REMOVE ALL values:names
REPLACE BodyPartExamined PART
"""

DICOMEDIT = """version "6.3"
// first this, then that
(0008,1010) := "A"
- (0008,1010)
(0008,0020) := shiftDateByIncrement[ (0008,0020), "14" ]
(0008,0018) := hashUID[ (0008,0018) ]
(0020,0011) = "99" ? - (0018,0015)
(0008,0070) := uppercase[ (0008,0070) ]
removeAllPrivateTags
reject[ "no" ]
"""

PIXELS = """Text (of no importance)
  { Modality.equals("US") * Rows.equals("480") * Columns.equals("640") }
  (0,0,640,40) (-100,440,100,40)

  { Manufacturer.containsIgnoreCase("Example") * (Rows.equals("10") + Rows.equals("20")) }
  (0,0,5,5)

  { !Modality.equals("CT") } (0,0,5,5)
  { SeriesDescription.contains("Dose") } (0,0,5,5)
"""


def drafted(text: str, dialect: Dialect) -> tuple[Policy, Report]:
    fields, report = Drafting(dialects.read(text, dialect), name="ours", version="1").draft
    return written(fields)[1], report


def action(policy: Policy, keyword: str) -> Action | None:
    return next((override.action for override in policy.overrides if override.attribute == keyword), None)


def fate(report: Report, what: str) -> Fate:
    """How an attribute fared, whatever else its line does."""
    return next(line.fate for line in report.lines if line.what == what and line.done != "not done")


def listed_as_more(report: Report) -> set[str]:
    return {line.what for line in report.keeps_more}


def looser(policy: Policy) -> set[str]:
    """Attributes of the dictionary that a policy keeps, moves or cleans, and the shipped basic profile does not."""
    ours, basic = Rules(policy), Rules(load_library("basic"))
    found = set()
    for tag in DicomDictionary:
        vr = dictionary_VR(tag)[:2].encode()
        if ours.code((tag,), vr) in ("K", "C") and basic.code((tag,), vr) not in ("K", "C"):
            found.add(keyword_for_tag(tag))
    return found


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (Dialect.CTP, CTP),
        (Dialect.KARNAK, KARNAK),
        (Dialect.DEID, DEID),
        (Dialect.DICOMEDIT, DICOMEDIT),
        (Dialect.CTP_PIXELS, PIXELS),
    ],
)
def test_nothing_is_looser_than_the_profile_unless_the_approver_is_told(dialect: Dialect, text: str) -> None:
    """What a draft keeps, moves or cleans beyond the basic profile is in the list that comes first."""
    policy, report = drafted(text, dialect)
    assert looser(policy) <= listed_as_more(report)
    assert {override.attribute for override in policy.weakening} <= listed_as_more(report)


def test_no_script_whatever_loosens_unseen() -> None:
    """The same is true of scripts that nobody would write."""
    chance = random.Random(7)
    rules = [
        "@keep()",
        "@remove()",
        "@empty()",
        "@incrementdate(this,3)",
        "@hashuid(1.2,this)",
        "@hash(this)",
        "@if(this,exists){@keep()}{@empty()}",
        "text",
        "@round(this,10)",
        "@process()",
        "@contents(this)",
        "@always()@quarantine()",
        "",
    ]
    tags = [tag for tag in DicomDictionary if not tag >> 16 & 1]
    for _ in range(8):
        rows = "".join(
            f'<e en="T" t="{tag:08x}" n="x">{chance.choice(rules)}</e>\n' for tag in chance.sample(tags, 150)
        )
        policy, report = drafted(f"<script>\n{rows}</script>", Dialect.CTP)
        assert looser(policy) <= listed_as_more(report)


def test_ctp_is_carried_over_line_by_line() -> None:
    """Each row of a CTP script ends as its functions say, or stricter."""
    policy, report = drafted(CTP, Dialect.CTP)
    assert policy.dates is Dates.SHIFT
    assert policy.ages is not None and policy.ages.lowers[:4] == (0, 3, 8, 13)
    assert Option.RETAIN_SAFE_PRIVATE in policy.options
    assert action(policy, "StationName") is Action.K
    assert action(policy, "StudyDescription") is Action.C
    assert action(policy, "BodyPartExamined") is Action.X
    assert action(policy, "Manufacturer") is Action.X
    assert action(policy, "PatientName") is None
    assert action(policy, "PatientWeight") is Action.X, "a row that is not enabled keeps nothing"
    assert action(policy, "PatientSex") is not Action.K, "what may be removed is not kept"
    assert fate(report, "SOPInstanceUID") is Fate.EXACT
    assert fate(report, "StudyDate") is Fate.EXACT
    assert fate(report, "Modality") is Fate.EXACT
    assert fate(report, "InstitutionName") is Fate.EXACT
    assert fate(report, "PatientName") is Fate.STRICTER
    assert fate(report, "StudyDescription") is Fate.STRICTER
    assert fate(report, "attributes that no line names") is Fate.LOOSER
    assert [line.line for line in report.of(Fate.LOOSER) if line.what == "ImageType"] == [15]
    assert any("without a key" in warning for warning in report.warnings)


def test_a_date_that_nobody_asked_to_keep_goes_though_others_move() -> None:
    """The option that moves dates moves those only that the script moves or keeps by name."""
    policy, _ = drafted(CTP, Dialect.CTP)
    rules = Rules(policy)
    assert rules.code((0x00080020,), b"DA") == "C"
    assert rules.code((0x00080021,), b"DA") == "X"
    assert rules.code((0x00100030,), b"DA") == "Z"


def test_reasons_name_the_line_of_the_original() -> None:
    """Who reads an override finds where it comes from."""
    policy, _ = drafted(CTP, Dialect.CTP)
    reasons = {override.attribute: override.reason for override in policy.overrides}
    assert reasons["StationName"] == "Line 8 of the original keeps it by name."


def test_properties_say_the_same_as_xml() -> None:
    """The older encoding of a script gives the same policy, and rows that are commented out are no rows."""
    xml = (
        '<script><e en="T" t="00081010" n="StationName">@keep()</e>'
        '<e en="T" t="00180015" n="BodyPartExamined">@remove()</e><r en="T" t="privategroups">x</r></script>'
    )
    properties = (
        "# a script\nset.[0008,1010]StationName=@keep()\n#set.[0010,1030]PatientWeight=@keep()\n"
        "set.[0018,0015]BodyPartExamined=@remove()\nremove.privategroups=x\n"
    )
    one, _ = drafted(xml, Dialect.CTP)
    other, _ = drafted(properties, Dialect.CTP)
    assert {(o.attribute, o.action) for o in one.overrides} == {
        (o.attribute, o.action) for o in other.overrides
    }


def test_private_elements_stay_only_beside_the_safe_ones() -> None:
    """A private element that a script keeps by name stays where the script keeps safe ones as well, and else goes."""
    row = '<e en="T" t="0019[MAKER]0A" n="x">@keep()</e>'
    safe = '<k en="T" t="safeprivateelements">x</k><r en="T" t="privategroups">x</r>'
    policy, report = drafted(f"<script>{row}{safe}</script>", Dialect.CTP)
    assert [(one.creator, one.group, one.element) for one in policy.private] == [("MAKER", 0x19, 0x0A)]
    assert "private element 0A of group 0019" in listed_as_more(report)
    policy, _ = drafted(f"<script>{row}</script>", Dialect.CTP)
    assert not policy.private and Option.RETAIN_SAFE_PRIVATE not in policy.options


@pytest.mark.parametrize(
    ("rule", "effects"),
    [
        ("@keep()", {Effect.KEPT}),
        ("@always()@empty()", {Effect.EMPTIED}),
        ("", {Effect.EMPTIED}),
        ("@remove()x", {Effect.REMOVED}),
        ("x@hash(this)", {Effect.COMPUTED}),
        ("@param(@A)", {Effect.CONSTANT}),
        ("@if(this,exists){@keep()}", {Effect.KEPT, Effect.EMPTIED}),
        ("@select(){@keep()}{@remove()}", {Effect.KEPT, Effect.REMOVED}),
        (
            '@if(a,equals,"){"){@keep()}{@if(this,exists){@empty()}{z}}',
            {Effect.KEPT, Effect.EMPTIED, Effect.CONSTANT},
        ),
        ("@lookup(this,ptid)", {Effect.PSEUDONYM}),
        ("@lookup(this,ptid,keep)", {Effect.PSEUDONYM, Effect.KEPT}),
        ("@unknown(this)", {Effect.COMPUTED}),
        ("@quarantine()", set()),
    ],
)
def test_a_rule_of_ctp_means_all_that_it_may_do(rule: str, effects: set[Effect]) -> None:
    """Functions are read with their clauses, and what is unknown is computed, so that it goes."""
    assert meaning(rule, {"A": "b"}).effects == effects


def test_karnak_keeps_what_it_names_and_not_what_a_pattern_means() -> None:
    """The first element that yields an action decides; patterns and conditions keep nothing beyond the profile."""
    policy, report = drafted(KARNAK, Dialect.KARNAK)
    assert action(policy, "PatientSex") is Action.K
    assert action(policy, "StudyDescription") is None
    assert action(policy, "StationName") is None
    assert action(policy, "BodyPartExamined") is Action.X
    assert policy.dates is Dates.SHIFT
    assert fate(report, "attributes that no line names") is Fate.EXACT


def test_deid_actions_have_their_rank() -> None:
    """KEEP decides before BLANK wherever it stands; what depends on a function or on values does not stay."""
    policy, report = drafted(DEID, Dialect.DEID)
    assert action(policy, "StationName") is Action.K
    assert action(policy, "ImageComments") is None
    assert action(policy, "PatientSex") is None, "a pattern keeps nothing"
    assert action(policy, "BodyPartExamined") is Action.D
    assert fate(report, "InstitutionName") is Fate.STRICTER
    assert fate(report, "REMOVE") is Fate.LOOSER
    assert [(rule.modality, rule.rows, rule.columns) for rule in policy.pixels] == [("US", 480, 640)]
    assert [(region.width, region.height) for region in policy.pixels[0].regions] == [(640, 40)]


def test_dicomedit_is_decided_by_the_last_statement() -> None:
    """Statements are carried out from top to bottom, and one under a condition may have happened."""
    policy, report = drafted(DICOMEDIT, Dialect.DICOMEDIT)
    assert action(policy, "StationName") is None
    assert fate(report, "StationName") is Fate.EXACT
    assert action(policy, "BodyPartExamined") is Action.X
    assert action(policy, "Manufacturer") is Action.X
    assert policy.dates is Dates.SHIFT
    assert fate(report, "private elements") is Fate.EXACT
    assert fate(report, "reject") is Fate.LOOSER


def test_masks_are_never_for_more_images_and_never_smaller() -> None:
    """CTP draws a row and a column more than it says; alternatives become rules, and negations become none."""
    policy, report = drafted(PIXELS, Dialect.CTP_PIXELS)
    first, *others = policy.pixels
    assert [(r.x, r.y, r.width, r.height) for r in first.regions] == [(0, 0, 640, 41), (540, 440, 100, 40)]
    assert sorted((rule.manufacturer, rule.rows) for rule in others) == [("Example", 10), ("Example", 20)]
    assert all((region.width, region.height) == (6, 6) for rule in others for region in rule.regions)
    assert [line.line for line in report.of(Fate.NOT)] == [8, 9]
    assert len(report.keeps_more) == 3


@pytest.mark.parametrize(
    ("text", "asked", "said"),
    [
        (KARNAK, Dialect.DEID, "a profile of Karnak"),
        (DEID, Dialect.CTP, "a recipe of deid"),
        (CTP, Dialect.DICOMEDIT, "a script of CTP's DicomAnonymizer"),
        (DICOMEDIT, Dialect.KARNAK, "a script of DicomEdit 6"),
        (PIXELS, Dialect.CTP, "a script of CTP's DicomPixelAnonymizer"),
        ("ptid/1 = 2\n", Dialect.CTP, "a lookup table of CTP"),
        ("hello", Dialect.CTP, "nor anything else"),
        ("", Dialect.KARNAK, "nor anything else"),
    ],
)
def test_another_dialect_is_refused_with_the_reason(text: str, asked: Dialect, said: str) -> None:
    """The dialect is asked for; a file that is another says which."""
    with pytest.raises(PolicyFault, match=said):
        dialects.read(text, asked)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE script [<!ENTITY a SYSTEM "file:///etc/hostname">]><script><e en="T" t="00100010">&a;</e></script>',
        '<script><!DOCTYPE x><e en="T" t="00100010" n="x">@keep()</e></script>',
        '<script><e en="T" t="00100010">&undeclared;</e></script>',
        "<script><e></script>",
        "<script></script>",
        "<script><other/></script>",
    ],
)
def test_hostile_or_broken_xml_is_refused(text: str) -> None:
    """Entities and document types are never followed, and a script that says nothing is no script."""
    with pytest.raises(PolicyFault) as refused:
        dialects.read(text, Dialect.CTP)
    assert "etc" not in str(refused.value)


def test_hostile_yaml_is_refused() -> None:
    """Aliases that blow up are not followed."""
    with pytest.raises(PolicyFault, match="aliases"):
        dialects.read("profileElements: &a [x]\nb: [*a, *a]\n", Dialect.KARNAK)
    with pytest.raises(PolicyFault, match="not YAML"):
        dialects.read("profileElements:\n" + "[" * 5000, Dialect.KARNAK)


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("<script>" + "<!-- x -->" * 20_000 + "<other>", Dialect.CTP),
        ("FORMAT dicom\n%header\nKEEP contains:(a+)+$\n", Dialect.DEID),
        ("profileElements:\n" + "- " * 3000, Dialect.KARNAK),
        ('{ Modality.equals("' + "(" * 100_000, Dialect.CTP_PIXELS),
        (
            "{ " + '(Rows.equals("1") + Rows.equals("2")) * ' * 40 + 'Rows.equals("1") } (0,0,1,1)',
            Dialect.CTP_PIXELS,
        ),
        ("(0008,0020) := " + "f[" * 9_000, Dialect.DICOMEDIT),
        ('<script><e en="T" t="00100010">' + "@if(a,exists){" * 3000 + "</e></script>", Dialect.CTP),
    ],
)
def test_no_text_makes_the_import_stumble(text: str, dialect: Dialect) -> None:
    """Whatever is in a file, the import ends with a draft or with a refusal."""
    try:
        policy, report = drafted(text, dialect)
    except PolicyFault:
        return
    assert looser(policy) <= listed_as_more(report)


def test_the_report_has_no_text_of_the_original() -> None:
    """Fixed texts, arguments and parameters may hold anything, and the report has none of them."""
    _, report = drafted(CTP, Dialect.CTP)
    told = report.as_text(exact=True) + str(report.as_json())
    assert "Trial centre" not in told and "-77" not in told and "SCREEN" not in told
