"""What every result says about the bundle that made it. Without torch, for who only writes or shows results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class BundleCard:
    """The card of a bundle.

    Attributes:
        name: of the bundle.
        version: of the bundle.
        sha256: hash over manifest and weights.
        intended_use: `research-phantom` or `clinical`; decides the mark on every output.
    """

    name: str
    version: str
    sha256: str
    intended_use: str

    @staticmethod
    def of(bundle: Bundle) -> BundleCard:
        """The card of a loaded bundle."""
        m = bundle.manifest
        return BundleCard(name=m.name, version=m.version, sha256=bundle.sha256, intended_use=m.intended_use)
