"""Several acquisitions in one series: fine where they continue each other, refused where they overlap."""

from collections import defaultdict
from collections.abc import Sequence

from worker.errors import MixedSeries
from worker.finding import Finding
from worker.slice_geometry import SlicePlane


def check_acquisitions(numbers: Sequence[tuple[str, str]], planes: Sequence[SlicePlane]) -> list[Finding]:
    """Check what Acquisition Number (PS3.3 C.7.6.1) says about the slices of one stack.

    Two passes of the scanner over the same place show the patient at two times. Interleaved they look like one
    series of closer slices, which nothing but this number tells. Acquisitions that follow each other along the
    patient (helices one after the other, a rotation per table position) are one volume.

    Args:
        numbers: label and Acquisition Number of each instance; empty where it has none.
        planes: where the same instances lie.

    Returns:
        A finding if two or more acquisitions of several slices each follow each other.

    Raises:
        MixedSeries: two acquisitions overlap.
    """
    heights: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for (label, number), plane in zip(numbers, planes, strict=True):
        heights[number].append((float(plane.position_mm @ planes[0].normal), label))
    known = {number: sorted(slices) for number, slices in heights.items() if number and len(slices) > 1}
    ordered = sorted(known.items(), key=lambda item: item[1][0])
    for (first, lower), (second, upper) in zip(ordered, ordered[1:], strict=False):
        if upper[0][0] < lower[-1][0]:
            raise MixedSeries(
                f"The series holds acquisitions {first} and {second}, which overlap: instance {upper[0][1]} of the "
                f"latter lies among the slices of the former, before {lower[-1][1]}.",
                remedy="Send the images of one acquisition only.",
            )
    if len(ordered) < 2:
        return []
    message = (
        f"The series was made in {len(ordered)} acquisitions that follow each other: check where they meet."
    )
    return [Finding(code="several-acquisitions", message=message)]
