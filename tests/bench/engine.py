"""The engine alone: CPU of reading and writing an instance, and of headers with very many nested elements.

No Vault, no workers, no folder: pseudonyms come from a hash. CPU time is told, so that waiting does not count.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from policies.engine import Engine
from policies.loader import load_library
from policies.pseudonyms import Identifier
from tests.bench.ours import TRIAL
from tests.bench.work_sets import WorkSet, large_instances
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

_LAPS = 3
_BATCH = 128
_STAGES = {"stage 1": "pseudonymization", "stage 2": "longitudinal-trial"}
_ELEMENTS_IN_A_FRAME = 10
_FRAME, _PLACE = "@@@@@@", "-0123.4567"


def engine_table(sets: list[WorkSet], out: Path) -> str:
    """Return CPU milliseconds an instance as a table in Markdown."""
    lines = [
        "",
        "### The engine alone, CPU milliseconds an instance",
        "",
        "| | read | write | both |",
        "|---|---|---|---|",
    ]
    for work_set in sets:
        files = sorted(work_set.folder.iterdir())
        for stage, policy in _STAGES.items():
            laps = [_lap(policy, files, out) for _ in range(_LAPS)]
            read, write = (min(lap[at] for lap in laps) * 1000 / len(files) for at in (0, 1))
            lines.append(f"| {work_set.name}, {stage} | {read:.2f} | {write:.2f} | {read + write:.2f} |")
    return "\n".join(lines)


def nested_table(counts: list[int], folder: Path) -> str:
    """Return how fast enhanced multi-frame headers go through, as a table in Markdown."""
    lines = [
        "",
        "### Enhanced multi-frame headers, the engine alone",
        "",
        "| nested elements | header MB | CPU s | MB a second |",
        "|---|---|---|---|",
    ]
    folder.mkdir()
    for elements in counts:
        file = folder / f"{elements}.dcm"
        write_nested(file, elements)
        size = file.stat().st_size / 1e6
        seconds = min(sum(_lap("longitudinal-trial", [file], folder / "out")) for _ in range(_LAPS))
        lines.append(f"| {elements:,} | {size:.1f} | {seconds:.2f} | {size / seconds:.0f} |")
    return "\n".join(lines)


def write_nested(path: Path, elements: int) -> None:
    """Write an Enhanced CT without pixel data whose functional groups hold about as many elements."""
    ds = next(iter(large_instances(1)))
    group = ds.PerFrameFunctionalGroupsSequence[0]
    del ds.PixelData
    frames = max(1, elements // _ELEMENTS_IN_A_FRAME)
    ds.NumberOfFrames = str(frames)
    group.FrameContentSequence[0].FrameComments = f"frame {_FRAME} of {ds.PatientName.family_name}"
    group.PlanePositionSequence[0].ImagePositionPatient = ["1.0", "2.0", _PLACE]
    ds.PerFrameFunctionalGroupsSequence = []
    ds.save_as(path, enforce_file_format=True)
    item = _encoded(group)
    items = b"".join(_item(item, frame) for frame in range(frames))
    empty = b"\x00\x52\x30\x92SQ\0\0"
    before, after = path.read_bytes().split(empty + bytes(4))
    path.write_bytes(b"".join((before, empty, len(items).to_bytes(4, "little"), items, after)))


def _lap(policy: str, files: list[Path], out: Path) -> tuple[float, float]:
    """Return CPU seconds of reading and of writing some files with a fresh engine."""
    engine, known = Engine(load_library(policy), trial=TRIAL), CountedPseudonyms()
    out.mkdir()
    reading = writing = 0.0
    try:
        for at in range(0, len(files), _BATCH):
            began = time.process_time()
            drafts = [engine.read(path) for path in files[at : at + _BATCH]]
            reading += time.process_time() - began
            answers: Mapping[Identifier, str] = known.resolve([draft.subject for draft in drafts])
            began = time.process_time()
            for place, draft in enumerate(drafts):
                engine.write(draft, answers, out / f"{at + place}.dcm")
                draft.close()
            writing += time.process_time() - began
    finally:
        shutil.rmtree(out)
    return reading, writing


def _encoded(ds: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return buffer.getvalue()


def _item(template: bytes, frame: int) -> bytes:
    content = template.replace(_FRAME.encode(), b"%06d" % frame)
    content = content.replace(_PLACE.encode(), b"%+010.4f" % (frame % 4000 * 1.25 - 2500))
    return b"\xfe\xff\x00\xe0" + len(content).to_bytes(4, "little") + content
