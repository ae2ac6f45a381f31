"""The mistakes of a trained task, for the page of its run: confusions, classes, calibration, and foreign images.

Everything is measured with the task adapter file that the run exports, on the test images, or on the validation images
if there are none.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from adapters_store import Manifest, TaskAdapter, unpack
from adapters_store.answers import SIGMOID, SOFTMAX
from backbone import known_features, unknown_scores
from training.calibrate import Outputs, outputs_of, sample
from training.export import from_file
from training.metrics import BINS, area_under_roc, average_precision, calibration_error, precision_and_recall
from training.mimi import Job, Outcome
from training.model import AdaptedModel
from training.pixels import PixelSet
from training.report import page
from training.report.drawing import GREY, Chart, drawn
from training.report.errors import MissingExtra
from training.report.page import Markup
from training.temperature import probabilities_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WORST = 24  # images that are shown as the worst mistakes
_CONFUSIONS = 20  # pairs of classes that are shown with their images
_EACH = 8  # images of such a pair
_MATRIX = 30  # classes, up to which the whole confusion matrix is printed
_SIDE = 96  # pixels of a picture on the page
_TILES = 4  # rows and columns of an image that are shuffled to make a foreign one
_FOREIGN = 512  # foreign images of each kind

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Seen:
    """Held-back images and the outputs of the file's model for them.

    Attributes:
        split: "test" or "validation".
        images: of the split, at most `training.calibrate.MOST_TRAINING`.
        whole: how many images the split has.
        outputs: of the images.
        probabilities: (n, K), calibrated.
        adapter: the file.
    """

    split: str
    images: PixelSet
    whole: int
    outputs: Outputs
    probabilities: Floats
    adapter: TaskAdapter

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.adapter.manifest.labels


def mistakes(job: Job, outcome: Outcome) -> list[Markup]:
    """The parts of the page; none if the run has no held-back images."""
    split = "test" if job.prepared.test else "validation"
    images = job.prepared.test or job.prepared.validation
    if not len(images):
        return []
    adapter = unpack(outcome.adapter)
    model = from_file(outcome.adapter, job.backbone)
    shown = sample(images)
    outputs = outputs_of(model, shown)
    temperature = adapter.manifest.answers.temperature if adapter.manifest.answers else 1.0
    found = probabilities_of(outputs.logits, _activation(adapter.manifest), temperature)
    seen = Seen(split, shown, len(images), outputs, found, adapter)
    exclusive = _activation(adapter.manifest) == SOFTMAX
    return [
        page.heading("What it gets wrong"),
        page.paragraph(_about(seen)),
        *(_worst(seen) if exclusive else ()),
        *(_confusions(seen) if exclusive else ()),
        page.heading("Classes"),
        page.figures(_classes(seen)),
        *_charts(seen, model),
    ]


def _activation(manifest: Manifest) -> str:
    return manifest.answers.activation if manifest.answers else SOFTMAX


def _about(seen: Seen) -> str:
    part = "" if len(seen.images) == seen.whole else f"{len(seen.images):,} of "
    return (
        f"Measured with the exported file on {part}{seen.whole:,} {seen.split} images. The pictures are what the "
        "network reads: resized and cropped."
    )


# ---------------------------------------------------------------- pictures


def _worst(seen: Seen) -> list[Markup]:
    """The wrong answers that were given with the most confidence."""
    said, true = seen.probabilities.argmax(1), seen.outputs.truth.argmax(1)
    wrong = np.flatnonzero(said != true)
    if not len(wrong):
        return [page.paragraph("Every answer is right.")]
    order = wrong[np.argsort(-seen.probabilities[wrong, said[wrong]], kind="stable")][:_WORST]
    return [
        page.paragraph(f"{len(wrong):,} answers are wrong. These were given with the most confidence:"),
        page.gallery([_picture(seen, int(row)) for row in order]),
    ]


def _confusions(seen: Seen) -> list[Markup]:
    """The confusion matrix if it is small enough to be read, and images of the most frequent confusions."""
    said, true = seen.probabilities.argmax(1), seen.outputs.truth.argmax(1)
    counts = np.zeros((len(seen.labels),) * 2, np.int64)
    np.add.at(counts, (true, said), 1)
    pairs = sorted(((counts[pair], pair) for pair in _wrong_pairs(counts)), key=lambda each: (-each[0], each[1]))
    shown = [pair for _, pair in pairs[:_CONFUSIONS]]
    parts = [page.heading("Confusions")]
    if len(seen.labels) <= _MATRIX:
        parts += [
            page.paragraph("A row is the true class, a column the answer. Underlined counts lead to images."),
            page.matrix(seen.labels, counts.tolist(), {pair: _anchor(pair) for pair in shown}),
        ]
    for pair in shown:
        rows = np.flatnonzero((true == pair[0]) & (said == pair[1]))
        order = rows[np.argsort(-seen.probabilities[rows, pair[1]], kind="stable")][:_EACH]
        title = f"{seen.labels[pair[0]]}, answered as {seen.labels[pair[1]]}: {len(rows):,}"
        parts.append(page.details(title, [page.gallery([_picture(seen, int(row)) for row in order])], _anchor(pair)))
    return parts


def _wrong_pairs(counts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    for true, said in zip(*np.nonzero(counts), strict=True):
        if true != said:
            yield int(true), int(said)


def _anchor(pair: tuple[int, int]) -> str:
    return f"pair-{pair[0]}-{pair[1]}"


def _picture(seen: Seen, row: int) -> Markup:
    said, true = int(seen.probabilities[row].argmax()), int(seen.outputs.truth[row].argmax())
    caption = f"{seen.labels[true]} → {seen.labels[said]} {seen.probabilities[row, said]:.2f}"
    return page.picture(_jpeg(seen.images.pixels[row].cpu().numpy()), caption)


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    """Base64 of a small JPEG of pixels (H, W, 3)."""
    image, data = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((_SIDE, _SIDE))
    image.save(data, "JPEG", quality=80)
    return base64.b64encode(data.getvalue()).decode("ascii")


# ---------------------------------------------------------------- figures


def _classes(seen: Seen) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Each class with its images, precision, recall and average precision; the least recall first."""
    truth = seen.outputs.truth
    if _activation(seen.adapter.manifest) == SIGMOID:
        answers = seen.adapter.manifest.answers
        given = seen.probabilities >= np.array(answers.thresholds if answers else 0.5)
    else:
        given = np.eye(truth.shape[1], dtype=np.bool_)[seen.probabilities.argmax(1)]
    precision, recall = precision_and_recall(given, truth)
    rows = [
        (
            seen.labels[place],
            f"{int(truth[:, place].sum()):,}",
            f"{precision[place]:.3f}",
            f"{recall[place]:.3f}",
            f"{average_precision(seen.probabilities[:, place], truth[:, place]):.3f}",
        )
        for place in np.argsort(recall, kind="stable").tolist()
    ]
    return ("class", "images", "precision", "recall", "average precision"), rows


def _charts(seen: Seen, model: AdaptedModel) -> list[Markup]:
    try:
        charts = [_reliability(seen), *_unknown(seen, model)]
    except MissingExtra:
        return []  # the page has said already that there are no figures
    return [page.heading("How far its answers can be trusted"), *(page.chart(chart) for chart in charts)]


def _reliability(seen: Seen) -> Chart:
    """Accuracy by confidence, before and after the temperature (Guo et al. 2017, arXiv 1706.04599)."""
    activation = _activation(seen.adapter.manifest)
    raw = probabilities_of(seen.outputs.logits, activation, 1.0)
    pairs = {name: _answers(each, seen) for name, each in (("as trained", raw), ("calibrated", seen.probabilities))}
    errors = ", ".join(f"{name} {calibration_error(*pair):.3f}" for name, pair in pairs.items())
    caption = (
        f"Share of right answers by the probability that they were given with, on {seen.split} images; on the line "
        f"both are equal. Expected calibration error, {BINS} bins: {errors}."
    )
    return drawn("reliability", caption, partial(_draw_reliability, pairs), size=(4.6, 3.4))


def _answers(probabilities: Floats, seen: Seen) -> tuple[Floats, NDArray[np.bool_]]:
    """Confidences, and whether they were right: of the best class, or of every label by itself."""
    truth = seen.outputs.truth
    if _activation(seen.adapter.manifest) == SIGMOID:
        return probabilities.ravel(), truth.ravel()
    best = probabilities.argmax(1)
    rows = np.arange(len(best))
    return probabilities[rows, best], truth[rows, best]


def _draw_reliability(pairs: dict[str, tuple[Floats, NDArray[np.bool_]]], figure: "Figure") -> None:
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    for (name, (confidences, right)), marker in zip(pairs.items(), "os", strict=True):
        place = np.minimum((confidences * BINS).astype(np.int64), BINS - 1)
        counts = np.bincount(place, minlength=BINS)
        bins = counts > 0
        x, y = (np.bincount(place, values, BINS)[bins] / counts[bins] for values in (confidences, right.astype(float)))
        axes.plot(x, y, marker=marker, lw=1.2, label=name)
    axes.set(xlabel="probability", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    axes.legend()


def _unknown(seen: Seen, model: AdaptedModel) -> list[Chart]:
    """The unknown scores of held-back and of foreign images; no chart where the file has no score."""
    answers, arrays = seen.adapter.manifest.answers, seen.adapter.known
    if answers is None or answers.known is None or arrays is None:
        return []
    rules = known_features(arrays, answers.known.residual_variance, answers.known.threshold)
    scores = {f"{seen.split} images": unknown_scores(seen.outputs.features, rules)}
    for name, images in foreign(seen.images).items():
        scores[name] = unknown_scores(outputs_of(model, images).features, rules)
    own, *others = scores.values()
    areas = ", ".join(
        f"{name} {area_under_roc(own, other):.2f}" for name, other in zip([*scores][1:], others, strict=True)
    )
    caption = (
        f"Unknown scores: an image above 1 counts as unknown; {np.mean(own > 1):.0%} of the {seen.split} images do. "
        f"Foreign images are made of these. Chance that a foreign one scores higher (AUROC): {areas}."
    )
    return [drawn("unknown", caption, partial(_draw_scores, scores), size=(5.6, 3.2))]


def _draw_scores(scores: dict[str, Floats], figure: "Figure") -> None:
    axes = figure.subplots()
    edges = np.linspace(0, max(2.0, float(np.quantile(np.concatenate(list(scores.values())), 0.98))), 41)
    for name, values in scores.items():
        axes.hist(values.clip(max=edges[-1]), edges.tolist(), density=True, histtype="step", lw=1.4, label=name)
    axes.axvline(1, color=GREY, lw=0.8, ls=":")
    axes.set(xlabel="unknown score", ylabel="density")
    axes.legend()


def foreign(images: PixelSet) -> dict[str, PixelSet]:
    """Images that belong to no class, made of images that do: their tiles shuffled, and noise of their colours."""
    generator = np.random.default_rng(0)
    pixels = images.pixels[:_FOREIGN].cpu().numpy()
    noise = np.stack([_noise(image, generator) for image in pixels])
    shuffled = np.stack([_shuffled(image, generator) for image in pixels])
    targets = images.targets[: len(pixels)]
    return {
        name: PixelSet(torch.from_numpy(each), targets)
        for name, each in (("tiles shuffled", shuffled), ("noise", noise))
    }


def _noise(image: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Every pixel from anywhere in the image."""
    flat = image.reshape(-1, image.shape[-1])
    mixed: NDArray[np.uint8] = generator.permutation(flat).reshape(image.shape)
    return mixed


def _shuffled(image: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Tiles in another order; a remainder at the edges stays where it is."""
    height, width = (side // _TILES for side in image.shape[:2])
    found = image.copy()
    places = [(row * height, column * width) for row in range(_TILES) for column in range(_TILES)]
    for (top, left), source in zip(places, generator.permutation(len(places)), strict=True):
        above, before = places[source]
        found[top : top + height, left : left + width] = image[above : above + height, before : before + width]
    return found
