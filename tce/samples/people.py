"""The two invented patients and the visits at which they were imaged.

Names and places are realistic in shape (non-ASCII letters, three component groups, several issuers) and
belong to nobody. Each value occurs in many places of the instances built from it, which is the point: a
de-identifier has to find all of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patient:
    """One invented person, as a hospital's registration would know her or him."""

    name: str
    spoken_name: str
    former_name: str
    birth_name: str
    mothers_birth_name: str
    patient_id: str
    issuer: str
    issuer_oid: str
    other_id: str
    other_issuer: str
    insurance: str
    birth_date: str
    birth_time: str
    sex: str
    age: str
    size: str
    weight: str
    address: str
    region: str
    country: str
    phones: tuple[str, str]
    email: str
    occupation: str
    ethnic_group: str
    religion: str
    character_set: str


@dataclass(frozen=True, slots=True)
class Visit:
    """The circumstances of one study: when, where, ordered and done by whom."""

    date: str
    time: str
    accession: str
    accession_issuer: str
    study_id: str
    admission: str
    placer_order: str
    filler_order: str
    referring: str
    referring_address: str
    referring_phone: str
    requesting: str
    performing: str
    reading: str
    operator: str
    institution: str
    institution_address: str
    department: str
    station: str
    device_serial: str
    study_description: str
    procedure: tuple[str, str]
    reason: str
    history: str


@dataclass(frozen=True, slots=True)
class Encounter:
    """One patient at one visit: what the builders turn into a study."""

    key: str
    patient: Patient
    visit: Visit


ASA = Patient(
    name="Lindqvist^Åsa^Margareta^Dr.",
    spoken_name="Åsa Lindqvist",
    former_name="Bergström^Åsa^Margareta",
    birth_name="Bergström^Åsa",
    mothers_birth_name="Hallgren^Ingeborg",
    patient_id="SUE-4471902",
    issuer="KLINIKUM SUEDHANG",
    issuer_oid="1.2.276.0.76.3.1.999.7",
    other_id="860315-2384",
    other_issuer="PERSONNUMMER",
    insurance="K783901246",
    birth_date="19860315",
    birth_time="041500",
    sex="F",
    age="038Y",
    size="1.68",
    weight="63.5",
    address="Tannenweg 17, 79102 Oberried-Geroldstal",
    region="Baden-Württemberg",
    country="DEU",
    phones=("+49 7661 5550143", "0171 5550199"),
    email="asa.lindqvist@posteo.example",
    occupation="Orgelbauerin",
    ethnic_group="Scandinavian",
    religion="Lutheran",
    character_set="ISO_IR 100",
)

KEIZO = Patient(
    name="Yamashiro^Keizo^Takeshi=山城^敬三=やましろ^けいぞう",
    spoken_name="Keizo Yamashiro",
    former_name="Yamashiro^Keizaburo",
    birth_name="Okamura^Keizo",
    mothers_birth_name="Okamura^Fumiko",
    patient_id="0090817734",
    issuer="NORDPARK RADIOLOGIE",
    issuer_oid="1.2.276.0.76.3.1.999.23",
    other_id="X7K2-118-9055",
    other_issuer="NATIONAL REGISTER",
    insurance="T550917348",
    birth_date="19321102",
    birth_time="233000",
    sex="M",
    age="091Y",
    size="1.59",
    weight="54",
    address="Kastanienallee 204, 10999 Berlin-Morgenau",
    region="Brandenburg",
    country="JPN",
    phones=("+49 30 55508812", "+81 3 5550 7621"),
    email="k.yamashiro@mailbox.example",
    occupation="Kontrabassist",
    ethnic_group="Japanese",
    religion="Shinto",
    character_set="ISO_IR 192",
)

THORAX_CT = Encounter(
    key="asa-thorax-ct",
    patient=ASA,
    visit=Visit(
        date="20240611",
        time="101542",
        accession="RIS24061187",
        accession_issuer="SUEDHANG RIS",
        study_id="S118723",
        admission="ADM-2024-55817",
        placer_order="PO77120934",
        filler_order="FO30418856",
        referring="Ahlström^Torvald^^Prof. Dr.",
        referring_address="Praxis am Mühlgraben 3, 79117 Geroldstal",
        referring_phone="+49 7661 5550777",
        requesting="Wiesenthaler^Roswitha",
        performing="Obermoser^Kilian",
        reading="Steinbrecher^Jolanda",
        operator="Pfeifenberger^Ulf",
        institution="Klinikum Südhang",
        institution_address="Am Südhang 1, 79100 Oberried",
        department="Radiologie Haus C",
        station="CTSUEDHANG2",
        device_serial="RH-90114-2277",
        study_description="CT Thorax with contrast",
        procedure=("30621-7", "CT Chest W contrast IV"),
        reason="Follow-up of nodule, Mrs Lindqvist is anxious",
        history="Ms. Åsa Lindqvist, organ builder from Geroldstal, seen by Prof. Ahlström. Nodule right.",
    ),
)

HEAD_MR = Encounter(
    key="keizo-head-mr",
    patient=KEIZO,
    visit=Visit(
        date="20240618",
        time="143007",
        accession="NPR-882046",
        accession_issuer="NORDPARK ORDERS",
        study_id="M600431",
        admission="V-7719036",
        placer_order="PL-0448213",
        filler_order="FL-9920177",
        referring="Quandtmeyer^Leopoldine^^Dr.",
        referring_address="Ärztehaus Morgenau, Ringstraße 8, 10999 Berlin",
        referring_phone="+49 30 55501188",
        requesting="Quandtmeyer^Leopoldine^^Dr.",
        performing="Szymborski^Casimir",
        reading="Vandersteen^Godelieve",
        operator="Rautenkranz^Mechthild",
        institution="Radiologie am Nordpark",
        institution_address="Nordparkstraße 44, 10999 Berlin",
        department="Neuroradiologie",
        station="MRNORDPARK1",
        device_serial="TMS-0004418",
        study_description="MR Head without contrast",
        procedure=("30657-1", "MR Brain WO contrast"),
        reason="Cognitive decline; son Hidetaka Yamashiro asks for opinion",
        history="Mr. Keizo Yamashiro, double bass player, 91 years, born in Nagasaki. Gait disturbance.",
    ),
)
