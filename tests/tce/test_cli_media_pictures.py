"""Whether the pages on media show pictures is a setting, and a choice for one medium."""

from __future__ import annotations

from pathlib import Path

import pytest

from tce.cli import main
from tce.config import MediaSettings, Settings, save
from tests.media.builders import an_instance, written


@pytest.mark.parametrize(
    ("setting", "option", "pictures"),
    [(True, [], 1), (False, [], 0), (True, ["--no-images"], 0), (False, ["--images"], 1)],
)
def test_pictures_can_be_left_out(tmp_path: Path, setting: bool, option: list[str], pictures: int) -> None:
    """The option wins over the setting; without either there are pictures."""
    home = tmp_path / "site"
    home.mkdir()
    save(Settings(media=MediaSettings(images=setting)), home / "tce.toml")
    source = written(an_instance(), tmp_path / "in")
    out = tmp_path / "medium"
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(home), "media", "write", str(source), "--out", str(out), *option])
    assert not ended.value.code
    assert len(list(out.rglob("*.JPG"))) == pictures
