"""Label maps of real pelves (NIfTI and `labels.json`) to an atlas for the phantoms."""

from __future__ import annotations

import json
from pathlib import Path

import SimpleITK as sitk

from models.phantom.atlas import Atlas
from models.phantom.atlas_fit import LabelMap, fit_atlas


def read_label_maps(folder: Path) -> list[LabelMap]:
    """All `*.nii.gz` of a folder, axes turned to LPS."""
    names = {name: int(number) for number, name in json.loads((folder / "labels.json").read_text()).items()}
    maps = []
    for path in sorted(folder.glob("*.nii.gz")):
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")  # type: ignore[no-untyped-call]
        x, y, z = image.GetSpacing()
        maps.append(LabelMap(labels=sitk.GetArrayFromImage(image), spacing_zyx_mm=(z, y, x), names=names))
    if not maps:
        raise ValueError(f"there are no label maps (*.nii.gz) in {folder.name}")
    return maps


def fit_bank(folder: Path, out: Path, *, spacing_mm: float) -> Atlas:
    """Fit an atlas to a folder of label maps and keep it in `out` (.npz)."""
    atlas = fit_atlas(read_label_maps(folder), spacing_mm=spacing_mm)
    atlas.save(out)
    return atlas
