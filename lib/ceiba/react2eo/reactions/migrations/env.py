"""How alembic applies the revisions: on the connection that :func:`ceiba.react2eo.reactions.reaction_store.migrate` gives it."""

from alembic import context

from ceiba.react2eo.reactions.reaction_store import tables

context.configure(connection=context.config.attributes["connection"], target_metadata=tables, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
