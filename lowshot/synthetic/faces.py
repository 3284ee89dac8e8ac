"""Draw faces from geometry: head, skin, hair, features and age marks under a pose, a light and a camera.

Coordinates: x right, y down, z to the viewer, with the half height of an average head as the unit.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lowshot.synthetic.face_traits import FaceTraits, Scene

SUPERSAMPLING = 2


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue


class _Canvas:
    """Draws points of the head in three dimensions onto the picture under one pose."""

    def __init__(self, traits: FaceTraits, scene: Scene, size: int, frame: tuple[float, float, float]) -> None:
        self.traits = traits
        self.side = size * SUPERSAMPLING
        self.image = Image.new("RGB", (self.side, self.side))
        self.draw = ImageDraw.Draw(self.image)
        yaw, pitch, roll = scene.yaw + frame[0], scene.pitch + frame[1], scene.roll + frame[2]
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        self.rotation = tilt @ nod @ turn
        self.tilt = tilt[:2, :2]
        self.scale = scene.scale * self.side
        self.origin = (np.array([0.5, 0.49]) + scene.centre) * self.side

    def surface(self, points: np.ndarray, lift: float = 0.0) -> np.ndarray:
        """Put face points [n, 2] onto the head: [n, 3]."""
        x, y = points[:, 0], points[:, 1]
        bulge = 1 - (x / (self.traits.half_width * 1.02)) ** 2 - (y / (1.12 * self.traits.half_height)) ** 2
        return np.stack([x, y, 0.66 * np.sqrt(np.maximum(bulge, 0.0)) + lift], axis=1)

    def place(self, points: np.ndarray, *, flat: bool = False, lift: float = 0.0) -> list[tuple[float, float]]:
        """Project face points [n, 2] to the picture; `flat` ones only tilt with the head, like its outline."""
        placed = points @ self.tilt.T if flat else (self.surface(points, lift) @ self.rotation.T)[:, :2]
        return [(x, y) for x, y in (self.origin + self.scale * placed).tolist()]

    def fill(self, points: np.ndarray, colour: np.ndarray, *, flat: bool = False, lift: float = 0.0) -> None:
        self.draw.polygon(self.place(points, flat=flat, lift=lift), fill=_rgb(colour))

    def stroke(self, points: np.ndarray, colour: np.ndarray, width: float, *, flat: bool = False) -> None:
        pixels = max(1, round(width * self.scale))
        self.draw.line(self.place(points, flat=flat), fill=_rgb(colour), width=pixels, joint="curve")


def _ellipse(x: float, y: float, rx: float, ry: float, count: int = 20) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _outline(traits: FaceTraits, *, grow: float = 0.0, top: float = -1.0, bottom: float = 1.0) -> np.ndarray:
    """Return the closed outline of the head between two heights (in half heights), [n, 2]."""
    y = np.linspace(top, bottom, 33)
    upper = np.sqrt(np.maximum(1 - np.abs(y) ** 2.3, 0))
    lower = np.maximum(1 - np.abs(y) ** traits.jaw, 0) ** 0.5 * (1 - traits.taper * np.maximum(y, 0) ** 1.2)
    width = (traits.half_width + grow) * np.where(y < 0, upper, lower)
    height = y * (traits.half_height + grow)
    return np.concatenate([np.stack([width, height], 1), np.stack([-width, height], 1)[::-1]])


def _draw_backdrop(canvas: _Canvas, scene: Scene) -> None:
    ramp = np.linspace(0, 1, canvas.side)[:, None, None]
    colours = (1 - ramp) * scene.backdrop[0] + ramp * scene.backdrop[1]
    rows = np.broadcast_to(colours, (canvas.side, canvas.side, 3)).astype(np.uint8)
    canvas.image.paste(Image.fromarray(rows))
    for box in scene.clutter:
        x0, x1 = sorted(box[[0, 2]] * canvas.side)
        y0, y1 = sorted(box[[1, 3]] * canvas.side)
        canvas.draw.rectangle((x0, y0, x1, y1), fill=_rgb(0.5 * box[4:] + 0.5 * scene.backdrop[0]))


def _draw_body(canvas: _Canvas, scene: Scene) -> None:
    t = canvas.traits
    if t.hair_length > 0.05:  # hair behind the head, down to the shoulders
        reach = 0.25 + 1.0 * t.hair_length
        half = t.half_width + t.hair_volume + 0.06
        crown = t.half_height + t.hair_volume
        arc = np.linspace(-np.pi, 0, 16)
        top = np.stack([half * np.cos(arc), crown * np.sin(arc) * 0.98], 1)
        ends = np.array([[half * 1.04, reach], [half * 0.7, reach + 0.12], [-half * 0.7, reach + 0.12]])
        canvas.fill(np.concatenate([top, ends, [[-half * 1.04, reach]]]), 0.72 * t.hair, flat=True)
    neck = np.array([[-t.neck, 0.5], [t.neck, 0.5], [t.neck * 1.1, 1.7], [-t.neck * 1.1, 1.7]])
    canvas.fill(neck, 0.80 * t.skin, flat=True)
    shoulder = 1.25 + 0.5 * (t.neck - 0.42)
    body = [[-shoulder - 0.3, 2.2], [-shoulder, 1.48], [-0.5, 1.26], [0, 1.5], [0.5, 1.26], [shoulder, 1.48]]
    canvas.fill(np.array([*body, [shoulder + 0.3, 2.2]]), scene.clothes, flat=True)
    if t.hair_length < 0.6:
        for side in (-1, 1):
            ear = _ellipse(side * (t.half_width - 0.005), -0.02, 0.085, t.ears)
            canvas.fill(ear, 0.9 * t.skin * [1, 0.96, 0.94], flat=True)


def _draw_skin(canvas: _Canvas) -> None:
    t = canvas.traits
    canvas.fill(_outline(t), t.skin, flat=True)
    red = t.skin * (1 - 0.16 * t.redness * np.array([-0.2, 1.0, 0.8]))
    for side in (-1, 1):
        canvas.fill(_ellipse(side * 0.40, 0.26, 0.17, 0.13), red)
    if t.beard and t.beard_strength > 0:
        strength = {"stubble": 0.30, "moustache": 0.85, "goatee": 0.85, "full": 0.9}[t.beard] * t.beard_strength
        colour = (1 - strength) * t.skin + strength * 0.8 * t.hair
        if t.beard in ("stubble", "full"):
            canvas.fill(_outline(t, top=0.22, bottom=1.0), colour, flat=True)
            canvas.fill(_ellipse(0, 0.16, t.half_width * 0.72, 0.24), t.skin)
        if t.beard == "goatee":
            canvas.fill(_ellipse(0, 0.80, 0.21, 0.17), colour)
        canvas.fill(_ellipse(0, 0.475, t.mouth_width * 0.98, 0.075), colour)


def _draw_age(canvas: _Canvas) -> None:
    t = canvas.traits
    lines = 0.9 - 0.22 * t.wrinkles
    shade = t.skin * [lines + 0.04, lines, lines]
    if t.wrinkles > 0.15:
        x = np.linspace(-0.36, 0.36, 9)
        for k in range(1 + int(3 * t.wrinkles)):
            y = -0.50 - 0.085 * k + 0.03 * (x / 0.36) ** 2
            canvas.stroke(np.stack([x, y], 1), shade, 0.022)
        for side in (-1, 1):
            for angle in (-0.35, 0.05, 0.45):
                start = np.array([side * 0.53, -0.10])
                end = start + 0.13 * np.array([side * np.cos(angle), np.sin(angle)])
                canvas.stroke(np.array([start, end]), shade, 0.02)
    if t.sag > 0.15:
        for side in (-1, 1):
            bag = _ellipse(side * t.eye_spacing, 0.03, 0.13, 0.045)
            canvas.fill(bag, t.skin * (1 - 0.18 * t.sag))
            fold = np.array([[side * 0.19, 0.28], [side * 0.29, 0.42], [side * 0.34, 0.60]])
            canvas.stroke(fold, t.skin * (1 - 0.25 * t.sag), 0.024)
    for x, y in t.moles:
        canvas.fill(_ellipse(x, y, 0.028, 0.028, 8), 0.5 * t.skin)
    if t.wrinkles > 0.4:  # age spots, always at the same places on a face
        for x, y in np.random.default_rng(t.blemish_seed).uniform(-0.55, 0.55, (int(9 * t.wrinkles), 2)):
            canvas.fill(_ellipse(x, y - 0.15, 0.025, 0.02, 8), t.skin * [0.88, 0.84, 0.82])


def _draw_eyes(canvas: _Canvas, openness: float, lift: float) -> None:
    t = canvas.traits
    eye_y = -0.12
    height = max(t.eye_open * openness, 0.012)
    for side in (-1, 1):
        x = side * t.eye_spacing
        along = np.linspace(-1, 1, 9)
        tilt = -side * along * t.eye_tilt
        upper = np.stack([x + t.eye_width * along, eye_y + tilt - height * (1 - along**2)], 1)
        lower = np.stack([x + t.eye_width * along, eye_y + tilt + 0.7 * height * (1 - along**2)], 1)[::-1]
        canvas.fill(np.concatenate([upper, lower]), np.array([238, 236, 232]))
        iris = min(0.075, height * 1.15)
        canvas.fill(_ellipse(x, eye_y - 0.1 * height, iris, iris, 14), t.iris)
        canvas.fill(_ellipse(x, eye_y - 0.1 * height, 0.45 * iris, 0.45 * iris, 10), np.array([12, 12, 14]))
        canvas.stroke(upper, 0.35 * t.skin, 0.028)
        brow_y = eye_y - t.brow_height + 0.10 - lift
        xs = x + side * np.array([-0.19, -0.06, 0.08, 0.21])
        ys = brow_y + np.array([-0.005, -0.02 - 0.6 * t.brow_arch, -0.015 - t.brow_arch, 0.02 - 0.4 * t.brow_arch])
        thick = t.brow_thickness * np.array([1.0, 1.05, 0.8, 0.25])
        brow = np.concatenate([np.stack([xs, ys - thick / 2], 1), np.stack([xs, ys + thick / 2], 1)[::-1]])
        canvas.fill(brow, t.brow_colour)


def _draw_nose(canvas: _Canvas) -> None:
    t = canvas.traits
    tip = -0.12 + t.nose_length
    side = -1.0
    ridge = np.array([[side * 0.06, -0.10], [side * 0.07, tip - 0.16], [side * t.nose_width, tip - 0.02]])
    canvas.stroke(ridge, 0.86 * t.skin, 0.03)
    base = np.array([[-t.nose_width, tip], [0, tip + 0.045], [t.nose_width, tip], [0, tip - 0.10]])
    canvas.fill(base, 0.93 * t.skin, lift=0.06)
    for s in (-1, 1):
        canvas.fill(_ellipse(s * 0.5 * t.nose_width, tip + 0.005, 0.042, 0.024, 10), 0.5 * t.skin, lift=0.04)


def _draw_mouth(canvas: _Canvas, smile: float, opening: float) -> None:
    t = canvas.traits
    y0 = 0.565
    along = np.linspace(-1, 1, 11)
    half = t.mouth_width * (1 + 0.10 * smile)
    corner = -0.07 * smile * along**2
    x = half * along
    bow = t.lips * (1 - along**2) * (1 - 0.25 * np.exp(-((along / 0.18) ** 2)))
    upper = np.stack([x, y0 + corner - bow - 0.3 * opening * (1 - along**2)], 1)
    lower = np.stack([x, y0 + corner + (1.25 * t.lips + opening) * (1 - along**2)], 1)
    canvas.fill(np.concatenate([upper, lower[::-1]]), t.lip_colour)
    inner_top = np.stack([0.9 * x, y0 + corner - 0.3 * opening * (1 - along**2)], 1)
    inner_low = np.stack([0.9 * x, y0 + corner + opening * (1 - along**2)], 1)
    if opening > 0.03:
        canvas.fill(np.concatenate([inner_top, inner_low[::-1]]), np.array([60, 22, 24]))
        teeth = np.stack([0.75 * x, y0 + corner + 0.25 * opening * (1 - along**2)], 1)
        canvas.fill(np.concatenate([inner_top, teeth[::-1]]), np.array([230, 226, 216]))
    else:
        canvas.stroke(inner_top, 0.55 * t.lip_colour, 0.022)


def _draw_hair(canvas: _Canvas) -> None:
    t = canvas.traits
    if t.recession > 0.75:  # bald on top: a ring of hair above the ears
        for side in (-1, 1):
            ring = np.array([[0.98, -0.45], [1.06, -0.25], [1.04, 0.02], [0.93, -0.02], [0.90, -0.40]])
            canvas.fill(ring * [side * t.half_width, 1], t.hair, flat=True)
        return
    hairline = -0.70 * t.half_height - 0.22 * t.recession + 0.22 * t.fringe * (t.hair_length > -0.5) * (1 - t.recession)
    down = 0.10 if t.hair_length < 0.05 else 0.35 + 0.4 * min(t.hair_length, 1.0)
    sides = -0.05 if t.hair_length < 0.05 else down
    volume = t.hair_volume + 0.05 * max(t.hair_length, -0.6)
    outer = _outline(t, grow=volume, top=-1.0, bottom=0.0)[:33]
    inner_x = t.half_width * np.array([0.97, 0.90, 0.72, 0.38])
    temple = hairline + np.array([0.45, 0.25, 0.04, 0.0]) - t.recession * np.array([0.15, 0.15, 0.1, 0.0])
    right = np.stack([inner_x, temple], 1)
    part = np.array([[t.parting * t.half_width, hairline - 0.06]])
    edge = t.half_width + volume
    lock = np.array([[edge, sides], [t.half_width * 0.93, sides + 0.02], [t.half_width * 0.95, -0.1]])
    mirror = np.array([-1, 1])
    # The hairline turns with the face; the mass of hair, like the head's outline, only tilts.
    shape = canvas.place(np.concatenate([outer, lock]), flat=True)
    shape += canvas.place(np.concatenate([right, part, right[::-1] * mirror]))
    shape += canvas.place(np.concatenate([lock[::-1] * mirror, outer[::-1] * mirror]), flat=True)
    canvas.draw.polygon(shape, fill=_rgb(t.hair))
    x = np.linspace(-0.45, 0.45, 7)
    shine = np.stack([x * t.half_width, -0.98 * t.half_height + 0.35 * x**2], 1)
    canvas.stroke(shine, t.hair * 0.85 + 0.15 * np.array([235, 230, 220]), 0.06, flat=True)


def _draw_glasses(canvas: _Canvas, scene: Scene) -> None:
    t = canvas.traits
    for side in (-1, 1):
        rim = _ellipse(side * t.eye_spacing, -0.09, 0.25, 0.185, 18)
        canvas.stroke(np.concatenate([rim, rim[:2]]), scene.glasses_colour, 0.035)
        temple = np.array([[side * (t.eye_spacing + 0.25), -0.12], [side * t.half_width * 0.98, -0.12]])
        canvas.stroke(temple, scene.glasses_colour, 0.03)
    bridge = np.array([[-t.eye_spacing + 0.25, -0.12], [0, -0.15], [t.eye_spacing - 0.25, -0.12]])
    canvas.stroke(bridge, scene.glasses_colour, 0.03)


def _lit(image: Image.Image, traits: FaceTraits, scene: Scene, noise: np.random.Generator) -> Image.Image:
    """Shade the picture as if the head were a lit ellipsoid, then expose it with a little sensor noise."""
    size = image.size[0]
    pixels = np.asarray(image, dtype=np.float32)
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    # Plain floats: a float64 scalar of NumPy would widen every array of the picture.
    centre_x, centre_y, reach = float(scene.centre[0]), float(scene.centre[1]) - 0.01, 1.05 * scene.scale
    x = (grid[None, :] - centre_x) / (reach * traits.half_width)
    y = (grid[:, None] - centre_y) / (reach * traits.half_height)
    inside = np.maximum(1 - x * x - y * y, 0.0)
    depth = np.sqrt(inside + 0.05)
    light_x, light_y, light_z = scene.light.tolist()
    facing = (x * light_x + y * light_y + depth * light_z) / np.sqrt(x * x + y * y + depth * depth)
    weight = np.minimum(inside * 6, 1.0) * 0.65 + 0.35
    shade = scene.exposure * (1 + scene.contrast * weight * (np.maximum(facing, -0.4) - 0.55))
    grain = 3.0 * noise.standard_normal(shade.shape, dtype=np.float32)
    pixels = pixels * (shade[:, :, None] * scene.cast.astype(np.float32)) + grain[:, :, None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def render_face(traits: FaceTraits, scene: Scene, rng: np.random.Generator, *, size: int = 112) -> Image.Image:
    """Draw one frame of a video, with a slightly different pose and expression.

    Args:
        traits: The person.
        scene: The video.
        rng: The frame's stream; successive calls with one generator give successive frames.
        size: Side in pixels.

    Returns:
        RGB picture, size x size.
    """
    sway = rng.normal(0, 1, 3) * [0.07, 0.04, 0.025]
    smile = float(np.clip(traits.smile + scene.expression + rng.normal(0, 0.2), -1.2, 2.0))
    opening = float(max(rng.normal(0.04, 0.05), 0.0))
    openness = 0.15 if rng.random() < 0.04 else float(np.clip(rng.normal(1.0, 0.08), 0.6, 1.3))
    canvas = _Canvas(traits, scene, size, (float(sway[0]), float(sway[1]), float(sway[2])))
    _draw_backdrop(canvas, scene)
    _draw_body(canvas, scene)
    _draw_skin(canvas)
    _draw_age(canvas)
    _draw_eyes(canvas, openness, lift=float(rng.normal(0, 0.015)))
    _draw_nose(canvas)
    _draw_mouth(canvas, smile, opening)
    _draw_hair(canvas)
    if scene.glasses:
        _draw_glasses(canvas, scene)
    picture = _lit(canvas.image.reduce(SUPERSAMPLING), traits, scene, rng)
    return picture.filter(ImageFilter.GaussianBlur(scene.blur)) if scene.blur > 0 else picture
