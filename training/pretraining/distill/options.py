"""Every choice of a distillation, with its default."""

from dataclasses import asdict, dataclass

from training.options import FitOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillOptions:
    """Options of the student's training.

    Attributes:
        steps: of the optimiser in all; the schedule ends with them.
        minutes: of training in all, instead of `steps`, where the time is given and the pace unknown; such a run is
            not reproducible.
        warmup: share of the steps with a linear warm-up.
        batch_size: views a step.
        learning_rate: peak, before a cosine to a hundredth of it.
        weight_decay: AdamW's, on matrices.
        clip: largest gradient norm.
        classes_weight: of the cross-entropy beside the distillation losses; 0 leaves the classes out.
        label_smoothing: of the cross-entropy.
        sharpness: scale of the cosines that the classes are told apart by; 0 for a linear classifier.
        drop_path: stochastic depth of the last block.
        ema: decay of the averaged weights, which are the ones evaluated and exported.
        shift: move views by up to this many pixels.
        jitter: brightness and contrast by 1 ± this, beside what the view has.
        seed: of the heads' initialisation, and of every step's order and augmentation.
        fresh: start from random weights instead of given ones.
    """

    steps: int = 10_000
    minutes: float = 0.0
    warmup: float = 0.05
    batch_size: int = 128
    learning_rate: float = 7e-4
    weight_decay: float = 0.05
    clip: float = 3.0
    classes_weight: float = 0.5
    label_smoothing: float = 0.1
    sharpness: float = 0.0
    drop_path: float = 0.0
    ema: float = 0.998
    shift: int = 3
    jitter: float = 0.1
    seed: int = 0
    fresh: bool = False

    @property
    def fit(self) -> FitOptions:
        """The part that augmentation and schedule read: all steps are one epoch."""
        return FitOptions(
            epochs=1,
            warmup_epochs=self.warmup,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            reference_batch=None,
            flip=False,  # mirrored here, together with the targets
            shift=self.shift,
            jitter=self.jitter,
        )

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self)
