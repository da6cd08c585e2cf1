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
            "dicom_node.storage",
            "dicom_node.disk",
            "dicom_node.intake",
            "dicom_node.spool",
            "dicom_node.db.instances",
            "dicom_node.db.engine:make_engine,_sqlite",
            "dicom_node.db.unit_of_work",
        ),
        (
            f"{NODE}/test_durability.py",
            f"{NODE}/test_storage.py",
            f"{NODE}/test_intake.py",
            f"{NODE}/test_intake_group.py",
            f"{NODE}/test_spool.py",
            f"{NODE}/test_outbox.py",
            f"{NODE}/db/test_engine.py",
            f"{NODE}/db/test_batches.py",
            f"{NODE}/db/test_given_up.py",
            f"{NODE}/db/test_instances.py",
        ),
    ),
    Area(
        "retention",
        (
            "dicom_node.retention",
            "dicom_node.stored",
            "dicom_node.db.keeping",
            "dicom_node.db.conflicts",
            "dicom_node.db.proof:unnamed,still_names,instance_files,result_files,_parts",
        ),
        (
            f"{NODE}/test_retention.py",
            f"{NODE}/test_retention_faults.py",
            f"{NODE}/test_stored.py",
            f"{NODE}/test_upkeep.py",
            f"{NODE}/test_spool.py",
            f"{NODE}/test_reconcile.py",
            f"{NODE}/db/test_conflicts.py",
            f"{NODE}/db/test_proof.py",
        ),
    ),
    Area(
        "pixels",
        (
            "workers.decode",
            "workers.layout",
            "workers.load",
            "workers.frame",
            "workers.infer",
            "workers.tiling",
            "workers.codestream",
            "workers.encode.pixels",
        ),
        (
            f"{UNIT}/workers/test_decode.py",
            f"{UNIT}/workers/test_layout.py",
            f"{UNIT}/workers/test_load.py",
            f"{UNIT}/workers/test_padding.py",
            f"{UNIT}/workers/test_values.py",
            f"{UNIT}/workers/test_infer.py",
            f"{UNIT}/workers/test_tiling.py",
            f"{UNIT}/workers/test_codestream.py",
            f"{UNIT}/workers/encode/test_pixels.py",
            f"{UNIT}/workers/encode/test_encode.py",
        ),
    ),
    Area(
        "identity",
        (
            "dicom_node.domain.uids",
            "dicom_node.domain.route:Route,_strength_text",
            "dicom_node.eligibility:is_own_result,_is_ours,_equipment",
            "dicom_node.planning:plan_of",
            "workers.results",
            "workers.encode.provenance:set_identity,set_provenance,_equipment,_reference,"
            "instance_reference,code_item",
            "workers.templates",
        ),
        (
            f"{NODE}/domain",
            f"{NODE}/test_eligibility.py",
            f"{NODE}/test_planning.py",
            f"{UNIT}/workers/test_results.py",
            f"{UNIT}/workers/test_templates.py",
            f"{UNIT}/workers/encode",
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
            "dicom_node.domain.work",
            "dicom_node.db.work_items",
            "dicom_node.db.batches",
            "dicom_node.db.parcels",
            "dicom_node.db.recall",
        ),
        (
            f"{NODE}/db/test_batches.py",
            f"{NODE}/db/test_given_up.py",
            f"{NODE}/db/test_parcels.py",
            f"{NODE}/db/test_turns.py",
            f"{NODE}/db/test_recall.py",
            f"{NODE}/db/test_work_items.py",
            f"{NODE}/test_upkeep.py",
            f"{NODE}/test_retention.py",
            f"{NODE}/cli/test_ledger_commands.py",
            "tests/property/test_states.py",
        ),
    ),
    Area(
        "planning",
        (
            "dicom_node.planning",
            "dicom_node.deciding",
            "dicom_node.eligibility",
            "dicom_node.domain.condition",
            "dicom_node.domain.route",
            "dicom_node.db.unplanned",
        ),
        (
            f"{NODE}/test_planning.py",
            f"{NODE}/test_poison.py",
            f"{NODE}/test_eligibility.py",
            f"{NODE}/domain",
            "tests/property/test_conditions.py",
        ),
    ),
)
