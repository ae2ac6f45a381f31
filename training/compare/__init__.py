"""Methods against each other at equal budgets: a matrix of methods, data sets and seeds from one TOML file.

    command.py     `mimi compare`                   config.py      what the file may say
    plan.py        its hours, and missing data      matrix.py      the cells, and their names
    runner.py      locks, learning rates, rows      catalogue.py   every candidate by name; MiMi and its variants
    cluster.py     cells as tasks of Ray            candidate.py   what a candidate is, its size and cost
    generic.py     any TaskModel, cycle by cycle, with checkpoints

Every method gets the same images, augmentation and epochs, with a schedule that restarts in each cycle. Its learning
rate is chosen on validation after one cycle on seed 0. A row after cycle k is compared with rows of other methods after
(k + 1) · E epochs. Nothing here draws a figure.
"""
