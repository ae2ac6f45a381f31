"""Classes that are added to a task in closed form: the file that answers, and a new one made of it. Knows no HTTP.

The features of the new images come from the engine, as those of any prediction do. The statistics that they are
added to come from the file itself, so no old image is needed.
"""

from dataclasses import dataclass

import numpy as np

from adapters_store import TaskAdapter, VersionInfo, pack, unpack
from adapters_store.errors import StaleGeneration
from adapters_store.extending import check_extensible, extended
from backbone import reference_outputs
from service.engine import Engine, Resident
from service.errors import ChangedMeanwhile, NoLiveVersion
from service.tasks.catalogue import Catalogue, answering
from service.tasks.conditions import Condition
from service.tasks.uploads import Upload, Uploaded, Uploader


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """The version that a class is added to: the one that answers for the task.

    Attributes:
        task: its id.
        generation: of the task when the version was found.
        info: of the version.
        adapter: its file.
    """

    task: str
    generation: int
    info: VersionInfo
    adapter: TaskAdapter


@dataclass(frozen=True, slots=True, eq=False)
class NewClass:
    """A class with the features (n, F) of its images, and on what terms it is added."""

    label: str
    features: np.ndarray
    condition: Condition
    activate: bool
    dry_run: bool
    strict: bool


class ClassAdder:
    """Adds classes to what is published. Every new file passes all checks of an upload."""

    def __init__(self, catalogue: Catalogue, engine: Engine, uploader: Uploader) -> None:
        self._catalogue, self._engine, self._uploader = catalogue, engine, uploader

    def base(self, task: str) -> Base:
        """The version that a class would be added to. Reads the store.

        Raises:
            UnknownTask, NoLiveVersion: there is nothing.
            NotExtensible: the file takes no class.
            StoreError, ArtifactError: it cannot be read.
        """
        state = self._catalogue.task(task)
        info = answering(state)
        if info is None:
            raise NoLiveVersion("the task has no version")
        adapter = unpack(self._catalogue.data(info))
        check_extensible(adapter, "")
        return Base(task, state.generation, info, adapter)

    def add(self, base: Base, resident: Resident, new: NewClass) -> Uploaded:
        """Make the new file and publish it; belongs to the registry's thread.

        Args:
            base: what the class is added to.
            resident: the weights of that version.
            new: the class.

        Raises:
            NotExtensible: the class exists, or has too few images.
            ChangedMeanwhile: somebody changed the task since `base`, and there is no condition.
            And as `Uploader.upload`.
        """
        golden = reference_outputs(self._engine.backbone, resident.sites, resident.head, base.adapter.golden_image)
        data = pack(extended(base.adapter, new.label, new.features, golden.features))
        seen = Condition(frozenset({base.generation}))
        condition = new.condition if new.condition.given else seen
        try:
            return self._uploader.upload(
                Upload(base.task, data, condition, activate=new.activate, dry_run=new.dry_run, strict=new.strict)
            )
        except StaleGeneration:
            if new.condition.given:
                raise
            raise ChangedMeanwhile("somebody changed the task at the same time") from None
