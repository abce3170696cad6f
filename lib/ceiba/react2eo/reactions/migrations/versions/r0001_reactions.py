"""Votes, what of them is published, requests, keys, and the log of animations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME, CELL, WORD = sa.String(100), sa.String(15), sa.String(20)


def upgrade() -> None:
    op.create_table(
        "keys", sa.Column("term", WORD, primary_key=True), sa.Column("secret", sa.LargeBinary(32), nullable=False)
    )
    op.create_table(
        "votes",
        sa.Column("term", WORD, primary_key=True),
        sa.Column("device", sa.LargeBinary(32), primary_key=True),
        sa.Column("subject", sa.String(16), primary_key=True),
        sa.Column("region", NAME, nullable=False),
        sa.Column("layer", NAME, nullable=False),
        sa.Column("first", WORD, nullable=False),
        sa.Column("last", WORD, nullable=False),
        sa.Column("cell", CELL, nullable=False),
        sa.Column("near", CELL),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("reaction", sa.SmallInteger, nullable=False),
    )
    op.create_index("votes_by_cell", "votes", ["term", "region", "layer", "cell", "device"])
    op.create_table(
        "counted",
        sa.Column("term", WORD, primary_key=True),
        sa.Column("region", NAME, primary_key=True),
        sa.Column("layer", NAME, primary_key=True),
        sa.Column("cell", CELL, primary_key=True),
        sa.Column("device", sa.LargeBinary(32), primary_key=True),
        sa.Column("unit", CELL, nullable=False),
        sa.Column("cohort", sa.Integer, nullable=False),
        sa.Column("verdict", sa.SmallInteger, nullable=False),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.LargeBinary(32), primary_key=True),
        sa.Column("subject", sa.String(16), nullable=False),
        sa.Column("reaction", sa.SmallInteger, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
    )
    op.create_index("ix_requests_day", "requests", ["day"])
    op.create_table(
        "animation_log",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("region", NAME, nullable=False),
        sa.Column("layer", NAME, nullable=False),
        sa.Column("first", WORD, nullable=False),
        sa.Column("last", WORD, nullable=False),
        sa.Column("cell", CELL, nullable=False),
        sa.Column("near", CELL),
        sa.Column("reaction", sa.SmallInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
    )
    op.create_index("ix_animation_log_region", "animation_log", ["region"])
    op.create_table(
        "published",
        sa.Column("term", WORD, primary_key=True),
        sa.Column("region", NAME, primary_key=True),
        sa.Column("layer", NAME, primary_key=True),
        sa.Column("cell", CELL, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("likes", sa.Integer, nullable=False),
        sa.Column("dislikes", sa.Integer, nullable=False),
        sa.Column("devices", sa.Integer, nullable=False),
    )
    op.create_table(
        "publications",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("rolled_up", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    for name in ("publications", "published", "animation_log", "requests", "counted", "votes", "keys"):
        op.drop_table(name)
