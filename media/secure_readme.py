"""README.TXT of a secure medium: the one file on it that can be read, and what it says is how to open the others."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from media.pages import README, MediumLabel, in_ascii


def write_secure_readme(
    folder: Path, label: MediumLabel, profile: str, *, certificates: bool, password: bool
) -> None:
    """Write README.TXT from the label alone; ``certificates`` and ``password`` tell what opens the medium."""
    environment = Environment(
        loader=PackageLoader("media"),
        autoescape=False,  # noqa: S701 - plain text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("SECURE.TXT")
    text = template.render(label=label, profile=profile, certificates=certificates, password=password)
    with (folder / README).open("x", encoding="ascii", newline="\r\n") as file:
        file.write(in_ascii(text))
