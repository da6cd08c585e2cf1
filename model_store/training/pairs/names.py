"""Partners by name: the same path below the folders of both sides."""

from __future__ import annotations

import re
from pathlib import Path

from model_store.errors import DataError
from model_store.training.pairs.listing import (
    Listing,
    Pair,
    Told,
    below,
    pair_name,
    same_file,
    some,
)
from model_store.training.pairs.patients import bare_name, patient_of
from model_store.training.pairs.section import PairsData
from model_store.training.readers.kinds import may_be_image

_WILD = re.compile(r"(\*+|\?|\[[^\]]*\])")


def side_files(folder: Path, pattern: str) -> list[Path]:
    """Files of one side, sorted; those that cannot be images are left out.

    Raises
    ------
    DataError
        If the folder is missing, or has none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; it should hold one side of the pairs")
    paths = sorted(
        path for path in folder.rglob(pattern) if may_be_image(path) and not path.is_dir()
    )
    if not paths:
        raise DataError(
            f"{folder}: no image file matches {pattern!r}; one side of the pairs is empty"
        )
    return paths


def by_name(section: PairsData, folder: Path, told: Told) -> Listing:
    """Match the two folders of a section by the names of their files.

    Raises
    ------
    DataError
        If a side is missing, two files of a side have one name, nothing has a partner, or partners
        are one file or of two patients.
    """
    roots = folder / (section.noisy or ""), folder / (section.partner or "")
    patterns = section.noisy_pattern, section.partner_pattern
    noisy, partner = (
        _keyed(side_files(root, pattern), root, pattern)
        for root, pattern in zip(roots, patterns, strict=True)
    )
    common = sorted(noisy.keys() & partner.keys())
    if not common:
        first, second = next(iter(noisy.values())), next(iter(partner.values()))
        raise DataError(
            f"{roots[0]}, {roots[1]}: no file of one has a partner of the same name in the other "
            f"({below(first, folder)}, {below(second, folder)}); rename them, state patterns, "
            'match = "geometry" for DICOM, or a table'
        )
    pairs = []
    for index, key in enumerate(common):
        one, other = noisy[key], partner[key]
        name = pair_name(folder, one, other)
        if same_file(one, other):
            raise DataError(f"{name}: the same file on both sides of a pair")
        patients = {
            patient_of(section, path, root) for path, root in zip((one, other), roots, strict=True)
        }
        if len(patients) > 1:
            raise DataError(
                f"{name}: partners by name, but of two patients; check the files, or state what "
                "tells patients apart in data.patient"
            )
        pairs.append(Pair(one, other, patients.pop(), name))
        told("matching", index + 1, len(common))
    alone = [noisy[key] for key in noisy.keys() - partner.keys()]
    alone += [partner[key] for key in partner.keys() - noisy.keys()]
    return Listing(tuple(pairs), tuple(sorted(str(below(path, folder)) for path in alone)))


def _keyed(paths: list[Path], root: Path, pattern: str) -> dict[str, Path]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(_key(path.relative_to(root), pattern), []).append(path)
    doubled = [str(path) for same in found.values() if len(same) > 1 for path in same]
    if doubled:
        raise DataError(f"{some(doubled)}: files of one side with the same name but for suffixes")
    return {key: same[0] for key, same in found.items()}


def _key(relative: Path, pattern: str) -> str:
    """The folders and what a pattern's wildcards stand for, or else the name less suffixes."""
    folders = relative.parent.as_posix()
    last = pattern.rpartition("/")[2]
    name = bare_name(relative.name)
    if last.strip("*") and (found := _groups(last).fullmatch(relative.name)):
        name = "/".join(found.groups()) or name
    return f"{folders}/{name}"


def _groups(pattern: str) -> re.Pattern[str]:
    """A file pattern as a regular expression with a group for every wildcard."""
    parts = []
    for part in _WILD.split(pattern):
        if _WILD.fullmatch(part):
            found = {"*": ".*", "?": "."}.get(part[0], part.replace("[!", "[^"))
            parts.append(f"({found})")
        else:
            parts.append(re.escape(part))
    return re.compile("".join(parts))
