"""Alembic environment: runs on the engine that `dicom_node.ledger.migrate` hands over."""

from alembic import context

from dicom_node.ledger.tables import Base

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True,
        compare_type=True,
    )  # fmt: skip
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
