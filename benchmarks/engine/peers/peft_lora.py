"""PEFT: LoRA on Hugging Face's Swin, one adapter a task, batches mixed through `adapter_names`."""

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from benchmarks.engine.job import Calls, Job
from benchmarks.engine.peers import hf_swin

SCALE = 0.05  # LoRA begins at zero; random weights make every adapter answer differently


def build(job: Job) -> Calls:
    """`mixed` (row i for task i modulo their number), `alone` (the same, row by row), `base` without any adapter."""
    images, tasks = torch.from_numpy(job.images(job.number("batch"))), job.number("tasks")
    base = hf_swin.load(job)
    config = LoraConfig(r=job.number("rank"), lora_alpha=job.number("rank"), target_modules=["fc1", "fc2"])
    names = [f"task{index}" for index in range(tasks)]
    model = get_peft_model(base, config, adapter_name=names[0])
    for name in names[1:]:
        model.add_adapter(name, config)
    parameters = _randomise(model, names)
    model.eval()
    rows = [names[row % tasks] for row in range(len(images))]

    @torch.inference_mode()
    def mixed() -> Tensor:
        answer: Tensor = model(pixel_values=images, adapter_names=rows).pooler_output
        return answer

    @torch.inference_mode()
    def alone() -> Tensor:
        answers = []
        for image, name in zip(images, rows, strict=True):
            model.set_adapter(name)
            answers.append(model(pixel_values=image[None]).pooler_output)
        return torch.cat(answers)

    @torch.inference_mode()
    def bare() -> Tensor:
        with model.disable_adapter():
            answer: Tensor = model(pixel_values=images).pooler_output
        return answer

    facts = {"parameters_per_task": parameters, "attention": base.config._attn_implementation}
    return Calls({"mixed": mixed, "alone": alone, "base": bare}, facts)


def _randomise(model: torch.nn.Module, names: list[str]) -> int:
    """Random LoRA weights; returns how many one task has."""
    generator, parameters = torch.Generator().manual_seed(0), 0
    for key, value in model.named_parameters():
        if "lora_" in key:
            value.data = SCALE * torch.randn(value.shape, generator=generator)
            parameters += value.numel() if f".{names[0]}." in key else 0
    return parameters
