"""The command ``model-store``: train, export, evaluate, sign and pack model versions."""

from __future__ import annotations

import typer

from model_store.cli import making, training, versions
from model_store.cli.adoption import add_adoption
from model_store.cli.arms import add_arms
from model_store.cli.evaluation import add_evaluation
from model_store.cli.pairs import add_pairs
from model_store.cli.physics import add_physics
from model_store.cli.report import add_report
from model_store.cli.trust import add_trust
from model_store.store import packaged_zoo

_ZOO = packaged_zoo()

app = typer.Typer(no_args_is_help=True, help=__doc__)
app.command()(making.make)
app.command()(training.train)
app.command()(versions.export)
app.command()(versions.golden)
app.command()(versions.pack)
add_adoption(app, _ZOO)
add_pairs(app)
add_evaluation(app, _ZOO)
add_physics(app, _ZOO)
add_arms(app, _ZOO)
add_report(app, _ZOO)
add_trust(app, _ZOO)
