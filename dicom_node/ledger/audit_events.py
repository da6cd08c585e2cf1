"""Vocabulary of audit events, ``subject:source:action``; the table is append-only."""

from __future__ import annotations

from enum import StrEnum


class AuditEvent(StrEnum):
    """Everything that the ledger records as having happened."""

    ASSOCIATION_OPENED = "association:scp:opened"
    ASSOCIATION_CLOSED = "association:scp:closed"
    INSTANCE_STORED = "instance:intake:stored"
    INSTANCE_RESENT = "instance:intake:resent"
    INSTANCE_CONFLICT = "instance:intake:conflict"
    INSTANCE_EXPIRED = "instance:upkeep:expired"
    INSTANCE_DISCARDED = "instance:person:discarded"
    WORK_PLANNED = "work:planning:planned"
    WORK_PASSED = "work:planning:passed"
    WORK_UNPLANNABLE = "work:planning:failed"
    WORK_START = "work:worker:start"
    WORK_RELEASE = "work:worker:release"
    WORK_PASS = "work:worker:pass"  # noqa: S105 -- an event, not a secret
    WORK_FAIL = "work:worker:fail"
    WORK_FINISH = "work:worker:finish"
    WORK_DELIVER = "work:delivery:deliver"
    WORK_UNDELIVERABLE = "work:delivery:fail"
    WORK_RETRY = "work:person:retry"
    WORK_REDELIVER = "work:person:redeliver"
    WORK_DISMISS = "work:person:dismiss"
    DELIVERY_ANSWERED = "delivery:destination:answered"
    DELIVERY_GIVEN_UP = "delivery:node:given-up"
    DELIVERY_POSTPONED = "delivery:destination:postponed"
    CLOCK_JUMPED = "clock:node:jumped"
    BATCH_TAKEN_BACK = "batch:upkeep:taken-back"
    PARCEL_TAKEN_BACK = "parcel:upkeep:taken-back"
    MODEL_ADDED = "model:person:added"
    MODEL_CHANGED = "model:package:changed"
    MODEL_RETIRED = "model:person:retired"
    MODEL_DELETED = "model:person:deleted"
    MODEL_RELEASED = "model:person:released"
    MODEL_CERTIFIED = "model:person:certified"
    ALIAS_MOVED = "alias:person:moved"
    ALIAS_FORCED = "alias:person:forced"
    ALIAS_REFUSED = "alias:gate:refused"
    ALIAS_RESTORED = "alias:person:restored"
    RESULT_REPLAYED = "result:person:replayed"
    RESULT_REMADE = "result:person:remade"
