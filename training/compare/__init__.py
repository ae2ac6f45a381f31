"""Methods against each other at equal budgets: a matrix of methods, data sets and seeds from one TOML file.

    config.py      what the file may say            catalogue.py   every candidate by name
    matrix.py      the cells, and their names       candidate.py  what a candidate is; the linear probe
    runner.py      locks, learning rates, rows      generic.py     any TaskModel, cycle by cycle, with checkpoints
    dataset.py     images at a seed                 pruned.py      MiMi and its variants
    measure.py     size and cost of a model

Every method gets the same images, augmentation and epochs, with a schedule that restarts in each cycle. Its learning
rate is chosen on validation after one cycle on seed 0. A row after cycle k is compared with rows of other methods after
(k + 1) · E epochs. Nothing here draws a figure or knows a command line.
"""
