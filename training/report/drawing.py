"""The style of all figures, and a figure as SVG and PNG. Only this file imports matplotlib.

Colours are Okabe and Ito's, for colour-blind readers. Each has a marker of its own, so no figure depends on colour
alone. Text stays text: it is never read as a formula, and SVG keeps it as characters.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.report.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C00")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#6E6E6E"

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.markersize": 5,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "mimi",  # the same figure gives the same bytes
    "savefig.bbox": "tight",
    "savefig.dpi": 160,  # pixels an inch
}
_ANONYMOUS = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn figure.

    Attributes:
        name: of its files, without ending.
        caption: a sentence or two on the content of the figure.
        svg: one <svg> element.
        png: the same as pixels.
    """

    name: str
    caption: str
    svg: str
    png: bytes


def drawn(name: str, caption: str, draw: Callable[["Figure"], None], *, size: tuple[float, float]) -> Chart:
    """The figure that `draw` makes on `size` inches.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra, and slow to import
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("matplotlib") from error
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        return Chart(name, caption, _svg(figure), _png(figure))


def _svg(figure: "Figure") -> str:
    data = io.BytesIO()
    figure.savefig(data, format="svg", metadata=_ANONYMOUS)
    text = data.getvalue().decode()
    return text[text.index("<svg") :]  # without the XML head, so that it can stand in HTML


def _png(figure: "Figure") -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    return data.getvalue()


def look(place: int) -> dict[str, Any]:
    """Colour and marker of the series at `place`; 64 differ. Each other round of colours has hollow markers."""
    row, column = divmod(place, len(_COLOURS))
    marker = _MARKERS[(column + row) % len(_MARKERS)]
    return {"color": _COLOURS[column], "marker": marker, "fillstyle": "none" if row % 2 else "full"}


def legend_right(figure: "Figure", axes: "Axes") -> None:
    """Name every series of `axes` beside the figure, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
