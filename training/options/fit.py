"""How one cycle trains."""

from dataclasses import dataclass

from training.options.require import require


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """How one cycle trains.

    Attributes:
        epochs: of one cycle, warm-up included (the published command's reading is 80, the text's 100).
        warmup_epochs: linear warm-up at the start of every cycle.
        warmup_prefix: start the cosine after the warm-up; False, as the code does, starts it at step 0, so that
            the rate drops a little where the warm-up ends.
        batch_size: images a step (not stated in the paper; the code's protocol is 512).
        learning_rate: peak rate at `reference_batch` images a step.
        reference_batch: the rate scales with batch_size / reference_batch; None takes it as given.
        weight_decay: AdamW's, on matrices; vectors have none.
        clip: largest gradient norm over all trained parameters together.
        label_smoothing: of the cross-entropy.
        drop_path: stochastic depth in the frozen branches, growing linearly with depth. The code leaves the
            backbone's own rate on (Swin-T 0.2); off here, so that a prefix without adapters is deterministic.
        flip: mirror half of the training images.
        shift: move training images by up to this many pixels each way (edges repeated).
        rotate: turn training images by up to this many degrees.
        zoom: scale training images by a factor in 1 ± this.
        jitter: scale brightness and contrast of training images by factors in 1 ± this.
        views: augmented versions of each image, drawn once and taking turns by epoch, so that the frozen prefix before
            the first live site is computed once for each; 0 augments anew in every epoch and computes everything.
        drop_last: leave out the last short batch of an epoch, as the code does.
    """

    epochs: int = 100
    warmup_epochs: float = 20
    warmup_prefix: bool = False
    batch_size: int = 512
    learning_rate: float = 5e-4
    reference_batch: int | None = 512
    weight_decay: float = 0.05
    clip: float = 5.0
    label_smoothing: float = 0.1
    drop_path: float = 0.0
    flip: bool = True
    shift: int = 4
    rotate: float = 0.0
    zoom: float = 0.0
    jitter: float = 0.0
    views: int = 0
    drop_last: bool = False

    def __post_init__(self) -> None:
        """Refuse what could not train.

        Raises:
            ValueError: naming the option and its value.
        """
        require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        require(0 <= self.warmup_epochs < self.epochs, "warmup_epochs", self.warmup_epochs, "in [0, epochs)")
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "positive")
        require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "in [0, 1)")
        require(0 <= self.zoom < 1, "zoom", self.zoom, "in [0, 1)")
        require(0 <= self.jitter <= 1, "jitter", self.jitter, "in [0, 1]")
        require(0 <= self.drop_path < 1, "drop_path", self.drop_path, "in [0, 1)")
        require(self.views >= 0, "views", self.views, "at least 0")
        require(not (self.views and self.drop_path), "drop_path", self.drop_path, "0 where views are cached")

    @property
    def peak_rate(self) -> float:
        """The learning rate after scaling to the batch size."""
        scale = self.batch_size / self.reference_batch if self.reference_batch else 1.0
        return self.learning_rate * scale
