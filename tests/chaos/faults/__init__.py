"""Every fault of the trial, in the order in which they are done."""

from __future__ import annotations

from tests.chaos.fault import Fault
from tests.chaos.faults.backlog import Backlog
from tests.chaos.faults.bits import TurnedBits
from tests.chaos.faults.broker import (
    FolderRemoved,
    FolderRubbish,
    RedisFlushed,
    RedisFull,
    RedisKilled,
    RedisRubbish,
    RedisStopped,
)
from tests.chaos.faults.clock import ClockJumps
from tests.chaos.faults.disk import FullDisk, SpoolAway
from tests.chaos.faults.ledger import (
    LedgerRemoved,
    LockedSqlite,
    LockedTables,
    Migrated,
    ServerKilled,
    ServerRestarted,
    ServerStopped,
    StopInTransaction,
)
from tests.chaos.faults.models import ModelAway, WorkerWithoutModel
from tests.chaos.faults.network import SilentAssociations
from tests.chaos.faults.objects import Poison, SameInstant
from tests.chaos.faults.pacs import AnswersLost, PacsAborts, PacsDown, PacsSilent, Refuses
from tests.chaos.faults.processes import Kill, KillEverything, LeftStopped, Stop, StopOne


def every_fault() -> list[Fault]:
    """All faults. What a person tries again comes before what must stay failed."""
    return [
        Kill("intake", quick=True),
        Kill("upkeep"),
        Kill("infer", quick=True),
        Kill("deliver"),
        KillEverything(),
        Stop("intake"),
        Stop("upkeep"),
        Stop("infer"),
        Stop("deliver"),
        LeftStopped("intake"),
        LeftStopped("infer"),
        StopOne("infer"),
        StopOne("deliver"),
        StopInTransaction(),
        LockedSqlite(),
        LedgerRemoved(),
        LockedTables(),
        ServerKilled(),
        ServerStopped(),
        ServerRestarted(),
        Migrated(),
        FolderRemoved(),
        FolderRubbish(),
        RedisKilled(),
        RedisStopped(),
        RedisFlushed(),
        RedisFull(),
        RedisRubbish(),
        FullDisk(),
        SpoolAway(),
        PacsDown(),
        PacsSilent(),
        PacsAborts(),
        Refuses(0xA700, final=False),
        Refuses(0x0110, final=False),
        Refuses(0xC000, final=True),
        AnswersLost(),
        SameInstant(same_bytes=True),
        SameInstant(same_bytes=False, quick=True),
        TurnedBits("instance", pixels=False, quick=True),
        TurnedBits("instance", pixels=True),
        TurnedBits("result", pixels=False),
        TurnedBits("result", pixels=True, quick=True),
        Poison(decoder=False),
        Poison(decoder=True),
        ClockJumps(-2),
        ClockJumps(2),
        ModelAway(),
        WorkerWithoutModel(),
        SilentAssociations(),
        Backlog(),
    ]
