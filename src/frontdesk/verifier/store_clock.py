"""The time of the store, which all nodes that follow its log agree on, whatever their own clocks show."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from frontdesk.clock import BOOT_TIMER, EPOCH, Clock, SystemClock, Timer

_SLACK: Final = 0.001
"""Seconds by which bounds may exclude each other: clocks do not run equally fast, and floats are rounded."""


class StoreClock:
    """The store's clock, carried on by the boot-time clock of this machine; before the first poll this machine's own.

    A poll that began at `began`, came back at `ended` and says `told` bounds how far the store's clock is ahead of
    the boot-time clock: not less than told - ended, not more than told - began. The largest lower bound is believed;
    it is off by the fastest reply. An answer that was held up on its way bounds nothing closer and changes nothing;
    bounds that exclude each other mean that the store's clock was set, and the newest is believed.
    """

    def __init__(self, own: Clock | None = None, boot: Timer = BOOT_TIMER) -> None:
        self._own = own or SystemClock()
        self._boot = boot
        self._at_least: float | None = None
        self._at_most = 0.0
        self._ahead: datetime | None = None

    def now(self) -> datetime:
        """The present moment by the store's clock."""
        if self._ahead is None:
            return self._own.now()
        return self._ahead + timedelta(0, self._boot())

    def learn(self, told: datetime, *, began: float, ended: float) -> None:
        """Take in what a poll said; `began` and `ended` by the boot-time clock, in seconds."""
        seconds = (told - EPOCH).total_seconds()
        at_least, at_most = seconds - ended, seconds - began
        known = self._at_least
        if known is not None and at_least <= self._at_most + _SLACK and at_most >= known - _SLACK:
            at_least, at_most = max(known, at_least), min(self._at_most, at_most)
        self._at_least, self._at_most = at_least, at_most
        if at_least != known:
            self._ahead = EPOCH + timedelta(seconds=at_least)

    @property
    def offset(self) -> timedelta | None:
        """How far the store's clock is ahead of this machine's; None before the first poll."""
        return None if self._ahead is None else self.now() - self._own.now()
