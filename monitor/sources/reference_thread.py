"""References that files and topics give, made in a thread of their own: the loop's turns go on meanwhile.

A decision counts by pane when it is written, so it does not matter when it is there. The thread has a bus of its own,
because one thread uses a bus. What is made waits until the stage asks for it once more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from monitor.config.resolved import ModelConfig, ReferenceSpec
from monitor.contract import ModelContract
from monitor.errors import BusError, ConfigurationError, FormatError
from monitor.ledger.entries import Decision
from monitor.telemetry import Log

RETRY_S = 5.0
"""After a failure of the bus a reference is tried again, not sooner than that, and behind those of other models."""
LEAVE_S = 1.0
"""How long a stage that stops waits for the thread; a read that takes longer ends with the process."""
Check = Callable[[], None]
"""Called between batches of rows; raises Interrupted if the stage stops."""
Make = Callable[[ModelConfig, Check], list[Decision]]
"""Makes grid and reference decisions of a model, in the thread."""


class Interrupted(Exception):
    """The stage stops, or wants another reference of the model."""


class _Wanted(NamedTuple):
    """What a reference depends on."""

    spec: ReferenceSpec
    contract: ModelContract


class _Made(NamedTuple):
    """A reference, or why there is none. `error`: also one that nobody expects, which ends the process."""

    wanted: _Wanted
    decisions: list[Decision]
    error: BaseException | None = None


class ReferenceThread:
    """The references of a stage's models. The thread begins with the first model that names a file or a topic."""

    def __init__(self, make: Make, log: Log, retry_s: float = RETRY_S) -> None:
        self._make = make
        self._log = log
        self._retry_s = retry_s
        self._changed = threading.Condition()
        self._is_closed = False
        self._queue: OrderedDict[str, ModelConfig] = OrderedDict()
        self._working: tuple[str, _Wanted] | None = None
        self._made: dict[str, _Made] = {}
        self._arrived: set[str] = set()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------------ asked by the stage

    def take(self, model: ModelConfig) -> list[Decision] | None:
        """Return a model's grids and references, once; None while they are made, empty if its first rows make them.

        Raises ConfigurationError if they can't be made.
        """
        if model.rules.reference.path is None and model.rules.reference.topic is None:
            return []
        name, wanted = model.contract.model, _wanted(model)
        with self._changed:
            made = self._made.get(name)
            if made is None or made.wanted != wanted:
                self._ask(model)
                return None
            del self._made[name]
        if isinstance(made.error, FormatError | OSError):
            raise ConfigurationError(str(made.error)) from made.error
        if made.error is not None:
            raise made.error
        return made.decisions

    def take_arrived(self) -> list[str]:
        """Return the models whose references have been made since the last call, sorted."""
        with self._changed:
            arrived, self._arrived = self._arrived, set()
        return sorted(arrived)

    def close(self) -> None:
        """Stop: what is being made is left."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(LEAVE_S)

    def _ask(self, model: ModelConfig) -> None:
        """Have a reference made, in the place of another that was asked for of the same model."""
        name = model.contract.model
        if self._working == (name, _wanted(model)):
            return
        if name not in self._queue or _wanted(self._queue[name]) != _wanted(model):
            self._log.info("reference_asked", model=name)
        self._queue[name] = model
        self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="references", daemon=True)
            self._thread.start()

    # ------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        while (model := self._take_next()) is not None:
            name, wanted = model.contract.model, _wanted(model)
            try:
                made = _Made(wanted, self._make(model, self._check))
            except Interrupted:
                continue
            except BusError as error:
                self._log.warning("reference_unreadable", model=name, why=str(error), again_in_s=self._retry_s)
                self._put_back(model)
                continue
            except BaseException as error:  # the stage raises it: a bug in a thread must not go by unseen
                made = _Made(wanted, [], error)
            self._hand_over(name, made)

    def _take_next(self) -> ModelConfig | None:
        with self._changed:
            self._working = None
            self._changed.wait_for(lambda: self._is_closed or bool(self._queue))
            if self._is_closed:
                return None
            name, model = self._queue.popitem(last=False)
            self._working = (name, _wanted(model))
            return model

    def _check(self) -> None:
        with self._changed:
            is_replaced = self._working is not None and self._working[0] in self._queue
            if self._is_closed or is_replaced:
                raise Interrupted

    def _put_back(self, model: ModelConfig) -> None:
        with self._changed:
            self._working = None
            self._queue.setdefault(model.contract.model, model)
            self._changed.wait_for(lambda: self._is_closed, self._retry_s)

    def _hand_over(self, name: str, made: _Made) -> None:
        with self._changed:
            self._made[name] = made
            self._arrived.add(name)
            self._changed.notify_all()


def _wanted(model: ModelConfig) -> _Wanted:
    return _Wanted(model.rules.reference, model.contract)
