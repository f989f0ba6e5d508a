"""How training clips vary: the settings of `augment` and `disturb`."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigError


@dataclass(frozen=True)
class Augmentation:
    """How training clips vary; the paper's by default.

    Attributes:
        scale: side that a frame is resized to before the random crop, in sides of the crop: 256 for 224.
        flip: probability of a mirrored clip.
        brightness, contrast, saturation: range of the factor; 1 changes nothing.
        turn_deg, stretch: the clip is turned by up to this angle, and each side scaled by up to this share.
        light: strength of an uneven light over the clip; 0.25 makes cheeks differ by about a quarter.
        blur: probability that the clip is shrunk, to no less than 0.35 of its side, and enlarged again.
        noise: greatest standard deviation of a grain that is new in every frame, as a share of full scale.
        erase: probability of a plain patch over up to a third of each side; labels stay as they are, also of AUs that
            the patch hides.
        hold: probability that a clip stands still, as stills are scored: one of its frames throughout, but for grain.
    """

    scale: float = 256 / 224
    flip: float = 0.5
    brightness: tuple[float, float] = (0.6, 1.4)
    contrast: tuple[float, float] = (0.6, 1.4)
    saturation: tuple[float, float] = (0.6, 1.4)
    turn_deg: float = 0.0
    stretch: float = 0.0
    light: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    erase: float = 0.0
    hold: float = 0.0

    def __post_init__(self) -> None:
        ranges = (self.brightness, self.contrast, self.saturation)
        if not (1 <= self.scale <= 4 and 0 <= self.flip <= 1 and all(0 <= low <= high for low, high in ranges)):
            raise ConfigError(f"expected a scale in [1, 4], a flip in [0, 1] and rising ranges from 0; got {self}")
        shares = (self.stretch, self.light, self.blur, self.noise, self.erase, self.hold)
        if not (0 <= self.turn_deg <= 45 and all(0 <= share <= 1 for share in shares)):
            raise ConfigError(
                f"expected turn_deg in [0, 45], and stretch, light, blur, noise, erase, hold in [0, 1]; got {self}"
            )
