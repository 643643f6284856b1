"""The tables of the DICOM Conformance Statement (PS3.2 annex N) and the IHE Integration Statement, from the code.

Each function returns one table, or one page, made of the constants that the program itself uses. The words around
them stand in ``docs/conformance.md`` and ``docs/ihe-integration-statement.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import UID_dictionary

import tce
from media import dicomdir
from media.profiles import Profile, handling_of
from media.record_types import record_type_of
from media.secure_media import secure_identifier
from policies import loader
from policies.elements import BULK_VRS
from policies.model import Policy, Stage
from policies.rules import Rules
from policies.standard.beyond import opaque_syntaxes
from policies.standard.rows import printed
from policies.standard.tables import BASIC_CODE, Option, Row, is_known_sop_class, rows, wildcards
from tce import spool
from tce.archive import Question
from tce.audit.journal import EVENTS, Shape
from tce.config import ActorSettings, ManagerSettings, NetworkSettings, ReceiverSettings, SelectorSettings
from tce.documents.codes import DelayReason, ExportTitle, InformationTitle, Scheme
from tce.network import storage_scu, tls
from tce.network.commitment import PUSH_MODEL
from tce.network.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES, VERIFICATION
from tce.network.query_retrieve import FIND, GET, MOVE
from tce.network.store_reader import MAXIMUM_PDU, WINDOW, Status

Cells = Sequence[object]
DATA_SET = 0x00080000
"""Groups below are commands, File Meta Information and directory structure."""
NEVER_ENCRYPTED = {0x04000500, 0x4FFE0001, 0xFFFAFFFA}


def table(head: Cells, body: Iterable[Cells]) -> str:
    """Return a table in Markdown."""
    return "\n".join((_line(head), f"|{'---|' * len(head)}", *(_line(cells) for cells in body)))


def _line(cells: Cells) -> str:
    return "|" + "|".join(f" {cell} ".replace("  ", " ") for cell in cells) + "|"


def _yes(said: object) -> str:
    return "yes" if said else "no"


def _name(uid: str) -> str:
    return str(UID_dictionary[uid][0]) if uid in UID_dictionary else "not registered"


# --- Networking


def services() -> str:
    """Table N.1-1: network services, and who uses or provides them."""
    storage = f"{len(STORAGE_SOP_CLASSES)} Storage SOP Classes"
    listed = "[all of the standard](reference/sop-classes.md)"
    return table(
        ("SOP Classes", "UID", "Export Selector", "Export Manager", "Receiver"),
        [
            (_name(VERIFICATION), f"`{VERIFICATION}`", "no", "SCP", "SCP"),
            (storage, listed, "SCU; SCP for what an archive sends", "SCU and SCP", "SCP"),
            (_name(FIND), f"`{FIND}`", "SCU", "no", "no"),
            *((_name(uid), f"`{uid}`", "SCU", "SCU", "no") for uid in (MOVE, GET)),
            (_name(PUSH_MODEL), f"`{PUSH_MODEL}`", "no", "SCU, also on associations of the SCP", "SCP"),
        ],
    )


def entities() -> str:
    """Application entities as a new site has them."""
    selector, manager, receiver = SelectorSettings(), ManagerSettings(), ReceiverSettings()
    return table(
        ("application entity", "actor", "AE title", "listens on", "calls", "is called by"),
        [
            (
                "selector",
                "Export Selector",
                *_listener(selector),
                "`--to`, `--from`",
                "the archive, with `--move`",
            ),
            ("manager", "Export Manager", *_listener(manager), "the receivers of a case", _callers(manager)),
            ("receiver", "Receiver", *_listener(receiver), "nobody", _callers(receiver)),
        ],
    )


def _listener(settings: ActorSettings | SelectorSettings) -> tuple[str, str]:
    return settings.ae_title, f"{settings.host}:{settings.port}"


def _callers(settings: ActorSettings) -> str:
    return ", ".join(settings.allowed)


def associations() -> str:
    """Association policies of who listens and of who calls."""
    fields = ActorSettings.model_fields
    megabytes = fields["largest_instance_mib"].default
    return table(
        ("", "as SCP (manager, receiver)", "as SCU (selector, manager)"),
        [
            ("Application Context Name", "`1.2.840.10008.3.1.1.1`", "`1.2.840.10008.3.1.1.1`"),
            ("Implementation Class UID", *[f"`{spool.IMPLEMENTATION_CLASS_UID}`"] * 2),
            ("Implementation Version Name", *[f"`{spool.IMPLEMENTATION_VERSION_NAME}`"] * 2),
            ("maximum PDU size that is received", *[f"{MAXIMUM_PDU:,} bytes"] * 2),
            ("associations at a time", f"`associations`: {fields['associations'].default}", "1"),
            (
                "asynchronous operations window",
                f"up to {WINDOW} invoked where it is asked for, 1 performed",
                f"{WINDOW} invoked, 1 performed; 1 and 1 where it is not granted",
            ),
            ("presentation contexts", "what is proposed and listed below", "at most 128 an association"),
            (
                "a peer may say nothing for",
                f"`idle_seconds`: {fields['idle_seconds'].default} s",
                f"{storage_scu._ANSWER_SECONDS:.0f} s after a C-STORE",
            ),
            ("largest instance", f"`largest_instance_mib`: {megabytes:,} MiB", "none"),
            ("called AE title", "must be the own one", "the peer's"),
            ("calling AE title", "must be one of `allowed`", "the own one"),
        ],
    )


def store_statuses() -> str:
    """Statuses with which a C-STORE is answered."""
    meanings = {
        Status.SUCCESS: "the instance is durable, with all that its index entry needs",
        Status.INVALID_SOP_INSTANCE: "the SOP Instance UID of the request is no UID",
        Status.SOP_CLASS_NOT_SUPPORTED: "the SOP Class of the request is not that of its presentation context",
        Status.OUT_OF_RESOURCES: "it could not be stored; the peer may send it again",
        Status.CANNOT_UNDERSTAND: "never by this version: what cannot be read is told of later",
    }
    return table(
        ("status", "meaning", "when"),
        [(f"0x{one:04X}", one.name.replace("_", " ").lower(), meanings[one]) for one in Status],
    )


def query_keys() -> str:
    """Keys of a query at STUDY level."""
    matched = Question("P", "A", "20310517", "CT").keys()
    return table(
        ("key", "tag", "matched by"),
        [
            (keyword, printed(int(tag_for_keyword(keyword) or 0)), _matching(matched[keyword]))
            for keyword in matched
        ],
    )


def _matching(value: str) -> str:
    if not value:
        return "returned only"
    return "a day or a range" if value.isdigit() else "single value, exactly"


def accepted_answers() -> str:
    """Statuses of a receiver after which an instance counts as delivered."""
    return ", ".join(f"`0x{status:04X}`" for status in storage_scu._SUCCESS_OR_WARNING)


def transfer_syntaxes() -> str:
    """Transfer syntaxes: in the order of preference, and what becomes of instances in them."""
    body = []
    for uid in TRANSFER_SYNTAXES:
        onto = [str(profile) for profile in Profile if handling_of(uid, profile)]
        opaque = uid in opaque_syntaxes()
        media = "all" if len(onto) == len(Profile) else ", ".join(onto) or "none"
        body.append((uid.name, f"`{uid}`", "held, unless the policy accepts" if opaque else "yes", media))
    return table(("transfer syntax", "UID", "de-identified", "media profiles that take it"), body)


def sop_classes_page(note: str) -> str:
    """Every Storage SOP Class that is accepted."""
    body = [
        (
            _name(uid) + (" (retired)" if "Retired" in UID_dictionary[uid][3] else ""),
            f"`{uid}`",
            _yes(is_known_sop_class(uid)),
            record.name if (record := record_type_of(uid)) else "none",
        )
        for uid in STORAGE_SOP_CLASSES
    ]
    return "\n".join(
        (
            "# Storage SOP Classes",
            f"\n{note}\n",
            "The manager and the receiver accept these as Storage SCP, in each of the transfer syntaxes of the",
            "[conformance statement](../conformance.md#transfer-syntaxes); the selector and the manager propose those",
            "of what they send. What is not de-identified is refused after it came in, by name. A SOP Class without a",
            "directory record goes onto no medium. Private SOP Classes are rejected at negotiation.\n",
            table(("SOP Class", "UID", "de-identified", "directory record"), body),
            "",
        )
    )


def settings_of_security() -> str:
    """What the TLS profile asks for."""
    return table(
        ("", ""),
        [
            ("profile", "BCP 195 RFC 9325 TLS Secure Transport Connection Profile (PS3.15 B.12)"),
            ("lowest version", "TLS 1.2"),
            ("cipher suites of TLS 1.2", f"`{tls._CIPHERS}` (OpenSSL's notation); TLS 1.3: all"),
            ("who shows a certificate", "both sides, always"),
            ("how a peer is known", "by a CA of `network.tls.ca` and the SHA-256 of its certificate"),
            (
                "without TLS",
                "within one machine; with others only where `network.plaintext = true` (new sites: "
                f"{str(NetworkSettings().plaintext).lower()})",
            ),
        ],
    )


def audit_messages() -> str:
    """DICOM audit messages, and the events that become one."""
    names = {
        Shape.ALERT: "Security Alert",
        Shape.LOGIN: "User Authentication",
        Shape.ACTIVITY: "Application Activity",
        Shape.LOG_USED: "Audit Log Used",
        Shape.TRANSFER: "DICOM Instances Transferred",
    }
    found: dict[str, list[str]] = {}
    for name, row in EVENTS.items():
        if row.shape in names:
            message = "Begin Transferring DICOM Instances" if name == "begin transfer" else names[row.shape]
            found.setdefault(message, []).append(f"`{name}`")
    found["Export"], found["Import"] = ["`medium.written`"], ["`medium.read`"]
    return table(("message (PS3.15 A.5.3)", "events"), [(m, ", ".join(found[m])) for m in sorted(found)])


def character_sets() -> str:
    """Specific Character Sets that are read."""
    return ", ".join(
        f"`{term}`" for term in sorted(python_encoding) if term.startswith(("ISO_IR", "ISO 2022", "GB"))
    )


# --- Media


def media_profiles() -> str:
    """Media application profiles, roles and transfer syntaxes."""
    return table(
        ("application profile", "secure", "roles", "transfer syntaxes on the medium"),
        [
            (
                profile,
                secure_identifier(profile),
                "FSC, FSR",
                ", ".join(sorted(_name(uid) for uid in profile.transfer_syntaxes)),
            )
            for profile in Profile
        ],
    )


def media_implementation() -> str:
    """Who wrote a DICOMDIR."""
    return f"`{dicomdir.IMPLEMENTATION_CLASS_UID}`, `{dicomdir.IMPLEMENTATION_VERSION_NAME}`"


# --- De-identification


def confidentiality() -> str:
    """Table N.8-7: the profile and its options."""
    shipped = {name: loader.load_library(name) for name in loader.library()}
    body: list[Cells] = [
        (
            "Basic Profile",
            BASIC_CODE[0],
            "manager, stage 1 files to files",
            "yes",
            "in part",
            _in(shipped, None),
        )
    ]
    for option in Option:
        claimed = any((option.code, option.meaning) in _codes(option, cleaned) for cleaned in (False, True))
        where = "manager, stage 1 files to files" if claimed else "never claimed"
        body.append((option.meaning, option.code, where, _yes(claimed), "no", _in(shipped, option)))
    return table(
        ("option", "CID 7050", "AE", "de-identifier", "re-identifier", "in the shipped policies"),
        body,
    )


def _codes(option: Option, cleaned: bool) -> tuple[tuple[str, str], ...]:
    """What may be claimed under a policy with one option more than a shipped one."""
    plain = loader.load_library("basic")
    try:
        changed = Policy.model_validate(
            {**plain.model_dump(mode="json", exclude={"dates", "options"}), "options": [option]}
        )
    except ValueError:
        return ()
    return changed.codes_of(pixels_cleaned=cleaned)


def _in(shipped: Mapping[str, Policy], option: Option | None) -> str:
    found = [name for name, policy in shipped.items() if option is None or option in policy.options]
    return ", ".join(found) or "none; any policy may"


def attributes_page(note: str) -> str:
    """Table N.11-6: what each attribute of Table E.1-1 gets under each shipped policy."""
    names = loader.library()
    compiled = {name: Rules(loader.load_library(name)) for name in names}
    first = next(name for name in names if loader.load_library(name).stage is Stage.PSEUDONYMIZE)
    body: list[Cells] = []
    for tag in sorted(rows()):
        row = rows()[tag]
        codes = [compiled[name].code((tag,), _vr(row)) for name in names]
        encrypted = "Y" if _goes_in(row, codes[names.index(first)]) else "N"
        body.append((row.name, printed(tag), *codes, encrypted, _comment(row, codes[0], compiled)))
    lines = [
        "# De-identified attributes",
        f"\n{note}\n",
        "Table N.11-6 of PS3.2: the action code of PS3.15 Table E.1-1a for each attribute, under the shipped policies.",
        "A compound code (X/Z/D) is resolved by the attribute's Type in the IOD, at its place. *Encrypted*: stage 1",
        "puts the original into the Encrypted Attributes Sequence where the case names recipients. How values are",
        "made: [conformance statement](../conformance.md#how-values-are-made).\n",
        table(("attribute", "tag", *names, "encrypted", "comment"), body),
        "\nRows that are not a single tag:\n",
        table(
            ("attributes", "action", "comment"),
            [(row.name, "X", said) for row, said in _groups()],
        ),
        "",
    ]
    return "\n".join(lines)


def _groups() -> Iterator[tuple[Row, str]]:
    groups = wildcards()
    yield groups.curve_data, "the whole group; not encrypted"
    yield groups.overlay_data, "the whole group of overlays; not encrypted"
    yield groups.overlay_comments, "the whole group of overlays; not encrypted"
    yield groups.private, "unless Retain Safe Private keeps a known one; not encrypted"


def _vr(row: Row) -> bytes:
    return row.vr.split()[0].encode() if row.vr else dictionary_VR(row.tag).encode()


def _goes_in(row: Row, code: str) -> bool:
    """Whether stage 1 changes an attribute that it can put into the Encrypted Attributes Sequence."""
    outside = row.tag < DATA_SET or row.tag in NEVER_ENCRYPTED or _vr(row) in BULK_VRS
    return not outside and (code != "K" or _vr(row) == b"SQ")


def _comment(row: Row, code: str, compiled: Mapping[str, Rules]) -> str:
    if code == "K" and "U*" in row.basic:
        return "references stay, with new UIDs"
    banded = [name for name, rules in compiled.items() if rules.bands and row.keyword == "PatientAge"]
    return f"in bands: {', '.join(banded)}" if banded else ""


# --- IHE


def actors() -> str:
    """The IHE Integration Statement's table: profiles, actors, options."""
    return table(
        ("integration profile", "actor", "transactions", "options"),
        [
            (
                "Teaching File and Clinical Trial Export (TCE)",
                "Export Selector",
                "RAD-50, RAD-51, RAD-52",
                "Additional Teaching File Information, Delay for Reason",
            ),
            (
                "Teaching File and Clinical Trial Export (TCE)",
                "Export Manager",
                "RAD-50, RAD-51, RAD-52, RAD-53",
                "De-identify Pixel Data, Remap Identifiers, Additional Teaching File Information, Delay for Reason",
            ),
            ("Teaching File and Clinical Trial Export (TCE)", "Receiver", "RAD-53", "none"),
            ("Portable Data for Imaging (PDI)", "Portable Media Creator", "RAD-47", "Web Content"),
            ("Portable Data for Imaging (PDI)", "Portable Media Importer", "RAD-47", "none"),
        ],
    )


def manifest_codes() -> str:
    """Titles and delay reasons in both schemes."""
    coded = (*ExportTitle, *InformationTitle, *DelayReason)
    return table(
        ("meaning", *(f"{scheme} code" for scheme in Scheme)),
        [(one.meaning, *(one.code(scheme).value for scheme in Scheme)) for one in coded],
    )


def product() -> str:
    """Which product and version the statements are about."""
    return f"tce {tce.__version__}"


STATEMENT: Mapping[str, Callable[[], str]] = {
    "product": product,
    "services": services,
    "media profiles": media_profiles,
    "entities": entities,
    "associations": associations,
    "store statuses": store_statuses,
    "accepted answers": accepted_answers,
    "query": query_keys,
    "transfer syntaxes": transfer_syntaxes,
    "security": settings_of_security,
    "audit": audit_messages,
    "confidentiality": confidentiality,
    "character sets": character_sets,
    "media implementation": media_implementation,
}
INTEGRATION: Mapping[str, Callable[[], str]] = {
    "product": product,
    "actors": actors,
    "codes": manifest_codes,
}
