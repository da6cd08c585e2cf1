"""What is mutated: areas of promises, the code that keeps each, and the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UNIT: Final = "tests/unit"
NODE: Final = "tests/unit/dicom_node"


@dataclass(frozen=True)
class Area:
    """One kind of promise.

    Attributes
    ----------
    name : str
        Of the score and of the command.
    code : tuple of str
        Modules; after a colon the functions and classes that belong to it, else the whole.
    tests : tuple of str
        Files or folders; those that execute a changed function are run, the fastest first.
    always : tuple of str
        Parts of names of tests that start processes: what those execute is not seen, so they are
        run for every mutant.
    """

    name: str
    code: tuple[str, ...]
    tests: tuple[str, ...]
    always: tuple[str, ...] = ()


AREAS: Final = (
    Area(
        "durability",
        (
            "dicom_node.spool.spool",
            "dicom_node.spool.disk",
            "dicom_node.spool.room",
            "dicom_node.intake.intake",
            "dicom_node.intake.marker",
            "dicom_node.ledger.instances",
            "dicom_node.ledger.engine:make_engine,_sqlite",
            "dicom_node.ledger.unit_of_work",
        ),
        (
            f"{NODE}/ledger/test_instances.py",
            f"{NODE}/ledger/test_instances_associations.py",
            "tests/integration/test_durability.py",
            f"{NODE}/spool/test_spool.py",
            f"{NODE}/spool/test_disk.py",
            f"{NODE}/spool/test_room.py",
            f"{NODE}/intake/test_intake.py",
            f"{NODE}/intake/test_intake_space.py",
            f"{NODE}/intake/test_intake_group.py",
            f"{NODE}/intake/test_intake_repair.py",
            f"{NODE}/intake/test_marker.py",
            f"{NODE}/bell/test_outbox.py",
            f"{NODE}/ledger/test_engine.py",
            f"{NODE}/ledger/test_batches.py",
            f"{NODE}/ledger/test_batches_given_up.py",
            f"{UNIT}/workers/test_pipeline_room.py",
        ),
    ),
    Area(
        "retention",
        (
            "dicom_node.upkeep.retention",
            "dicom_node.spool.stored",
            "dicom_node.ledger.keeping",
            "dicom_node.ledger.conflicts",
            "dicom_node.ledger.proof:unnamed,still_names,instance_files,result_files,_parts",
        ),
        (
            f"{NODE}/upkeep/test_retention.py",
            f"{NODE}/upkeep/test_retention_disk.py",
            f"{NODE}/upkeep/test_retention_faults.py",
            f"{NODE}/upkeep/test_upkeep_signs.py",
            f"{NODE}/spool/test_stored.py",
            f"{NODE}/upkeep/test_upkeep.py",
            f"{NODE}/intake/test_marker.py",
            f"{NODE}/audit/test_reconcile.py",
            f"{NODE}/ledger/test_conflicts.py",
            f"{NODE}/ledger/test_proof.py",
        ),
    ),
    Area(
        "pixels",
        (
            "dicom_node.dicom.decode",
            "dicom_node.dicom.layout",
            "workers.load",
            "workers.frame",
            "workers.infer",
            "workers.tiling",
            "dicom_node.dicom.codestream",
            "workers.encode.pixels",
        ),
        (
            f"{NODE}/dicom/test_decode.py",
            f"{NODE}/dicom/test_layout.py",
            f"{UNIT}/workers/test_load.py",
            f"{UNIT}/workers/test_load_syntaxes.py",
            f"{UNIT}/workers/test_load_padding.py",
            f"{UNIT}/workers/test_load_values.py",
            f"{UNIT}/workers/test_infer.py",
            f"{UNIT}/workers/test_tiling.py",
            f"{NODE}/dicom/test_codestream.py",
            f"{UNIT}/workers/encode/test_pixels.py",
            f"{UNIT}/workers/test_encode.py",
        ),
    ),
    Area(
        "identity",
        (
            "dicom_node.dicom.uids",
            "dicom_node.domain.route:Route,_strength_text",
            "dicom_node.routing.eligibility:is_own_result,_is_ours,_equipment",
            "dicom_node.routing.deciding:plan_of",
            "workers.results",
            "workers.encode.provenance:set_identity,set_provenance,_equipment,_reference,"
            "instance_reference,code_item",
            "workers.templates",
        ),
        (
            f"{NODE}/dicom/test_uids.py",
            f"{NODE}/domain",
            f"{NODE}/routing/test_eligibility.py",
            f"{NODE}/routing/test_eligibility_limits.py",
            f"{NODE}/routing/test_planning.py",
            f"{UNIT}/workers/test_results.py",
            f"{UNIT}/workers/test_templates.py",
            f"{UNIT}/workers/encode",
            f"{UNIT}/workers/test_encode.py",
            "tests/integration/test_own_results.py",
            "tests/property/test_uids.py",
        ),
    ),
    Area(
        "noise",
        ("dicom_node.noise",),
        (f"{NODE}/test_noise.py",),
    ),
    Area(
        "states",
        (
            "dicom_node.ledger.states",
            "dicom_node.ledger.work_items",
            "dicom_node.ledger.batches",
            "dicom_node.ledger.parcels",
            "dicom_node.ledger.leases",
            "dicom_node.ledger.recall",
        ),
        (
            f"{NODE}/ledger/test_batches.py",
            f"{NODE}/ledger/test_batches_given_up.py",
            f"{NODE}/ledger/test_batches_joining.py",
            f"{NODE}/ledger/test_batches_splitting.py",
            f"{NODE}/ledger/test_leases.py",
            f"{NODE}/ledger/test_parcels.py",
            f"{NODE}/ledger/test_parcels_destinations.py",
            f"{NODE}/ledger/test_turns.py",
            f"{NODE}/ledger/test_recall.py",
            f"{NODE}/ledger/test_work_items.py",
            f"{NODE}/upkeep/test_upkeep.py",
            f"{NODE}/upkeep/test_retention.py",
            f"{NODE}/cli/test_audit.py",
            f"{NODE}/cli/test_common.py",
            f"{NODE}/cli/test_config.py",
            f"{NODE}/cli/test_db.py",
            f"{NODE}/cli/test_destination.py",
            f"{NODE}/cli/test_route.py",
            f"{NODE}/cli/test_study.py",
            "tests/property/test_states.py",
        ),
    ),
    Area(
        "planning",
        (
            "dicom_node.routing.planning",
            "dicom_node.routing.deciding",
            "dicom_node.routing.eligibility",
            "dicom_node.domain.condition",
            "dicom_node.domain.route",
            "dicom_node.ledger.unplanned",
        ),
        (
            f"{NODE}/routing/test_planning.py",
            f"{NODE}/routing/test_planning_again.py",
            f"{NODE}/routing/test_planning_faults.py",
            f"{NODE}/upkeep/test_upkeep_signs.py",
            f"{NODE}/test_watchdog.py",
            f"{NODE}/routing/test_eligibility.py",
            f"{NODE}/routing/test_eligibility_limits.py",
            f"{NODE}/domain",
            f"{NODE}/ledger/test_unplanned.py",
            "tests/property/test_conditions.py",
        ),
    ),
    Area(
        "life",
        (
            "dicom_node.signs",
            "dicom_node.heartbeat",
            "dicom_node.ledger.processes",
            "workers.remake",
            "workers.returns",
            "workers.pipeline:Pipeline.run_next,Pipeline._wait_for_room",
        ),
        (
            f"{NODE}/test_signs.py",
            f"{NODE}/test_heartbeat.py",
            f"{NODE}/ledger/test_processes.py",
            f"{UNIT}/workers/test_remake.py",
            f"{UNIT}/workers/test_returns.py",
            f"{UNIT}/workers/test_pipeline_room.py",
        ),
        always=("_a_child_", "_has_the_number", "_systemd_"),
    ),
)
