"""Every choice of a pretraining, with its default."""

from dataclasses import asdict, dataclass

from training.options import FitOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainOptions:
    """Options for training a Swin from scratch; the defaults are a modern recipe for small images.

    Attributes:
        epochs: in all.
        warmup_epochs: linear warm-up.
        batch_size: images a step.
        learning_rate: peak, before a cosine to a hundredth of it.
        weight_decay: AdamW's, on matrices.
        clip: largest gradient norm.
        label_smoothing: of the cross-entropy.
        mixup: alpha of mixup, 0 for none; half of the batches are mixed, the others cut.
        cutmix: alpha of cutmix, 0 for none.
        erasing: share of images of which a rectangle is replaced by noise.
        drop_path: stochastic depth of the last block.
        ema: decay of the averaged weights, which are the ones evaluated and exported.
        shift: move images by up to this many pixels.
        zoom: scale images by 1 ± this.
        rotate: turn images by up to this many degrees.
        jitter: brightness and contrast by 1 ± this.
        seed: of the initialisation, and of every epoch's order and augmentation.
    """

    epochs: int = 100
    warmup_epochs: float = 5
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    clip: float = 5.0
    label_smoothing: float = 0.1
    mixup: float = 0.2
    cutmix: float = 1.0
    erasing: float = 0.1
    drop_path: float = 0.1
    ema: float = 0.9995
    shift: int = 8
    zoom: float = 0.25
    rotate: float = 10.0
    jitter: float = 0.4
    seed: int = 0

    @property
    def fit(self) -> FitOptions:
        """The part that augmentation and schedule read."""
        return FitOptions(
            epochs=self.epochs,
            warmup_epochs=self.warmup_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            reference_batch=None,
            weight_decay=self.weight_decay,
            clip=self.clip,
            label_smoothing=self.label_smoothing,
            shift=self.shift,
            zoom=self.zoom,
            rotate=self.rotate,
            jitter=self.jitter,
            drop_last=True,
        )

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self)
