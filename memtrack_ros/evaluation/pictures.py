"""A picture of one read: crops of the query, crops of the memory, and what joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from numpy.typing import NDArray
from PIL import Image

from memtrack_ros.geometry.windows import Pixels

Map = NDArray[np.float32]

# Inches, but for the dots of an inch.
WIDTH, DPI = 8.0, 100
QUERY = 1.8  # side of a query's panel
GAP = 0.12  # between panels
LINE = 0.17  # of text
CHART = 0.6

HEAT = matplotlib.colormaps['inferno']
COVER = 0.85  # of the crop, by the brightest heat
LINKS = ('#00e5ff', '#7cff4f', '#ff6ad5', '#ff5a4f', '#7f9bff')
PAGE, INK = '#16181d', '#e6e6e6'
SHADES = 255  # of the file


class Heat(NamedTuple):
    """Values (h, w) on a crop: the first stands at pixel `first`, every other `stride` further.

    Drawn from dark to bright between two values.
    """

    values: Map
    between: tuple[float, float]
    stride: float
    first: float = 0.0


class Panel(NamedTuple):
    """A crop (S, S, 3) BGR with what is drawn onto it: heat, the outline of a mask (S, S) 0/255.

    Of its side the middle part that is `shown`.
    """

    crop: Pixels
    caption: str
    mask: Pixels | None = None
    heat: Heat | None = None
    shown: float = 1.0


class Correspondence(NamedTuple):
    """From pixel x, y of the first query panel to pixel x, y of a memory panel, by its number.

    Those from one pixel have one of LINKS for a colour, by its number.
    """

    colour: int
    asking: tuple[float, float]
    panel: int
    held: tuple[float, float]


class Reading(NamedTuple):
    """One picture: the query's panels at the left, the memory's and charts of bars at the right."""

    title: str
    sentence: str
    query: Sequence[Panel]
    memory: Sequence[Panel]
    scale: str  # what the colours of heat mean
    links: Sequence[Correspondence] = ()
    charts: Mapping[str, Map] = {}


class Page:
    """A page `height` inches tall; places are inches from its upper left corner."""

    def __init__(self, height: float) -> None:
        self.height = height
        self.figure = Figure((WIDTH, height), DPI, facecolor=PAGE)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes without ticks."""
        place = x / WIDTH, 1 - (y + height) / self.height, width / WIDTH, height / self.height
        return self.figure.add_axes(place, xticks=[], yticks=[], facecolor=PAGE, frame_on=False)

    def write(self, x: float, y: float, text: str, *, size: float = 8.5) -> None:
        """Text whose upper left corner is at x, y."""
        where = x / WIDTH, 1 - y / self.height
        self.figure.text(*where, text, fontsize=size, color=INK, va='top', linespacing=1.3)

    def save(self, path: Path) -> None:
        """Write a PNG of few colours, which is a third as large."""
        file = BytesIO()
        self.figure.savefig(file, facecolor=PAGE)
        picture = Image.open(file).convert('RGB')
        few = picture.quantize(SHADES, Image.Quantize.MAXCOVERAGE, kmeans=1)
        few.save(path, optimize=True)


def draw(reading: Reading, path: Path) -> None:
    """Write the picture as a PNG, 800 pixels wide."""
    count = len(reading.memory)
    columns = 2 if count <= 2 else 3 if count <= 9 else 4
    x, y = QUERY + 3 * GAP, LINE * (3 + reading.sentence.count('\n'))
    side = (WIDTH - x - GAP * columns) / columns
    below = y + ceil(count / columns) * (side + LINE)
    charts = CHART + 2 * LINE if reading.charts else 0.0
    page = Page(max(below + charts, y + len(reading.query) * (QUERY + LINE)) + 2 * LINE)
    page.write(GAP, 0.6 * GAP, reading.title, size=11)
    page.write(GAP, 1.7 * LINE, reading.sentence)
    asking = [
        show(page, GAP, y + row * (QUERY + LINE), QUERY, panel)
        for row, panel in enumerate(reading.query)
    ]
    held = [
        show(
            page,
            x + number % columns * (side + GAP),
            y + number // columns * (side + LINE),
            side,
            panel,
        )
        for number, panel in enumerate(reading.memory)
    ]
    width = (WIDTH - x - GAP) / max(len(reading.charts), 1)
    for number, (caption, values) in enumerate(reading.charts.items()):
        axes = page.axes(x + number * width, below, 0.9 * width, CHART)
        axes.bar(np.arange(len(values)) + 1, values, color=HEAT(0.7))
        axes.set_xticks(np.arange(len(values)) + 1)
        axes.tick_params(length=0, pad=1, labelsize=7, labelcolor=INK)
        axes.set_xlabel(f'{caption}, at most {values.max():.2f}', labelpad=2, color=INK, size=8.5)
    for link in reading.links:
        join(asking[0], held[link.panel], link)
    bar = page.axes(GAP, page.height - 1.5 * LINE, QUERY / 2, LINE / 2)
    bar.imshow(np.linspace(0, 1, 256)[None], HEAT, aspect='auto')
    page.write(2 * GAP + QUERY / 2, page.height - 1.65 * LINE, reading.scale)
    page.save(path)


def show(page: Page, x: float, y: float, side: float, panel: Panel) -> Axes:
    """Draw the panel; under heat its crop is grey."""
    axes = page.axes(x, y, side, side)
    extent = panel.crop.shape[0]
    edges = (-0.5, extent - 0.5, extent - 0.5, -0.5)
    picture = panel.crop[..., ::-1]
    if panel.heat is None:
        axes.imshow(picture, extent=edges)
    else:
        grey = picture.mean(-1)
        axes.imshow(grey, 'gray', vmin=0, vmax=1.6 * np.quantile(grey, 0.99), extent=edges)
        values, (least, most), stride, first = panel.heat
        shares = np.clip((values - least) / max(most - least, 1e-9), 0, 1)
        low, high = first - stride / 2, first + stride * (len(values) - 0.5)
        axes.imshow(HEAT(shares), alpha=COVER * np.sqrt(shares), extent=(low, high, high, low))
    if panel.mask is not None:
        axes.contour(panel.mask, [127], colors='white', linewidths=0.8)
    middle, reach = (extent - 1) / 2, panel.shown * extent / 2
    axes.set(xlim=(middle - reach, middle + reach), ylim=(middle + reach, middle - reach))
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(panel.caption, labelpad=2, color=INK, size=8.5)
    return axes


def join(asking: Axes, held: Axes, link: Correspondence) -> None:
    """Draw a line with a dot at either end."""
    colour = LINKS[link.colour]
    line = ConnectionPatch(
        link.asking, link.held, 'data', axesA=asking, axesB=held, color=colour, lw=1.0, alpha=0.6
    )
    held.figure.add_artist(line)
    for axes, place in ((asking, link.asking), (held, link.held)):
        axes.plot(*place, 'o', ms=4, color=colour, mec='black', mew=0.6)
