"""What applies to a model, restored: the same decisions, and the file that the rules came from."""

from __future__ import annotations

from dataclasses import replace

from monitor.evaluate.decisions import Decisions
from monitor.ledger.entries import Activation
from monitor.runner.announce import rules_decision
from tests.determinism import logs


def test_a_restore_names_the_files_of_its_snapshot() -> None:
    """Rules may have come again since, in another file and with the same digest: that file is not the snapshot's."""
    config = logs.plain_log(1).config.models[0]
    other = replace(config, rules=config.rules.model_copy(update={"interval_ms": 2 * config.rules.interval_ms}))
    first = rules_decision(replace(config, alerts_yaml_sha256="first"))
    waits = rules_decision(replace(other, alerts_yaml_sha256="second"))
    again = rules_decision(replace(config, alerts_yaml_sha256="third"))
    waits_again = rules_decision(replace(other, alerts_yaml_sha256="fourth"))
    assert first.digest == again.digest != waits.digest == waits_again.digest

    before, after = Decisions("m"), Decisions("m")
    before.take(Activation(first, None), has_panes=False)
    before.take(Activation(waits, 0), has_panes=True)
    assert before.files == ("first", "second")
    newest = {again.digest: again, waits.digest: waits_again}
    assert [d.digest for d in after.restore(0, before.used, before.newest, before.files, {}, {}, newest)] == [
        first.digest
    ]
    assert after.files == ("first", "second")
    assert after.alerts_yaml_sha256 == "first"
    after.begin_pane()
    assert after.alerts_yaml_sha256 == "second"
