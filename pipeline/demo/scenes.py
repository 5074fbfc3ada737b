"""Procedural scenes with their ground truth: the "real photographs" of the bundled corpus.

A scene is one to four coloured, shaded objects on a textured background. It is a pure function
of its seed, so disjoint seed ranges are disjoint splits. Everything is drawn here with Pillow and
numpy; nothing is copied from anywhere.
"""

from dataclasses import dataclass
from io import BytesIO
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64  # pixels; every generator works at this size, so real and fake share one resolution
_OVER = 3  # supersampling: scenes are drawn at SIZE * _OVER and box-filtered down

SHAPES = ("ball", "cube", "cone", "ring", "star", "cross")
COLOURS = {
    "red": (214, 40, 40),
    "green": (46, 160, 60),
    "blue": (40, 80, 215),
    "yellow": (240, 205, 40),
    "purple": (150, 55, 190),
    "white": (238, 238, 238),
    "black": (32, 32, 36),
}
BACKGROUNDS = {
    "gray": (128, 130, 133),
    "brown": (133, 94, 62),
    "teal": (70, 135, 138),
    "pink": (214, 158, 168),
}
TEXTURES = ("plain", "striped", "checkered", "speckled")
JPEG_SIDES = (64, 80, 96, 112)
JPEG_QUALITIES = (75, 85, 92, 96)
_OBJECT_COUNT = (0.2, 0.3, 0.3, 0.2)  # probability of 1, 2, 3, 4 objects
_DIAMETER = {1: (26, 40), 2: (23, 32), 3: (21, 28), 4: (20, 26)}  # pixels of SIZE


@dataclass(frozen=True)
class SceneObject:
    """One object: what it is, and `box` (x0, y0, x1, y1) in fractions of the image."""

    colour: str
    shape: str
    box: tuple[float, float, float, float]
    angle: float  # radians

    @property
    def phrase(self) -> str:
        """The noun phrase a perfect parser finds, e.g. `red ball`."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """Ground truth of one picture; `objects` are in the order in which `prompt` names them."""

    seed: int
    objects: tuple[SceneObject, ...]
    background: str
    texture: str

    @property
    def prompt(self) -> str:
        """The true caption, e.g. `a red ball and a blue cube on a striped gray background`."""
        phrases = [f"a {o.phrase}" for o in self.objects]
        listed = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
        texture = "" if self.texture == "plain" else f"{self.texture} "
        return f"{listed} on a {texture}{self.background} background"


def sample_scene(seed: int) -> Scene:
    """The scene of `seed`: distinct (colour, shape) pairs, boxes that do not overlap.

    Objects are named in one fixed order (by colour, then shape), so that a scene has exactly one
    true caption.
    """
    rng = np.random.default_rng([20251101, seed])
    count = int(rng.choice(4, p=_OBJECT_COUNT)) + 1
    pairs = sorted(rng.choice(len(COLOURS) * len(SHAPES), size=count, replace=False).tolist())
    boxes = _place(rng, count)
    names = list(COLOURS)
    objects = tuple(
        SceneObject(
            names[pair // len(SHAPES)],
            SHAPES[pair % len(SHAPES)],
            box,
            float(rng.uniform(-0.25, 0.25)),
        )
        for pair, box in zip(pairs, boxes, strict=True)
    )
    background = str(rng.choice(list(BACKGROUNDS)))
    texture = str(rng.choice(TEXTURES))
    return Scene(seed, objects, background, texture)


def _place(rng: np.random.Generator, count: int) -> list[tuple[float, float, float, float]]:
    """Square boxes (fractions) that do not overlap; starts again when the next does not fit."""
    while True:
        boxes: list[tuple[float, float, float, float]] = []
        for _ in range(60):
            side = rng.uniform(*_DIAMETER[count]) / SIZE
            x, y = rng.uniform(0.02, 0.98 - side, size=2)
            box = (float(x), float(y), float(x + side), float(y + side))
            if all(_apart(box, other) for other in boxes):
                boxes.append(box)
                if len(boxes) == count:
                    return boxes


def _apart(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def render(scene: Scene) -> np.ndarray:
    """The picture of `scene`: uint8 [SIZE, SIZE, 3], sRGB."""
    return render_with_mask(scene)[0]


def render_with_mask(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """The picture, and an int8 [SIZE, SIZE] map of object numbers (-1: background)."""
    rng = np.random.default_rng([20251102, scene.seed])
    side = SIZE * _OVER
    canvas = _background(scene, rng, side)
    owner = np.full((side, side), -1, np.int8)
    light = rng.uniform(-0.9, 0.9)  # horizontal direction of the light
    for number, item in enumerate(scene.objects):
        colour = np.array(COLOURS[item.colour], np.float32) + rng.uniform(-12, 12, 3)
        mask, shade = _silhouette(item, side, light)
        _shadow(canvas, mask, light)
        shaded = colour * shade[..., None] + 70.0 * np.clip(shade[..., None] - 1.05, 0, None)
        canvas[mask] = shaded[mask]
        owner[mask] = number
    image = canvas.reshape(SIZE, _OVER, SIZE, _OVER, 3).mean((1, 3))
    image *= rng.uniform(0.9, 1.08)
    image += rng.normal(0, 2.0, image.shape)  # sensor noise
    return (
        np.clip(image, 0, 255).astype(np.uint8),
        owner[_OVER // 2 :: _OVER, _OVER // 2 :: _OVER].copy(),
    )


def _background(scene: Scene, rng: np.random.Generator, side: int) -> np.ndarray:
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    base = np.array(BACKGROUNDS[scene.background], np.float32) + rng.uniform(-8, 8, 3)
    angle, period, phase = rng.uniform(0, pi), rng.uniform(0.12, 0.2), rng.uniform(0, 1)
    u = (x * cos(angle) + y * sin(angle)) / period + phase
    v = (-x * sin(angle) + y * cos(angle)) / period + phase
    if scene.texture == "striped":
        tone = np.where(u % 1 < 0.5, 0.86, 1.12)
    elif scene.texture == "checkered":
        tone = np.where((u % 1 < 0.5) ^ (v % 1 < 0.5), 0.86, 1.12)
    elif scene.texture == "speckled":
        grain = rng.uniform(0, 1, (SIZE // 2, SIZE // 2))
        tone = np.kron(
            np.where(grain < 0.14, 0.74, np.where(grain > 0.86, 1.24, 1.0)),
            np.ones((2 * _OVER, 2 * _OVER)),
        )
    else:
        tone = np.ones((side, side))
    slope = rng.uniform(-0.12, 0.12, 2)
    tone = tone * (1 + slope[0] * (x - 0.5) + slope[1] * (y - 0.5))
    return base * tone[..., None].astype(np.float32)


def _silhouette(item: SceneObject, side: int, light: float) -> tuple[np.ndarray, np.ndarray]:
    """Boolean mask and brightness (float32, 1 = the colour itself), both [side, side]."""
    x0, y0, x1, y1 = (v * side for v in item.box)
    cx, cy, r = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2
    yy, xx = np.mgrid[0:side, 0:side].astype(np.float32)
    u, v = (xx - cx) / r, (yy - cy) / r  # the object's own frame, -1..1
    shade = 1.08 - 0.22 * v + 0.16 * light * u
    if item.shape == "ball":
        distance = np.hypot(u, v)
        glint = np.exp(-((u - 0.4 * light) ** 2 + (v + 0.4) ** 2) / 0.08)
        return distance <= 0.96, (1.12 - 0.5 * distance**2 + 0.5 * glint).astype(np.float32)
    if item.shape == "ring":
        distance = np.hypot(u, v)
        tube = 1 - np.abs(distance - 0.72) / 0.24
        return (distance <= 0.96) & (distance >= 0.48), (0.75 + 0.4 * tube).astype(np.float32)
    if item.shape == "cube":
        return _cube(item, cx, cy, r, side)
    if item.shape == "cone":
        base = ((u / 0.82) ** 2 + ((v - 0.68) / 0.26) ** 2) <= 1
        body = (v <= 0.68) & (v >= -0.96) & (np.abs(u) <= 0.82 * (v + 0.96) / 1.64)
        across = u / np.maximum(0.82 * (v + 0.96) / 1.64, 0.05)
        return base | body, (1.0 + 0.32 * light * np.clip(across, -1, 1)).astype(np.float32)
    return _polygon(_outline(item), cx, cy, r, side), shade.astype(np.float32)


def _outline(item: SceneObject) -> list[tuple[float, float]]:
    """Corners of a star or a cross in the object's own frame (-1..1)."""
    if item.shape == "star":
        turns = [(k * pi / 5 - pi / 2 + item.angle, 1.0 if k % 2 == 0 else 0.42) for k in range(10)]
        return [(radius * cos(t), radius * sin(t)) for t, radius in turns]
    arm = 0.3
    corners = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm)]
    corners += [(arm, 1), (-arm, 1), (-arm, arm), (-1, arm), (-1, -arm), (-arm, -arm)]
    c, s = 0.95 * cos(item.angle), 0.95 * sin(item.angle)
    return [(x * c - y * s, x * s + y * c) for x, y in corners]


def _polygon(
    corners: list[tuple[float, float]], cx: float, cy: float, r: float, side: int
) -> np.ndarray:
    mask = Image.new("1", (side, side))
    ImageDraw.Draw(mask).polygon([(cx + r * x, cy + r * y) for x, y in corners], fill=1)
    return np.asarray(mask).copy()


def _cube(
    item: SceneObject, cx: float, cy: float, r: float, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Three faces of a box seen from above, each with a brightness of its own."""
    front = [(-0.9, -0.42), (0.45, -0.42), (0.45, 0.93), (-0.9, 0.93)]
    top = [(-0.9, -0.42), (-0.38, -0.93), (0.93, -0.93), (0.45, -0.42)]
    right = [(0.45, -0.42), (0.93, -0.93), (0.93, 0.42), (0.45, 0.93)]
    flip = -1 if item.angle < 0 else 1
    mask, shade = np.zeros((side, side), bool), np.ones((side, side), np.float32)
    for face, brightness in ((front, 0.98), (top, 1.3), (right, 0.62)):
        area = _polygon([(flip * x, y) for x, y in face], cx, cy, r, side)
        shade[area] = brightness
        mask |= area
    return mask, shade


def _shadow(canvas: np.ndarray, mask: np.ndarray, light: float) -> None:
    """Darkens the ground beside an object, away from the light; in place."""
    shift_x, shift_y = round(-light * 2 * _OVER), round(1.5 * _OVER)
    canvas[np.roll(mask, (shift_y, shift_x), (0, 1))] *= 0.66


def encode_jpeg(image: np.ndarray, seed: int) -> bytes:
    """A JPEG file of uint8 [SIZE, SIZE, 3], its pixel size and quality drawn from `seed`.

    Real and generated pictures both pass through here, with the same mix of sizes and qualities,
    so that neither the format nor the size tells them apart.
    """
    rng = np.random.default_rng([20251103, seed])
    side, quality = int(rng.choice(JPEG_SIDES)), int(rng.choice(JPEG_QUALITIES))
    picture = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
