"""`frontdesk migrate`."""

from __future__ import annotations

from frontdesk.cli.opening import ConfigOption, StoreOption, migrated
from frontdesk.cli.output import say


def migrate(*, store: StoreOption = None, config: ConfigOption = None) -> None:
    """Bring the store's tables up to date. SQLite does so by itself whenever it is opened."""
    steps = migrated(store=store, config=config)
    for step in steps:
        say(f"migrated {step}")
    if not steps:
        say("nothing is due")
