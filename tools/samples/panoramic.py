"""Draw the sample panoramic X-ray: `python tools/samples/panoramic.py src/vaguemestre/samples/panoramic.jpg`.

Nothing here comes from a patient: jaw, teeth and treatments are drawn from curves, the grain from a seeded generator,
so the same picture comes out each time. As on film, what absorbs more is whiter: a structure is laid on with `screen`,
which multiplies what the ones before let through; air (sinuses, nose, throat) takes away with `multiply`.
"""

import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

WIDTH, HEIGHT = 2400, 1200
MIDDLE = WIDTH // 2
Point = tuple[float, float]


def smooth(points: Sequence[Point], *, closed: bool = True, steps: int = 12) -> list[Point]:
    """The Catmull-Rom curve through `points`."""
    count = len(points)
    curve: list[Point] = []
    for i in range(count if closed else count - 1):
        around = [points[(i + k) % count] if closed else points[min(max(i + k, 0), count - 1)] for k in (-1, 0, 1, 2)]
        for step in range(steps):
            t = step / steps
            curve.append(
                tuple(  # type: ignore[arg-type]
                    0.5
                    * (
                        2 * p1
                        + (p2 - p0) * t
                        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t * t
                        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
                    )
                    for p0, p1, p2, p3 in zip(*around, strict=True)
                )
            )
    if not closed:
        curve.append(points[-1])
    return curve


def path(text: str) -> list[Point]:
    """Points written "x,y x,y", as SVG does."""
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def mirrored(points: Sequence[Point]) -> list[Point]:
    return [(WIDTH - x, y) for x, y in points]


def blank(level: int = 0) -> Image.Image:
    return Image.new("L", (WIDTH, HEIGHT), level)


def area(*outlines: Sequence[Point], blur: float = 0) -> Image.Image:
    mask = blank()
    pen = ImageDraw.Draw(mask)
    for outline in outlines:
        pen.polygon(list(outline), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask


def stroke(*lines: Sequence[Point], width: int, blur: float = 0) -> Image.Image:
    mask = blank()
    pen = ImageDraw.Draw(mask)
    for line in lines:
        pen.line(list(line), fill=255, width=width, joint="curve")
    return mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask


def scaled(mask: Image.Image, strength: float) -> Image.Image:
    return mask.point(lambda value: round(value * strength))


class Film:
    """The picture so far."""

    def __init__(self, picture: Image.Image) -> None:
        self.picture = picture

    def whiten(self, mask: Image.Image, strength: float) -> None:
        self.picture = ImageChops.screen(self.picture, scaled(mask, strength))

    def darken(self, mask: Image.Image, strength: float) -> None:
        self.picture = ImageChops.multiply(self.picture, ImageChops.invert(scaled(mask, strength)))


def grain(seed: int, blur: float, contrast: float) -> Image.Image:
    """Noise around 128, the same for a seed; `blur` sets how coarse it is."""
    noise = Image.frombytes("L", (WIDTH, HEIGHT), random.Random(seed).randbytes(WIDTH * HEIGHT))
    if blur:
        noise = noise.filter(ImageFilter.GaussianBlur(blur))
    return noise.point(lambda value: max(0, min(255, round(128 + (value - 127.5) * contrast))))


# ---------------------------------------------------------------------------------------------------------------- teeth


@dataclass(frozen=True, slots=True)
class Tooth:
    """The measures of one tooth, in pixels, and how many roots and cusps it shows."""

    width: float
    crown: float
    root: float
    roots: int
    cusps: int


# From the midline outwards: two incisors, canine, two premolars, three molars. Pixels.
UPPER = (
    Tooth(92, 108, 158, 1, 0),
    Tooth(72, 98, 152, 1, 0),
    Tooth(80, 108, 196, 1, 1),
    Tooth(74, 90, 156, 1, 2),
    Tooth(72, 86, 154, 1, 2),
    Tooth(112, 84, 140, 3, 3),
    Tooth(106, 82, 130, 3, 3),
    Tooth(94, 76, 104, 2, 2),
)
LOWER = (
    Tooth(56, 92, 142, 1, 0),
    Tooth(60, 94, 150, 1, 0),
    Tooth(72, 106, 184, 1, 1),
    Tooth(74, 92, 162, 1, 2),
    Tooth(76, 88, 162, 1, 2),
    Tooth(120, 84, 150, 2, 3),
    Tooth(114, 82, 142, 2, 3),
    Tooth(104, 78, 112, 2, 2),
)


def bite(x: float) -> float:
    """The height of the line where the teeth meet: the smile of a panoramic."""
    return 640 - 118 * ((x - MIDDLE) / 760) ** 2 - 26 * ((x - MIDDLE) / 760) ** 4


@dataclass(frozen=True, slots=True)
class Placed:
    """A tooth where it stands: its frame's origin on the biting edge, and the direction of its root."""

    tooth: Tooth
    x: float
    y: float
    angle: float  # of the root's direction, radians, picture axes
    number: int

    def points(self, text: str) -> list[Point]:
        """Points of the tooth's frame on the picture: across in widths; along, 0 to 1 is the crown, 1 to 2 the root."""
        dx, dy = math.cos(self.angle), math.sin(self.angle)
        spots = []
        for across, along in path(text):
            depth = along * self.tooth.crown if along < 1 else self.tooth.crown + (along - 1) * self.tooth.root
            offset = across * self.tooth.width
            spots.append((self.x + depth * dx - offset * dy, self.y + depth * dy + offset * dx))
        return spots

    def curve(self, text: str, *, closed: bool = True) -> list[Point]:
        """The curve through `points`."""
        return smooth(self.points(text), closed=closed)


def row(teeth: Sequence[Tooth], *, upper: bool, chance: random.Random) -> list[Placed]:
    placed = []
    for side in (-1, 1):
        x = 2.0
        for position, tooth in enumerate(teeth, start=1):
            slant = 0.96 if position > 3 else 0.93
            centre = MIDDLE + side * (x + tooth.width * slant / 2)
            x += tooth.width * slant + 1
            slope = math.atan((bite(centre + 5) - bite(centre - 5)) / 10)
            lean = side * (0.07 + 0.012 * position) * (-1 if upper else 1) * (1 if position > 2 else 0.5)
            straight = -math.pi / 2 if upper else math.pi / 2
            gap = -7 if upper else 7
            if position < 4:
                gap += 13 if upper else -13  # the front teeth overlap: upper over lower
            number = (10 if side < 0 else 20) + position if upper else (40 if side < 0 else 30) + position
            placed.append(
                Placed(
                    tooth,
                    centre,
                    bite(centre) + gap + chance.uniform(-3, 3),
                    straight + slope * 0.85 - lean + chance.uniform(-0.025, 0.025),
                    number,
                )
            )
    return placed


def outline(place: Placed) -> list[Point]:
    """The whole tooth: crown, neck, one root or two."""
    biting = (
        "-.42,.04 -.2,0 .2,0 .42,.04",
        "-.4,.2 -.04,0 .4,.19",
        "-.42,.16 -.22,0 0,.11 .24,.02 .42,.17",
        "-.44,.15 -.3,0 -.14,.12 .04,.04 .2,.13 .33,.01 .45,.15",
    )[place.tooth.cusps]
    one = ".33,1.35 .22,1.75 .08,1.97 -.03,2 -.12,1.95 -.24,1.75 -.34,1.35"
    two = (
        ".42,1.35 .4,1.75 .33,1.96 .27,2 .2,1.94 .15,1.7 .04,1.34 -.05,1.34 "
        "-.14,1.7 -.22,1.9 -.29,1.97 -.36,1.91 -.42,1.7 -.43,1.35"
    )
    roots = one if place.tooth.roots == 1 else two
    return place.curve(f"{biting} .49,.4 .46,.7 .38,1 {roots} -.38,1 -.46,.7 -.49,.4")


def palatal_root(place: Placed) -> list[Point]:
    """The third root of an upper molar, seen through the other two."""
    return place.curve(".2,1 .13,1.84 .02,2.05 -.09,1.84 -.18,1")


def dentine(place: Placed) -> list[Point]:
    """What the enamel's cap leaves bare of the crown."""
    return place.curve("-.31,.26 0,.32 .31,.26 .36,.6 .4,1.02 .3,1.2 -.3,1.2 -.4,1.02 -.36,.6")


def enamel_reach(place: Placed) -> list[Point]:
    """Where there is enamel at all: from beyond the biting edge to the neck."""
    return place.points("-.8,-.3 .8,-.3 .8,.92 0,.8 -.8,.92")


def pulp(place: Placed) -> list[list[Point]]:
    """The nerve's chamber and canals, darker than the dentine."""
    if place.tooth.roots == 1:
        return [place.curve("-.09,.62 0,.5 .09,.62 .07,1.3 .02,1.88 -.03,1.88 -.07,1.3")]
    return [
        place.curve("-.2,.66 -.12,.6 0,.7 .12,.6 .2,.66 .17,1.06 0,1 -.17,1.06"),
        place.curve(".13,1 .21,1 .3,1.6 .28,1.86 .25,1.6"),
        place.curve("-.13,1 -.21,1 -.3,1.6 -.28,1.86 -.25,1.6"),
    ]


# ---------------------------------------------------------------------------------------------------------------- bones


# Lower border of the mandible on the left of the picture, angle, condyle, notch, coronoid, back to the ridge.
RAMUS = path(
    "1200,1058 1050,1050 900,1030 740,988 590,926 470,842 392,742 352,640 322,520 296,400 268,318 262,262 292,226 "
    "338,230 362,268 362,320 388,366 430,380 470,346 498,300 524,296 540,340 548,420 556,492 584,560"
)


def mandible() -> list[Point]:
    ridge = [(float(x), bite(x) + 128) for x in range(640, MIDDLE + 1, 40)]
    half = smooth([*RAMUS, *ridge], closed=False)
    return half + mirrored(half)[::-1]


def maxilla() -> list[Point]:
    ridge = [(float(x), bite(x) - 122) for x in range(600, 1801, 40)]
    return [
        *smooth([(560, 430), *ridge, (1840, 430)], closed=False),
        *smooth(path("1830,300 1600,190 800,190 570,300"), closed=False),
    ]


def both(*lines: Sequence[Point], closed: bool = False) -> list[list[Point]]:
    curves = [smooth(line, closed=closed) for line in lines]
    return [*curves, *(mirrored(curve) for curve in curves)]


def head() -> Film:
    """Soft tissue: a band of grey, paler where the spine is crossed, dark outside the face."""
    film = Film(blank(7))
    film.whiten(
        area(smooth(path("120,-80 2280,-80 2300,500 2130,900 1750,1130 1200,1190 650,1130 270,900 100,500")), blur=70),
        0.22,
    )
    film.whiten(area(path("330,60 2070,60 2010,1010 1500,1150 900,1150 390,1010"), blur=90), 0.13)
    film.whiten(stroke([(MIDDLE, -100), (MIDDLE, 1300)], width=330, blur=110), 0.26)  # the spine's shadow
    film.whiten(
        area(*both(path("70,330 170,300 190,420 186,640 170,860 60,900"), closed=True), blur=18), 0.20
    )  # vertebrae
    film.darken(
        stroke(*both(path("60,455 185,440"), path("60,600 185,592"), path("60,750 180,745")), width=16, blur=7), 0.35
    )
    return film


def skull(film: Film) -> None:
    """What stands above the upper teeth: palate, sinuses, nose, orbits, cheek bones."""
    film.whiten(area(maxilla(), blur=16), 0.20)
    film.whiten(
        area(*both(path("330,200 470,168 640,196 800,250 790,290 640,262 480,240 340,250"), closed=True), blur=12), 0.24
    )
    film.whiten(
        stroke(*both(path("250,205 300,180 380,196 420,250 470,262")), width=16, blur=5), 0.26
    )  # the joint's socket
    film.whiten(stroke(*both(path("560,250 640,300 676,380 690,440")), width=14, blur=6), 0.20)  # cheek bone's root
    sinus = path("650,290 780,236 950,240 1040,300 1044,380 960,420 850,416 740,392 660,350")
    film.darken(area(*both(sinus, closed=True), blur=13), 0.40)
    film.whiten(stroke(*both(sinus, closed=True), width=6, blur=2.5), 0.19)
    film.darken(
        area(*both(path("1080,150 1150,110 1178,190 1180,340 1130,378 1074,340 1060,240"), closed=True), blur=14), 0.52
    )  # nose
    film.whiten(
        area(*both(path("1092,200 1132,214 1140,290 1112,330 1086,296"), closed=True), blur=12), 0.26
    )  # turbinates
    film.whiten(stroke(path("1201,60 1196,200 1202,382"), width=13, blur=4), 0.24)  # septum
    film.whiten(
        stroke(
            smooth(path("700,392 900,404 1080,398 1200,382 1320,398 1500,404 1700,392"), closed=False), width=13, blur=5
        ),
        0.26,
    )  # palate
    film.whiten(
        stroke(smooth(path("500,330 800,360 1200,352 1600,360 1900,330"), closed=False), width=30, blur=14), 0.10
    )  # its ghost
    film.darken(area(*both(path("640,-120 720,10 860,62 990,10 1010,-120"), closed=True), blur=22), 0.45)  # orbits
    film.whiten(stroke(*both(path("620,-60 710,32 860,86 1000,32 1020,-60")), width=12, blur=5), 0.26)
    film.darken(stroke(*both(path("470,420 520,560 600,690 640,840")), width=46, blur=22), 0.26)  # throat's air


def jaw(film: Film) -> None:
    """The mandible: cancellous body, dense border, canal, and the hyoid under it."""
    body = mandible()
    film.whiten(area(body, blur=5), 0.26)
    film.whiten(
        stroke(smooth(RAMUS[:10], closed=False), mirrored(smooth(RAMUS[:10], closed=False)), width=22, blur=5), 0.33
    )  # lower border
    film.whiten(
        stroke(smooth(RAMUS[9:19], closed=False), mirrored(smooth(RAMUS[9:19], closed=False)), width=9, blur=3), 0.25
    )  # condyle
    film.whiten(
        stroke(*both(path("498,300 524,296 540,340 552,450 580,556 640,640 740,720")), width=15, blur=6), 0.22
    )  # oblique line
    canal = path("452,520 474,620 540,730 650,832 780,888 890,896 926,864")
    film.darken(stroke(*both(canal), width=21, blur=5), 0.20)
    film.whiten(
        stroke(*both([(x, y - 14) for x, y in canal], [(x, y + 14) for x, y in canal]), width=4, blur=1.6), 0.11
    )
    film.darken(
        area(*both(path("908,852 926,836 946,850 940,874 916,876"), closed=True), blur=5), 0.28
    )  # mental foramen
    film.whiten(area(smooth(path("1090,960 1200,930 1310,960 1290,1036 1200,1050 1110,1036")), blur=26), 0.22)  # chin
    film.whiten(
        area(*both(path("560,1100 700,1062 800,1084 780,1116 690,1104 580,1136"), closed=True), blur=7), 0.28
    )  # hyoid
    marrow = ImageChops.multiply(area(body, blur=10), grain(3, 3.6, 9.0))
    film.whiten(marrow, 0.20)
    film.whiten(ImageChops.multiply(area(maxilla(), blur=10), grain(4, 3.0, 8.0)), 0.15)


def teeth(film: Film, places: Sequence[Placed]) -> None:
    """Each tooth in its socket: ligament and lamina dura, dentine, enamel, pulp."""
    whole = [outline(place) for place in places]
    film.darken(stroke(*(shape + shape[:1] for shape in whole), width=11, blur=2.6), 0.30)  # ligament
    film.whiten(stroke(*(shape + shape[:1] for shape in whole), width=24, blur=5), 0.09)  # lamina dura
    for place, shape in zip(places, whole, strict=True):
        film.whiten(area(shape, blur=3.2), 0.42)
        if place.tooth.roots == 3:
            film.whiten(area(palatal_root(place), blur=4), 0.17)
        cap = ImageChops.subtract(area(shape, blur=1.8), area(dentine(place), blur=5))
        film.whiten(ImageChops.multiply(cap, area(enamel_reach(place), blur=9)), 0.50)
        film.darken(area(*pulp(place), blur=3), 0.34)


FILLINGS = {
    16: "-.24,.1 .05,.05 .26,.12 .2,.4 -.05,.33 -.2,.45",
    26: "-.05,.07 .42,.15 .44,.55 .22,.5 .12,.33 -.08,.31",
    36: "-.3,.1 0,.07 .28,.1 .18,.38 0,.28 -.22,.4",
    47: "-.18,.1 .16,.1 .12,.34 -.14,.36",
    15: "-.16,.12 .2,.1 .4,.23 .4,.47 .1,.37",
}


def treatments(film: Film, places: dict[int, Placed]) -> None:
    """What a mouth of forty years has had done: fillings, and on 46 a crown over filled canals with a dark tip."""
    for number, shape in FILLINGS.items():
        film.whiten(area(places[number].curve(shape), blur=1.3), 0.93)
    treated = places[46]
    cap = "-.45,.14 -.3,-.01 0,.08 .3,0 .45,.14 .5,.5 .44,.86 0,.79 -.44,.86 -.5,.5"
    film.whiten(area(treated.curve(cap), blur=1.3), 0.95)
    for canal in (".14,.8 .24,1.4 .28,1.88", "-.14,.8 -.24,1.4 -.28,1.88"):
        film.whiten(stroke(treated.curve(canal, closed=False), width=7, blur=1.2), 0.85)
    film.darken(area(treated.curve(".16,2 .28,1.92 .42,2 .36,2.13 .2,2.13"), blur=6), 0.42)


def panoramic() -> Image.Image:
    chance = random.Random(38)
    film = head()
    skull(film)
    jaw(film)
    upper, lower = row(UPPER, upper=True, chance=chance), row(LOWER, upper=False, chance=chance)
    lower = [place for place in lower if place.number not in (38, 48)]
    impacted = Placed(LOWER[7], 1786, 668, math.pi * 0.075, 38)  # lies down, against the root of 37
    straight = Placed(LOWER[7], 578, 548, math.pi / 2 + 0.62, 48)
    placed = [*upper, *lower, impacted, straight]
    film.darken(
        area(smooth(path("1762,600 1810,592 1838,650 1818,728 1766,736 1748,668")), blur=9), 0.30
    )  # its follicle
    film.darken(
        stroke(smooth([(x, bite(x)) for x in range(600, 1801, 40)], closed=False), width=20, blur=9), 0.30
    )  # between the rows
    teeth(film, placed)
    treatments(film, {place.number: place for place in placed})
    picture = film.picture.filter(ImageFilter.GaussianBlur(1.1))
    picture = ImageChops.overlay(picture, grain(7, 34, 9.0))
    picture = Image.blend(picture, ImageChops.overlay(picture, grain(8, 1.0, 1.5)), 0.30)
    return marked(picture)


def marked(picture: Image.Image) -> Image.Image:
    pen = ImageDraw.Draw(picture)
    small, large = ImageFont.load_default(size=30), ImageFont.load_default(size=64)
    pen.text((70, 60), "D", font=large, fill=228)
    pen.text((WIDTH - 110, 60), "G", font=large, fill=228)
    pen.text((70, HEIGHT - 66), "PATIENT FICTIF - IMAGE DE SYNTHESE", font=small, fill=205)
    pen.text((WIDTH - 420, HEIGHT - 66), "PANORAMIQUE 73 kV 8 mA", font=small, fill=205)
    return picture


if __name__ == "__main__":
    panoramic().save(Path(sys.argv[1]), quality=92, optimize=True)
