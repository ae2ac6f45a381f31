"""Defaults of a run: those of the paper, and shorter ones for a small data set and a CPU."""

from training.options import FitOptions, MiMiOptions
from training.variants import for_serving

PAPER = MiMiOptions()

# A few epochs a cycle need a large rate, or the neurons' ranking is still that of their random initialisation; which
# rate suits the data is found on validation.
SHORT = MiMiOptions(
    fit=FitOptions(epochs=8, warmup_epochs=1, batch_size=64, learning_rate=2e-3, reference_batch=None),
    target_sigma=256,
    learning_rates=(5e-4, 1.5e-3, 5e-3),
)

# Digits are not to be mirrored, and their rate is known. Two thirds of the sites become a bare trunk, which is computed
# once for each of four views of an image: it serves cheaper, and trains in half the time.
DEMO = MiMiOptions(
    fit=FitOptions(
        epochs=4, warmup_epochs=1, batch_size=32, learning_rate=3e-3, reference_batch=None, flip=False, views=4
    ),
    pruning=for_serving(sites=24),
    target_sigma=256,
    size_tolerance=1,
)

PRESETS = {"short": SHORT, "paper": PAPER}
