"""What may occur in a phantom's scan: each can be left out, to see what it is worth."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, kw_only=True)
class Effects:
    """True: may occur, at its prior probability or strength. False: never."""

    texture: bool = True  # inhomogeneous tissues
    noise: bool = True  # correlated, with the spectrum of a reconstruction kernel; without: none
    streaks: bool = True  # from metal, and from beam hardening between the hips
    bowel: bool = True  # loops with gas and content, denting the bladder
    couch: bool = True
    arms: bool = True  # hands or forearms beside the pelvis
    clothing: bool = True
    contrast: bool = True  # in bladder, vessels, bowel
    spacer: bool = True  # hydrogel between bed and rectum
    clips: bool = True
    prosthesis: bool = True  # a metal hip
    rotation: bool = True  # of the patient, in all three axes
    random_hu: bool = True  # in some scans soft tissues take any CT number (SCIENCE 4.3)

    def without(self, *names: str) -> Effects:
        """The same without the effects named; raises `TypeError` for a name that is none."""
        return replace(self, **dict.fromkeys(names, False))

    @staticmethod
    def clinical() -> Effects:
        """What a scanner shows: random CT numbers teach a network, but no patient has them."""
        return Effects(random_hu=False)

    @staticmethod
    def none() -> Effects:
        """Nothing but anatomy and the tissues' own CT numbers."""
        return Effects(**dict.fromkeys((f.name for f in fields(Effects)), False))
