"""Named sets of training options: those of the paper, short ones for a small data set on a CPU, and the demo's."""

from training.options import FitOptions, MiMiOptions
from training.rates import EXTRA, around
from training.variants import for_serving

# The recipe of the released code, which is timm's, with the stochastic depth of a Swin-T. The last size is exported.
PAPER = MiMiOptions(
    fit=FitOptions(
        resized_crop=0.08,
        shift=0,
        randaugment="rand-m9-mstd0.5-inc1",
        erasing=0.25,
        mixup=0.8,
        cutmix=1.0,
        drop_path=0.2,
        drop_last=True,
    ),
    size_tolerance=1,
)

# With few epochs a cycle the rate must be large. Otherwise the neurons still rank as they were drawn. The rate is
# chosen on validation.
SHORT = MiMiOptions(
    fit=FitOptions(epochs=8, warmup_epochs=1, batch_size=64, learning_rate=2e-3, reference_batch=None),
    target_sigma=256,
    learning_rates=around(2e-3),
    extra_rates=EXTRA,
)

# A mirrored digit is another sign, so `flip` is off. The rate is known. Two thirds of the sites become a bare trunk,
# which is computed once for each of four views of an image. It is cheaper to serve, and trains in half the time.
DEMO = MiMiOptions(
    fit=FitOptions(
        epochs=4, warmup_epochs=1, batch_size=32, learning_rate=3e-3, reference_batch=None, flip=False, views=4
    ),
    pruning=for_serving(sites=24),
    target_sigma=256,
    size_tolerance=1,
)

PRESETS = {"short": SHORT, "paper": PAPER}
