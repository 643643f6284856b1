"""The channels beside the attributes of an IOD: what else of a data set can carry a name.

Each function plants into a data set and returns what it planted. Channels of bytes that no data set shows are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from policies.selftest.attributes import canary_value, channel_of, said
from policies.selftest.canary import Canary, Kind, Mint, Until
from policies.selftest.forgotten import GIVEN_NAMES
from policies.standard.tables import rows, safe_private

Channel = Callable[[Dataset, Mint], list[Canary]]

_TEXTS = ("LO", "SH", "ST", "LT", "UT", "UC")
_UNKNOWN_TAGS = (0x0018F7F1, 0x0008F001, 0x7777_0010, 0x1234_5678, 0x0040_F0F0)


def _word(mint: Mint, channel: str, where: str, until: Until = Until.STAGE_1) -> Canary:
    return Canary(channel, mint.word(), Kind.WORD, until, where)


def private_unknown(ds: Dataset, mint: Mint) -> list[Canary]:
    """Elements of creators that nobody knows, in every text VR and as bytes; and the creator itself."""
    planted = []
    for group, vrs in ((0x0009, _TEXTS), (0x0029, ("PN", "OB", "UN", "UI", "DA", "DS", "UR", "CS"))):
        creator = _word(mint, "private creator", f"({group:04X},0010)")
        planted.append(creator)
        block = ds.private_block(group, str(creator.value), create=True)
        for offset, vr in enumerate(vrs, start=1):
            made = canary_value(mint, vr)
            assert made is not None
            block.add_new(offset, vr, made[0])
            planted.append(
                Canary("private, unknown creator", made[1], made[2], Until.STAGE_1, f"private {vr}")
            )
    return planted


def private_sequences(ds: Dataset, mint: Mint) -> list[Canary]:
    """A private sequence, with standard and private elements inside, and another inside that."""
    name, text, inner = (_word(mint, "inside private sequences", what) for what in ("name", "text", "inner"))
    deepest = Dataset()
    deepest.PatientName = f"{inner.value!s}^Ann"
    item = Dataset()
    item.PatientName, item.InstitutionName = str(name.value), str(text.value)
    item.private_block(0x0021, "TCE CANARY", create=True).add_new(1, "SQ", Sequence([deepest]))
    ds.private_block(0x0021, "TCE CANARY", create=True).add_new(2, "SQ", Sequence([item]))
    return [name, text, inner]


def private_known_safe(ds: Dataset, mint: Mint) -> list[Canary]:
    """Elements that Table E.3.10-1 calls safe: they stay with the option Retain Safe Private, and without it they
    go.
    """
    planted = []
    for (creator, group, element), row in sorted(safe_private().items()):
        vr = row.vr if len(row.vr) == 2 else ""
        made = canary_value(mint, vr) if vr and vr not in ("SQ", "FD", "OB", "OW", "UN") else None
        if made is None:
            continue
        ds.private_block(group, creator, create=True).add_new(element, vr, made[0])
        channel = "private, safe by E.3.10-1"
        planted.append(
            Canary(channel, made[1], made[2], Until.BY_RULE, f"{creator} {vr}", (group << 16 | 0x1000,), vr)
        )
    return planted


def private_lying_safe(ds: Dataset, mint: Mint) -> list[Canary]:
    """An element of a safe creator that is not in the table, and one in another group than the table's."""
    planted = [_word(mint, "private, beside the safe ones", what) for what in ("element", "group")]
    ds.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0xEE, "LO", planted[0].value)
    ds.private_block(0x0051, "GEMS_ACQU_01", create=True).add_new(0x01, "LO", planted[1].value)
    return planted


def private_characteristics(ds: Dataset, mint: Mint) -> list[Canary]:
    """Private Data Element Characteristics that call a block unsafe, and name a person in their own text."""
    word, text = (
        _word(mint, "private, declared unsafe", "value"),
        _word(mint, "private, declared unsafe", "meaning"),
    )
    ds.private_block(0x0033, "TCE CANARY", create=True).add_new(1, "LO", word.value)
    item = Dataset()
    item.PrivateGroupReference, item.PrivateCreatorReference = 0x0033, "TCE CANARY"
    item.BlockIdentifyingInformationStatus = "UNSAFE"
    definition = Dataset()
    definition.PrivateDataElement, definition.PrivateDataElementDescription = 1, str(text.value)
    item.PrivateDataElementDefinitionSequence = Sequence([definition])
    ds.PrivateDataElementCharacteristicsSequence = Sequence([item])
    return [word, Canary(text.channel, text.value, text.kind, Until.STAGE_2, text.where)]


def unknown_tags(ds: Dataset, mint: Mint) -> list[Canary]:
    """Elements of even groups that no dictionary knows."""
    planted = []
    for tag, vr in zip(_UNKNOWN_TAGS, ("LO", "PN", "UT", "OB", "UN"), strict=True):
        made = canary_value(mint, vr)
        assert made is not None
        ds.add_new(tag, vr, made[0])
        planted.append(Canary("unknown standard tags", made[1], made[2], Until.STAGE_1, said((tag,)), (), vr))
    return planted


def newer_rows(ds: Dataset, mint: Mint) -> list[Canary]:
    """Rows of Table E.1-1 that are newer than the dictionary in use."""
    planted = []
    for tag, row in rows().items():
        made = canary_value(mint, row.vr) if not keyword_for_tag(tag) else None
        if made is not None and row.vr not in ("FD",):
            ds.add_new(tag, row.vr, made[0])
            planted.append(
                Canary(
                    "rows newer than the dictionary",
                    made[1],
                    made[2],
                    Until.BY_RULE,
                    row.keyword,
                    (tag,),
                    row.vr,
                )
            )
    return planted


def repeating_groups(ds: Dataset, mint: Mint) -> list[Canary]:
    """Curves (50xx), overlays (60xx) in several planes, and other repeating groups."""
    planted = []
    for group in (0x5000, 0x5002, 0x501E):
        for element, vr in ((0x0022, "LO"), (0x2500, "LO"), (0x3000, "OB"), (0x0040, "SH")):
            planted.append(_put(ds, group << 16 | element, vr, mint, "curves (50xx)"))
    for group in (0x6000, 0x6002, 0x60FE):
        ds.add_new(group << 16 | 0x0010, "US", 4)
        ds.add_new(group << 16 | 0x0011, "US", 4)
        for element, vr in ((0x0022, "LO"), (0x1500, "LO"), (0x3000, "OB"), (0x4000, "LT")):
            planted.append(_put(ds, group << 16 | element, vr, mint, "overlays (60xx)"))
    for tag, vr in ((0x00203100, "CS"), (0x7F000010, "OB"), (0x7F040010, "OB")):
        planted.append(_put(ds, tag, vr, mint, "other repeating groups", Until.STAGE_2))
    return planted


def modified_and_original(ds: Dataset, mint: Mint) -> list[Canary]:
    """Original, Modified and Nonconforming Attributes, Encrypted Attributes, signatures and MAC parameters."""
    channel = "original, modified, encrypted, signed"
    names = [
        _word(mint, channel, f"{what}/PatientName") for what in ("Original", "Modified", "Nonconforming")
    ]
    values = []
    for name in names:
        item = Dataset()
        item.PatientName = f"{name.value!s}^Ann"
        values.append(item)
    original = Dataset()
    original.ModifiedAttributesSequence = Sequence([values[0]])
    original.NonconformingModifiedAttributesSequence = Sequence([values[2]])
    original.SourceOfPreviousValues = ""
    ds.OriginalAttributesSequence = Sequence([original])
    ds.ModifiedAttributesSequence = Sequence([values[1]])
    secret, mac, signer = (
        _word(mint, channel, what) for what in ("EncryptedContent", "Signature", "Certificate")
    )
    encrypted = Dataset()
    encrypted.EncryptedContentTransferSyntaxUID = "1.2.840.10008.1.2.1"
    encrypted.EncryptedContent = str(secret.value).encode()
    ds.EncryptedAttributesSequence = Sequence([encrypted])
    signature = Dataset()
    signature.MACIDNumber, signature.Signature = 1, str(mac.value).encode()
    signature.CertificateOfSigner = str(signer.value).encode()
    signature.DigitalSignatureUID = "1.2.3.4"
    ds.DigitalSignaturesSequence = Sequence([signature])
    parameters = Dataset()
    parameters.MACIDNumber, parameters.MACAlgorithm = 1, "SHA256"
    algorithm = _word(mint, channel, "MACAlgorithm")
    parameters.MACAlgorithm = str(algorithm.value).upper()
    ds.MACParametersSequence = Sequence([parameters])
    return [*names, secret, mac, signer, algorithm]


def icon(ds: Dataset, mint: Mint) -> list[Canary]:
    """An icon whose cells spell a name, with a private element inside."""
    cells, text = _word(mint, "icon images", "PixelData"), _word(mint, "icon images", "private")
    item = Dataset()
    item.Rows = item.Columns = 4
    item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
    item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 8, 8, 7, 0
    item.add_new(0x7FE00010, "OB", str(cells.value).encode().ljust(16, b"\0"))
    item.private_block(0x0009, "TCE CANARY", create=True).add_new(1, "LO", text.value)
    ds.IconImageSequence = Sequence([item])
    return [cells, text]


def trailing_padding(ds: Dataset, mint: Mint) -> list[Canary]:
    """Data Set Trailing Padding."""
    return [_put(ds, 0xFFFCFFFC, "OB", mint, "data set trailing padding")]


def local_codes(ds: Dataset, mint: Mint) -> list[Canary]:
    """Code Meaning of codes of a local scheme, where codes stay: anatomy, views, contrast, purpose."""
    planted = []
    for keyword in ("AnatomicRegionSequence", "ViewCodeSequence", "PatientOrientationCodeSequence"):
        for scheme in ("99HOSP", "L"):
            word = _word(mint, "code meaning of local codes", f"{keyword}/CodeMeaning", Until.STAGE_2)
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "4711", scheme, str(word.value)
            setattr(ds, keyword, Sequence([*ds.get(keyword, []), item]))
            planted.append(word)
    return planted


def wrong_vr(ds: Dataset, mint: Mint) -> list[Canary]:
    """Names in elements of numbers, dates, ages and UIDs: a legal encoding of an illegal value."""
    planted = []
    for keyword, vr in (
        *(("SliceThickness", "DS"), ("KVP", "DS"), ("InstanceNumber", "IS"), ("SeriesNumber", "IS")),
        *(("ContentDate", "DA"), ("ContentTime", "TM"), ("AcquisitionDateTime", "DT"), ("PatientAge", "AS")),
        *(("SynchronizationFrameOfReferenceUID", "UI"), ("ScanningSequence", "CS"), ("PatientWeight", "DS")),
    ):
        word = _word(mint, "wrong kind of value for the VR", keyword, Until.STAGE_2)
        ds.add(DataElement(keyword, vr, str(word.value), already_converted=True))
        planted.append(word)
    return planted


def every_attribute(first: int, last: int) -> Channel:
    """Return a channel that plants at the top level what the dictionary knows from one tag to another."""

    def plant(ds: Dataset, mint: Mint) -> list[Canary]:
        planted = []
        for tag in _dictionary():
            if not first <= tag < last or tag in ds:
                continue
            vr = dictionary_VR(tag).split(" ")[0]
            made = canary_value(mint, vr)
            if made is not None:
                several = dictionary_VM(tag) not in ("1", "0-1")
                ds.add_new(
                    tag, vr, [made[0], made[0]] if several and vr in ("LO", "SH", "PN", "UI") else made[0]
                )
                channel = (
                    channel_of((tag,), vr) if tag in GIVEN_NAMES else "every attribute of the dictionary"
                )
                planted.append(
                    Canary(
                        channel,
                        made[1],
                        made[2],
                        Until.BY_RULE,
                        said((tag,)),
                        (tag,),
                        vr,
                    )
                )
        return planted

    return plant


def _dictionary() -> Iterator[int]:
    from pydicom._dicom_dict import DicomDictionary

    kept = {0x00080016, 0x00080018, 0x00080005}
    return (
        tag
        for tag in sorted(DicomDictionary)
        if tag >> 16 >= 8 and tag & 0xFFFF and tag >> 16 < 0x7FE0 and tag not in kept
    )


def _put(ds: Dataset, tag: int, vr: str, mint: Mint, channel: str, until: Until = Until.STAGE_1) -> Canary:
    made = canary_value(mint, vr)
    assert made is not None
    ds.add_new(tag, vr, made[0])
    return Canary(channel, made[1], made[2], until, said((tag,)), (), vr)


CHANNELS: tuple[Channel, ...] = (
    private_unknown,
    private_sequences,
    private_known_safe,
    private_lying_safe,
    private_characteristics,
    unknown_tags,
    newer_rows,
    repeating_groups,
    modified_and_original,
    icon,
    trailing_padding,
    local_codes,
    wrong_vr,
)
