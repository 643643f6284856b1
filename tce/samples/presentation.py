"""A softcopy presentation state that references the images and names the person in its annotation.

PS3.3 A.33.1, grayscale, with one circle and one text object, as a reading workstation stores it. Shutters,
bitmaps and blending are left out: they add no place in which an identity could hide.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import UID

from tce.samples.headers import (
    new_document,
    reference_to,
    set_file_meta,
    set_performed_step,
    set_series,
)
from tce.samples.people import Encounter

GRAYSCALE_PRESENTATION_STATE = UID("1.2.840.10008.5.1.4.1.1.11.1")


def presentation_state(encounter: Encounter, images: Sequence[Dataset], *, number: int) -> Dataset:
    """A grayscale softcopy presentation state for ``images``; the middle one has a circled, named finding."""
    ds = new_document(encounter, GRAYSCALE_PRESENTATION_STATE, "presentation")
    set_series(ds, encounter, modality="PR", series="presentation", number=number, description="Key findings")
    set_performed_step(ds, encounter)
    ds.BodyPartExamined = images[0].BodyPartExamined
    ds.Manufacturer, ds.ManufacturerModelName = "Waldkauz Systeme", "Befundplatz"
    ds.SoftwareVersions = "12.0"
    ds.InstanceNumber = "1"
    ds.ContentLabel, ds.ContentDescription = "FINDINGS", f"Findings of {encounter.patient.spoken_name}"
    ds.ContentCreatorName = encounter.visit.reading
    ds.PresentationCreationDate, ds.PresentationCreationTime = encounter.visit.date, "165020"
    series = Dataset()
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    series.ReferencedImageSequence = [reference_to(image) for image in images]
    ds.ReferencedSeriesSequence = [series]
    ds.DisplayedAreaSelectionSequence = [_displayed_area(images[0])]
    ds.GraphicAnnotationSequence = [_annotation(encounter, images[len(images) // 2])]
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = "FINDINGS", "1"
    layer.GraphicLayerDescription = f"drawn by {encounter.visit.reading.split('^')[0]}"
    ds.GraphicLayerSequence = [layer]
    voi = Dataset()
    voi.WindowCenter, voi.WindowWidth = "40", "400"
    ds.SoftcopyVOILUTSequence = [voi]
    ds.PresentationLUTShape = "IDENTITY"
    set_file_meta(ds, encounter)
    return ds


def _displayed_area(image: Dataset) -> Dataset:
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [image.Columns, image.Rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    area.PresentationPixelSpacing = list(image.PixelSpacing)
    return area


def _annotation(encounter: Encounter, image: Dataset) -> Dataset:
    circle = Dataset()
    circle.GraphicAnnotationUnits = "PIXEL"
    circle.GraphicDimensions, circle.NumberOfGraphicPoints = 2, 2
    circle.GraphicData = [32.0, 32.0, 40.0, 32.0]
    circle.GraphicType, circle.GraphicFilled = "CIRCLE", "N"
    words = Dataset()
    words.BoundingBoxAnnotationUnits = "PIXEL"
    words.UnformattedTextValue = f"{encounter.patient.name.split('^')[0]} {encounter.visit.date}: target"
    words.BoundingBoxTopLeftHandCorner = [42.0, 26.0]
    words.BoundingBoxBottomRightHandCorner = [62.0, 36.0]
    words.BoundingBoxTextHorizontalJustification = "LEFT"
    annotation = Dataset()
    annotation.ReferencedImageSequence = [reference_to(image)]
    annotation.GraphicLayer = "FINDINGS"
    annotation.GraphicObjectSequence = [circle]
    annotation.TextObjectSequence = [words]
    return annotation
