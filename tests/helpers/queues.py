"""Queues for tests of the drive: a list of tasks, and a real queue that no other run shares."""

from dataclasses import dataclass, field

from pipeline.engine.task import always


@dataclass
class Tasks:
    """Tasks, and what is to happen before some of them (by how many are left) is handed out."""

    tasks: list
    events: dict = field(default_factory=dict)
    finished: list = field(default_factory=list)

    def pop(self, has_room=always):
        if len(self.tasks) in self.events:
            self.events.pop(len(self.tasks))()
        return self.tasks.pop(0) if self.tasks and has_room(self.tasks[0].nodes) else None

    def finish(self, node, part):
        self.finished.append(part)

    def settled(self, task): ...

    def wait(self):
        return False


@dataclass
class Alone:
    """A queue of the engine's, as a run has it that shares its store with nobody."""

    queue: object

    def __post_init__(self):
        self.pop, self.finish = self.queue.pop, self.queue.finish

    def settled(self, task): ...

    def wait(self):
        return False
