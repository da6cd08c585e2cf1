"""Python imports this first where the folder is in PYTHONPATH: plants a mutant, if one is named."""

from tests.mutants.planting import from_environment, plant_on_import

if (mutant := from_environment()) is not None:
    plant_on_import(mutant)
