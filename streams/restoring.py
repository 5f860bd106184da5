"""Faust's table recovery, replaced: before streams resume, every owned partition restores its own state.

Faust's part (pause, wait, resume, rebalance again) is kept; what it would do per changelog event is not used.
"""

from typing import Any

from faust.tables.manager import TableManager as FaustTableManager
from faust.tables.recovery import Recovery as FaustRecovery


class Recovery(FaustRecovery):
    """Restores the stamped partitions, then resumes as Faust does."""

    async def _resume_streams(self, generation_id: int = 0) -> None:
        if self.app.consumer_generation_id == generation_id:
            await self._wait(
                self.app.partitions.restore(self.app.consumer.assignment(), generation_id)
            )
        await super()._resume_streams(generation_id=generation_id)


class TableManager(FaustTableManager):
    """Faust's table manager with our recovery."""

    _recovery: Any

    async def on_start(self) -> None:
        """As Faust does, but without the second that it waits for tables to be declared: there are none."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()

    @property
    def recovery(self) -> Any:
        """The recovery service, made at its first use."""
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
