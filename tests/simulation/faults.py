"""What may go wrong: one function a fault. Each strikes the running process, or the place, in the phase that it is in.

A fault counts when it has changed what somebody can observe (`Strike.seen`), which may come out later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from monitor.evaluate.alerts import Place
from monitor.events import TopicPartition
from tests.simulation.bus import REQUEST_S, SESSION_S, TRANSACTION_S
from tests.simulation.configurations import STREAMS, VARIANTS, Shape, configuration
from tests.simulation.logs import OFFSETS, Transaction
from tests.simulation.processes import TOPICS, Process
from tests.simulation.service import MOST_OF_A_STAGE, Service
from tests.simulation.traffic import DISORDER_S, POISON
from tests.simulation.world import Killed, Strike

MOST_PARTITIONS = 4
PHASES = (
    "idle",
    "polling",
    "folding",
    "folding again",
    "before the commit",
    "inside the commit",
    "after the commit",
    "snapshot",
    "rebalance",
    "waiting for a grid",
    "rebuilding",
)
Fault = Callable[[Service, Process, Strike], None]


def kill(service: Service, process: Process, strike: Strike) -> None:
    """The process ends here, and comes back under its name sooner or later."""
    strike.seen = True
    process.start_at = service.world.now + service.world.rng.choice((0, 0, 1, 4))
    raise Killed


def take_over(service: Service, process: Process, strike: Strike) -> None:
    """The process ends here and stays away until others have its partitions: what it left open hangs."""
    strike.seen = True
    process.start_at = service.world.now + SESSION_S + service.world.rng.uniform(2, 2 * TRANSACTION_S)
    if len(service.of(process.stage)) < 2:
        service.join(process.stage)
    raise Killed


def pause(service: Service, process: Process, strike: Strike) -> None:
    """SIGSTOP, and SIGCONT within the session: the others have gone on meanwhile."""
    before = service.world.now
    service.world.wait(lambda: False, service.world.rng.uniform(0.5, 3))
    strike.seen = service.world.now > before


def zombie(service: Service, process: Process, strike: Strike) -> None:
    """SIGSTOP for longer than the session; somebody else has its partitions when it goes on."""
    if not any(p not in service.world.running for p in service.of(process.stage)):
        service.join(process.stage)
    process.lose_session()
    service.world.wait(lambda: False, SESSION_S + service.world.rng.uniform(1, 4))
    strike.seen = True


def double(service: Service, process: Process, strike: Strike) -> None:
    """A second process of the same name is started while this one is frozen, and fences it."""
    if process.retired:
        return
    process.retired = True
    service.processes.remove(process)
    other = service.join(process.stage, process.name)
    service.world.wait(lambda: other.loop is not None, 5)
    strike.seen = other.loop is not None


def join(service: Service, process: Process, strike: Strike) -> None:
    """Another process of the stage joins: its partitions move."""
    if len(service.of(process.stage)) < MOST_OF_A_STAGE:
        service.join(process.stage).turn()
        strike.seen = True


def leave(service: Service, process: Process, strike: Strike) -> None:
    """Another process of the stage leaves in good order."""
    others = [p for p in service.of(process.stage) if p not in service.world.running and p.loop is not None]
    if others:
        service.leave(service.world.rng.choice(others))
        strike.seen = True


def late_markers(service: Service, process: Process, strike: Strike) -> None:
    """For a while commits return before readers see them, partition after partition."""
    weather, world = service.bus.weather, service.world
    held = weather.held
    weather.lag_s = world.rng.uniform(1, 4)

    def end() -> None:
        weather.lag_s = 0.0
        strike.seen = weather.held > held

    world.at(world.now + 6, end)


def disk_full(service: Service, process: Process, strike: Strike) -> None:
    """For a while the broker takes nothing."""
    weather, world = service.bus.weather, service.world
    refused = weather.refused
    weather.full_until = world.now + world.rng.uniform(0.5, 2)

    def end() -> None:
        strike.seen = weather.refused > refused

    world.at(weather.full_until, end)


def broker_restart(service: Service, process: Process, strike: Strike) -> None:
    """For a while the broker answers nobody."""
    weather, world = service.bus.weather, service.world
    refused = weather.refused
    weather.down_until = world.now + world.rng.uniform(0.5, 3)

    def end() -> None:
        strike.seen = weather.refused > refused

    world.at(weather.down_until, end)


def torn_outputs(service: Service, process: Process, strike: Strike) -> None:
    """The broker crashes in the next commit: of it the outputs are there, but neither offsets nor position."""

    def tear(transaction: Transaction) -> None:
        lost = [tp for tp in transaction.logs if tp.topic == TOPICS.name("positions")]
        transaction.torn = frozenset([OFFSETS, *lost])
        service.bus.land(transaction, everything=True)
        strike.seen = len(transaction.logs) > len(lost)

    service.bus.weather.tears = tear


def torn_position(service: Service, process: Process, strike: Strike) -> None:
    """The broker crashes in the next commit: offsets and position are there, but not all outputs."""

    def tear(transaction: Transaction) -> None:
        outputs = sorted(tp for tp in transaction.logs if tp.topic != TOPICS.name("positions"))
        lost = [tp for tp in outputs if service.world.rng.random() < 0.6]
        transaction.torn = frozenset(lost)
        service.bus.land(transaction, everything=True)
        strike.seen = bool(lost)

    service.bus.weather.tears = tear


def hanging(service: Service, process: Process, strike: Strike) -> None:
    """The next writer dies in its transaction, and the broker has forgotten it: until an administrator aborts it."""

    def hang(transaction: Transaction) -> None:
        transaction.hangs = True
        world, held = service.world, service.bus.weather.held

        def end() -> None:
            strike.seen = service.bus.weather.held > held
            service.bus.abort(transaction)

        world.at(world.now + world.rng.uniform(1, 2) * TRANSACTION_S, end)
        raise Killed

    service.bus.weather.hangs = hang


def poison(service: Service, process: Process, strike: Strike) -> None:
    """A record that ends every process that folds it."""
    tp = service.world.rng.choice(service.traffic.busy)
    service.bus.poisoned.setdefault(tp, {})[service.bus.end(tp)] = strike
    service.traffic.send(tp, POISON)


def late_rows(service: Service, process: Process, strike: Strike) -> None:
    """Rows come in far behind the watermark, as a producer's backlog does."""
    traffic, rng = service.traffic, service.world.rng
    tp = rng.choice(traffic.partitions)
    for _ in range(rng.choice((1, 3))):
        traffic.send(tp, traffic.event(tp, service.world.now - rng.uniform(4, 12)))
    strike.seen = True


def future_rows(service: Service, process: Process, strike: Strike) -> None:
    """A row of next year."""
    tp = service.world.rng.choice(service.traffic.busy)
    service.traffic.send(tp, service.traffic.event(tp, service.world.now + 31_536_000))
    strike.seen = True


def broken_rows(service: Service, process: Process, strike: Strike) -> None:
    """Records that can't be read, and tombstones."""
    tp = service.world.rng.choice(service.traffic.partitions)
    service.traffic.send(tp, service.world.rng.choice((None, b"{broken", b"[]", b'{"event_id": 1}')))
    strike.seen = True


def sent_twice(service: Service, process: Process, strike: Strike) -> None:
    """A producer without acknowledgement sends its batch again."""
    tp = service.world.rng.choice(service.traffic.partitions)
    event = service.traffic.event(tp, service.world.now - service.world.rng.uniform(0, DISORDER_S))
    for _ in range(2):
        service.traffic.send(tp, event)
    strike.seen = True


def silence(service: Service, process: Process, strike: Strike) -> None:
    """A partition falls silent for longer than `idle_timeout`."""
    tp = service.world.rng.choice(service.traffic.partitions)
    service.traffic.silence(tp, service.world.now + service.world.rng.uniform(7, 15))
    strike.seen = True


def stall(service: Service, process: Process, strike: Strike) -> None:
    """All partitions fall silent at about the same time, for longer than the wall clock moves their watermarks."""
    rng = service.world.rng
    until = service.world.now + rng.uniform(12, 25)
    for tp in service.traffic.partitions:
        service.traffic.silence(tp, until + rng.uniform(0, 3))
    strike.seen = True


def reload(service: Service, process: Process, strike: Strike) -> None:
    """alerts.yaml has other thresholds, and all processes are told so."""
    service.variant = service.world.rng.choice([v for v in range(VARIANTS) if v != service.variant])
    service.reload()
    strike.seen = True


def column_added(service: Service, process: Process, strike: Strike) -> None:
    """A model gets a column more, or loses it: its lane of features starts again."""
    _reshape(service, strike, lambda shape: shape._replace(more=not shape.more))


def reference_replaced(service: Service, process: Process, strike: Strike) -> None:
    """A model is compared with other rows: its lanes start again."""
    _reshape(service, strike, lambda shape: shape._replace(first=110 if shape.first == 100 else 100))


def pane_changed(service: Service, process: Process, strike: Strike) -> None:
    """A model has panes of another length: its lanes start again."""
    _reshape(service, strike, lambda shape: shape._replace(pane="2s" if shape.pane == "4s" else "4s"))


def stream_removed(service: Service, process: Process, strike: Strike) -> None:
    """A model loses its stream of features or of labels, or gets it back; another one goes on reading the topic."""
    models = [model for model in service.shapes if model in "mrv" and service.may_leave(model, ("features",))]
    if models:
        _reshape(service, strike, lambda shape: shape._replace(features=not shape.features), models)
    elif labelled := [m for m in service.shapes if "labels" in STREAMS[m] and service.may_leave(m, ("labels",))]:
        _reshape(service, strike, lambda shape: shape._replace(labels=not shape.labels), labelled)


def model_removed(service: Service, process: Process, strike: Strike) -> None:
    """A model leaves alerts.yaml, or comes back as a new one; others go on reading its topics."""
    rng, layout = service.world.rng, service.layout.models
    gone = [model for model in layout if model not in service.shapes]
    if gone and rng.random() < 0.6:
        back = {**service.shapes, rng.choice(gone): Shape()}
        service.reshape({model: back[model] for model in layout if model in back})
    elif leaving := [model for model in service.shapes if service.may_leave(model)]:
        model = rng.choice(leaving)
        service.reshape({other: shape for other, shape in service.shapes.items() if other != model})
    else:
        return
    strike.seen = True


def _reshape(
    service: Service, strike: Strike, change: Callable[[Shape], Shape], models: Sequence[str] | None = None
) -> None:
    model = service.world.rng.choice(models if models is not None else sorted(service.shapes))
    service.reshape({**service.shapes, model: change(service.shapes[model])})
    strike.seen = True


def refused_reload(service: Service, process: Process, strike: Strike) -> None:
    """alerts.yaml reads other topics, which a running service can't take: every process goes on with what it has."""
    models = service.layout.models
    service.offer(configuration(models.replace("o", "") or "w" if "o" in models else models + "o", service.variant))
    refused = {other: other.refused for other in service.processes}

    def end() -> None:
        strike.seen = any(other.refused > before for other, before in refused.items())

    service.world.at(service.world.now + REQUEST_S, end)


def redelivery(service: Service, process: Process, strike: Strike) -> None:
    """The next poll delivers again what was delivered before."""

    def seen() -> None:
        strike.seen = True

    service.bus.weather.redelivers = seen


def bit_flip(service: Service, process: Process, strike: Strike) -> None:
    """A bit of a snapshot turns over where it lies; whoever is restored from it has to notice."""
    rng = service.world.rng
    starts = {p: found for p in range(TOPICS.partitions) if (found := service.snapshots(p))}
    if not starts:
        return
    partition = rng.choice(sorted(starts))
    name, start = rng.choice(sorted(starts[partition].items()))
    log = service.bus.log(TopicPartition(TOPICS.name("state"), partition))
    parts = [
        i for i, offset in enumerate(log.offsets) if offset >= start and log.values[i] and part_of(log.keys[i]) == name
    ]
    if parts:
        at = rng.choice(parts)
        value = bytearray(log.values[at] or b"")
        value[rng.randrange(len(value))] ^= 1 << rng.randrange(8)
        log.values[at] = bytes(value)
        service.bus.flipped[partition] = (name, log.offsets[at], strike)
        service.bus.damaged.add((partition, name))


def rebuild(service: Service, process: Process, strike: Strike) -> None:
    """Snapshots are damaged, evaluate is started again, and an operator asks for the models that stand still."""
    for _ in range(3):
        bit_flip(service, process, Strike("bit flip", strike.phase, process.name, service.world.now))

    def ask() -> None:
        strike.seen = strike.seen or any(service.stopped().values())
        service.rebuild()

    for delay_s in (2, 4, 8):
        service.world.at(service.world.now + delay_s, ask)
    service.restart("evaluate")
    if process.stage == "evaluate":
        raise Killed


def command(service: Service, process: Process, strike: Strike) -> None:
    """Somebody asks for a silence or for its end, once or twice."""
    service.command()
    strike.seen = True


def part_of(key: bytes | None) -> str:
    """The model whose part of a snapshot, or chunk of it, has that key."""
    return (key or b"").split(b"\0")[0].decode().partition("/")[2]


def more_partitions(service: Service, process: Process, strike: Strike) -> None:
    """An administrator adds a partition to an input and to its dead letters, and starts evaluate again."""
    if len(service.traffic.partitions) < MOST_PARTITIONS:
        topic = service.world.rng.choice(service.inputs)
        number = service.bus.partitions(topic) or 0
        service.bus.grow(f"sd.dlq.{topic}", number + 1)
        service.bus.grow(topic, number + 1)
        service.traffic.add(TopicPartition(topic, number))
        service.restart("evaluate")
        strike.seen = True
        if process.stage == "evaluate":
            raise Killed


def another_place(service: Service, process: Process, strike: Strike) -> None:
    """Links, source and cluster are others from now on, and evaluate is started again."""
    number = service.world.rng.randrange(1000)
    place = replace(service.place, source=f"/s{number}", links_url=f"http://{number}", cluster_id=f"c{number}")
    _start_again_at(service, process, place, strike)


def another_release(service: Service, process: Process, strike: Strike) -> None:
    """Evaluate is started again by another release: what it gives is not compared with what is there."""
    number = service.world.rng.randrange(1000)
    _start_again_at(service, process, replace(service.place, version=f"0.{number}"), strike)


def _start_again_at(service: Service, process: Process, place: Place, strike: Strike) -> None:
    service.place = place
    service.restart("evaluate")
    strike.seen = True
    if process.stage == "evaluate":
        raise Killed


FAULTS: Mapping[str, tuple[float, Fault]] = {
    "kill": (2, kill),
    "take-over": (0.5, take_over),
    "pause": (1.5, pause),
    "zombie": (0.5, zombie),
    "double": (0.5, double),
    "join": (0.8, join),
    "leave": (0.8, leave),
    "late markers": (1, late_markers),
    "disk full": (0.8, disk_full),
    "broker restart": (0.8, broker_restart),
    "torn, outputs kept": (0.8, torn_outputs),
    "torn, position kept": (0.8, torn_position),
    "hanging": (0.4, hanging),
    "poison": (0.2, poison),
    "late rows": (1.4, late_rows),
    "future rows": (1.4, future_rows),
    "broken rows": (1.4, broken_rows),
    "sent twice": (1.4, sent_twice),
    "silence": (1, silence),
    "stall": (0.5, stall),
    "reload": (1, reload),
    "column added": (0.4, column_added),
    "reference replaced": (0.4, reference_replaced),
    "pane changed": (0.4, pane_changed),
    "stream removed": (0.4, stream_removed),
    "model removed": (0.5, model_removed),
    "more partitions": (0.5, more_partitions),
    "another place": (0.4, another_place),
    "another release": (0.4, another_release),
    "refused reload": (0.5, refused_reload),
    "redelivery": (0.8, redelivery),
    "bit flip": (0.4, bit_flip),
    "rebuild": (0.5, rebuild),
    "command": (1.5, command),
}
"""Each with how often it is drawn, relative to the others."""
