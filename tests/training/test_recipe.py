"""timm's recipe in batches: its own draws, Pillow's values, soft targets, and generators that stay as they were."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.auto_augment import NAME_TO_OP, rand_augment_transform
from timm.data.transforms import RandomResizedCropAndInterpolation
from torch import Tensor

from tests.training.small import small_backbone, small_options, small_set
from training.fit import Fitting, _augmented, build_optimizer, train_epoch
from training.model import AdaptedModel
from training.options import FitOptions
from training.parallel import World
from training.randaugment import FILL, OPERATIONS, apply, drawing
from training.recipe import erased, mixed, rand_augmented, resized_crops

CONFIG = "rand-m9-mstd0.5-inc1"
RECIPE = {"resized_crop": 0.3, "randaugment": CONFIG, "erasing": 0.5, "mixup": 0.8, "cutmix": 1.0}


def photos(count: int = 4, side: int = 48) -> Tensor:
    """Smooth colour images, uint8 (n, side, side, 3)."""
    rng = np.random.default_rng(1)
    small = [Image.fromarray(rng.integers(20, 230, (6, 6, 3), dtype=np.uint8)) for _ in range(count)]
    large = [np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) for image in small]
    return torch.from_numpy(np.stack(large))


LEVELS: dict[str, list[float]] = {
    "AutoContrast": [0.0], "Equalize": [0.0], "Invert": [0.0], "Rotate": [17.0, -29.0], "Posterize": [1, 2, 4],
    "Solarize": [26, 180], "SolarizeAdd": [44, 110], "Color": [0.1, 1.8], "Contrast": [0.2, 1.7],
    "Brightness": [0.3, 1.9], "Sharpness": [0.1, 1.9], "ShearX": [0.28, -0.2], "ShearY": [0.28, -0.2],
    "TranslateXRel": [0.4, -0.21], "TranslateYRel": [0.4, -0.21],
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_gives_pillows_values(name: str) -> None:
    images = photos()
    exact = not name.startswith(("Rotate", "Shear", "Translate"))
    for level in LEVELS[name]:
        ours = apply(images, [[(name, float(level))]] * len(images)).int()
        arguments = (level,) if LEVELS[name] != [0.0] else ()
        fill = tuple(map(int, FILL))
        for image, found in zip(images.numpy(), ours, strict=True):
            pillow = NAME_TO_OP[name](
                Image.fromarray(image), *arguments, fillcolor=fill, resample=Image.Resampling.BICUBIC
            )
            off = (torch.from_numpy(np.array(pillow)).int() - found).abs()
            assert (off.max() <= 1) if exact else (off.float().mean() < 1.5), (
                name,
                level,
                off.max(),
                off.float().mean(),
            )


def test_the_draws_are_timms_own() -> None:
    """Level by level: the same seed makes timm call the same operations with the same arguments."""
    called: list[tuple[str, float]] = []
    theirs = rand_augment_transform(CONFIG, {"translate_pct": 0.45})
    for op in theirs.ops:
        op.aug_fn = lambda img, *levels, name=op.name, **kw: called.append((name, float(levels[0]) if levels else 0.0))
    for seed in range(40):
        called.clear()
        for draw, start in ((theirs, None), (drawing(CONFIG), [])):
            random.seed(seed)
            np.random.seed(seed)
            found = draw(start)
        assert found == called


def test_each_image_is_changed_by_its_own_seed_alone() -> None:
    images = photos(6)
    whole = rand_augmented(images, CONFIG, [5, 6, 7, 8, 9, 10])
    assert torch.equal(whole[2:4], rand_augmented(images[2:4], CONFIG, [7, 8]))
    assert (whole != images).flatten(1).any(1).sum() >= 3


def test_a_random_crop_is_timms() -> None:
    images = photos(5)
    crops = resized_crops(images, 0.08, range(5))
    theirs = RandomResizedCropAndInterpolation(48, (0.08, 1.0), interpolation="bicubic")
    for seed, image in enumerate(images.numpy()):
        random.seed(seed)
        expected = torch.from_numpy(np.array(theirs(Image.fromarray(image)))).int()
        assert (expected - crops[seed].int()).abs().max() <= 1


def test_erasing_puts_noise_into_a_share_of_the_images() -> None:
    images = torch.full((40, 3, 16, 16), 9.0)
    changed = (erased(images.clone(), 0.5, range(40)) != 9).flatten(1).any(1)
    assert 10 <= int(changed.sum()) <= 30
    assert torch.equal(erased(images.clone(), 0.5, range(40))[7:9], erased(images[7:9].clone(), 0.5, [7, 8]))


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0), (0.8, 1.0)])
@pytest.mark.parametrize("count", [1, 4, 5])
def test_mixing_gives_smoothed_shares_of_two_classes(mixup: float, cutmix: float, count: int) -> None:
    fit = FitOptions(mixup=mixup, cutmix=cutmix)
    images = torch.arange(count).float().view(-1, 1, 1, 1).expand(-1, 3, 8, 8).clone()
    found, soft = mixed(images.clone(), torch.arange(count) % 3, fit, classes=3, seed=3)
    torch.testing.assert_close(soft.sum(1), torch.ones(count))
    assert soft.min() >= 0.1 / 3 - 1e-6
    if count % 2:
        assert torch.equal(found[-1], images[-1])
    shares = (soft - 0.1 / 3) / 0.9
    for row in range(count // 2 * 2):  # the image holds of the other what its target says
        own, other = float(images[row, 0, 0, 0]), float(images[count // 2 * 2 - 1 - row, 0, 0, 0])
        if row % 3 != (count // 2 * 2 - 1 - row) % 3:
            share = float(shares[row, row % 3])
            assert float(found[row].mean()) == pytest.approx(share * own + (1 - share) * other, abs=1e-4)


def test_the_global_generators_are_left_as_they_were() -> None:
    def states() -> list[object]:
        return [random.random(), np.random.rand(), float(torch.rand(()))]

    def seeded() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seeded()
    expected = states()
    seeded()
    rand_augmented(resized_crops(photos(2), 0.1, [1, 2]), CONFIG, [1, 2])
    erased(torch.zeros(2, 3, 16, 16), 1.0, [1, 2])
    mixed(torch.zeros(2, 3, 16, 16), torch.tensor([0, 1]), FitOptions(mixup=1.0), classes=2, seed=4)
    assert states() == expected


def epoch(changes: dict[str, object]) -> list[Tensor]:
    """Parameters after an epoch; twice the same."""
    fit = replace(small_options().fit, **{**RECIPE, **changes})  # type: ignore[arg-type]
    model = AdaptedModel(small_backbone(), (2, 0, 3, 1), 3)
    fitting = Fitting(model, build_optimizer(model, fit), fit, seed=1)
    train_epoch(fitting, small_set(21, 0), cycle=0, epoch=0, on_step=lambda progress: None)
    return [parameter.detach().clone() for parameter in model.task_parameters().values()]


@pytest.mark.parametrize("changes", [{}, {"mixup": 0.0, "cutmix": 0.0}, {"update": "sgd", "views": 0}])
def test_an_epoch_of_the_whole_recipe_repeats(changes: dict[str, object]) -> None:
    first, again = epoch(changes), epoch(changes)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], epoch({**changes, "erasing": 0.0})[0])


def test_a_share_of_a_mixed_batch_sees_what_the_whole_batch_sees() -> None:
    """Two processes compute the same for a batch as one."""
    fit = replace(small_options().fit, **RECIPE)  # type: ignore[arg-type]
    model, train, rows = AdaptedModel(small_backbone(), (2, 0, 3, 1), 3), small_set(12, 0), torch.arange(12)
    fitting = Fitting(model, build_optimizer(model, fit), fit, seed=1)

    def part(of: slice) -> tuple[Tensor, Tensor]:
        return _augmented(fitting, train, torch.Generator().manual_seed(3), rows, of)

    logits, targets = part(slice(None))
    for rank in range(2):
        own, _ = World(rank, 2).share(12)
        torch.testing.assert_close(part(own)[0], logits[own], atol=1e-5, rtol=1e-5)
        assert torch.equal(part(own)[1], targets[own])


@pytest.mark.parametrize("name", ["rand-x3", "auto", "rand-m9-tweights"])
def test_a_name_that_is_no_randaugment_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="randaugment must be timm's name"):
        FitOptions(randaugment=name)
