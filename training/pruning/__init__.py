"""Pruning: the choice of the neurons that stay after a cycle.

criteria.py      importance of every weight, by each criterion
scores.py        scores of neurons from the importance of their weights
selection.py     the neurons that stay, and everything cut to them
unstructured.py  single weights removed instead of neurons
"""
