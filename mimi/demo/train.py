"""Trains the demo's own task adapter on the CPU, with a preset for digits."""

import sys
from pathlib import Path

from backbone import load_backbone
from mimi.demo.questions import DIGIT_TASKS
from mimi.presets import DEMO
from training.cycles import results_table
from training.data import load_data
from training.mimi import Job, train_mimi
from training.prepare import prepare
from training.progress import Console


def train_demo(folder: Path) -> bytes:
    """Train, print the table of sizes, and return the task adapter file."""
    backbone = load_backbone()
    data = load_data(DIGIT_TASKS[0])
    prepared = prepare(data, backbone.preprocessing, validation=DEMO.validation, seed=DEMO.seed)
    outcome = train_mimi(Job(prepared, backbone, DEMO, folder, Console(sys.stdout)))
    print(results_table(outcome.results))
    return outcome.adapter
