"""The first schema. An orders table that is there already, from the program before this one, is kept and completed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("service_id", sa.Text(), nullable=False),
        sa.Column("service_name", sa.Text(), nullable=False),
        sa.Column("unit_price", sa.REAL(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("notice", sa.Text(), server_default="", nullable=False),
        sa.Column("resumes_itself", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("confirm_token", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.Text(), server_default="", nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.Column("started_at", sa.TIMESTAMP(), nullable=True),
        sa.Column("finished_at", sa.TIMESTAMP(), nullable=True),
        sa.CheckConstraint("state IN ('running', 'paused', 'finished')", name="state_is_known"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("confirm_token"),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_batches_fingerprint", "batches", ["fingerprint"], unique=False, if_not_exists=True)
    op.create_index("idx_batches_state", "batches", ["state"], unique=False, if_not_exists=True)
    _create_or_complete(
        "import_history",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("imported_at", sa.TIMESTAMP(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=True),
        sa.Column("rows_read", sa.Integer(), nullable=False),
        sa.Column("rows_new", sa.Integer(), nullable=False),
        sa.Column("rows_updated", sa.Integer(), nullable=False),
        sa.Column("rows_unchanged", sa.Integer(), nullable=False),
        sa.Column("rows_failed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "list_proofs",
        sa.Column("service_id", sa.Text(), nullable=False),
        sa.Column("longest", sa.Integer(), nullable=False),
        sa.Column("proven_at", sa.TIMESTAMP(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.PrimaryKeyConstraint("service_id"),
    )
    op.create_table(
        "services",
        sa.Column("service_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("price", sa.REAL(), nullable=False),
        sa.Column("previous_price", sa.REAL(), nullable=True),
        sa.Column("category", sa.Text(), server_default="", nullable=False),
        sa.Column("delivery", sa.Text(), server_default="", nullable=False),
        sa.Column("must_read", sa.Text(), server_default="", nullable=False),
        sa.Column("required_fields", sa.Text(), server_default="[]", nullable=False),
        sa.Column("listed", sa.Boolean(), server_default=sa.text("1"), nullable=False),
        sa.Column("refreshed_at", sa.REAL(), nullable=False),
        sa.PrimaryKeyConstraint("service_id"),
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "uploads",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("service_id", sa.Text(), nullable=False),
        sa.Column("choice", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_table(
        "chunks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(
            "state IN ('planned', 'sending', 'answered', 'in_doubt', 'cancelled')", name="state_is_known"
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["batches.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_chunks_batch", "chunks", ["batch_id", "state"], unique=False, if_not_exists=True)
    op.create_index(
        "idx_chunks_open",
        "chunks",
        ["state"],
        unique=False,
        sqlite_where=sa.text("state IN ('sending', 'in_doubt')"),
        if_not_exists=True,
    )
    _create_or_complete(
        "orders",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("service_name", sa.Text(), nullable=True),
        sa.Column("service_id", sa.Text(), nullable=True),
        sa.Column("imei", sa.Text(), nullable=False),
        sa.Column("imei2", sa.Text(), nullable=True),
        sa.Column("credits", sa.REAL(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("order_date", sa.TIMESTAMP(), nullable=True),
        sa.Column("carrier", sa.Text(), nullable=True),
        sa.Column("simlock", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("fmi", sa.Text(), nullable=True),
        sa.Column("result_code", sa.Text(), nullable=True),
        sa.Column("result_code_display", sa.Text(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("raw_response", sa.Text(), nullable=True),
        sa.Column("created_at", sa.TIMESTAMP(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=True),
        sa.Column("updated_at", sa.TIMESTAMP(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=True),
        sa.Column("blacklist", sa.Text(), nullable=True),
        sa.Column("serial", sa.Text(), nullable=True),
        sa.Column("warranty", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("attempt_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["batches.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("order_id"),
    )
    op.create_index("idx_imei", "orders", ["imei"], unique=False, if_not_exists=True)
    op.create_index(
        "idx_order_date", "orders", [sa.literal_column("order_date DESC")], unique=False, if_not_exists=True
    )
    op.create_index("idx_order_id", "orders", ["order_id"], unique=False, if_not_exists=True)
    op.create_index("idx_orders_batch", "orders", ["batch_id"], unique=False, if_not_exists=True)
    op.create_index("idx_status", "orders", ["status"], unique=False, if_not_exists=True)
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("chunk_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("imeis", sa.Integer(), nullable=False),
        sa.Column("ended_before", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sent_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("ended_at", sa.TIMESTAMP(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["chunk_id"],
            ["chunks.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_attempts_chunk", "attempts", ["chunk_id"], unique=False, if_not_exists=True)
    op.create_table(
        "items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("chunk_id", sa.Integer(), nullable=True),
        sa.Column("service_id", sa.Text(), nullable=False),
        sa.Column("imei", sa.Text(), nullable=False),
        sa.Column("source_row", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('waiting', 'ordered', 'duplicate', 'refused', 'in_doubt', 'cancelled')",
            name="outcome_is_known",
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["batches.id"],
        ),
        sa.ForeignKeyConstraint(
            ["chunk_id"],
            ["chunks.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("idx_items_batch", "items", ["batch_id", "outcome"], unique=False, if_not_exists=True)
    op.create_index("idx_items_chunk", "items", ["chunk_id"], unique=False, if_not_exists=True)
    op.create_index(
        "idx_items_one_in_flight",
        "items",
        ["service_id", "imei"],
        unique=True,
        sqlite_where=sa.text("outcome IN ('waiting', 'in_doubt')"),
        if_not_exists=True,
    )


def _create_or_complete(name, *parts):
    """Make the table, or add to an older one the columns that it lacks (SQLite adds only without such defaults)."""
    inspector = sa.inspect(op.get_bind())
    if name not in inspector.get_table_names():
        op.create_table(name, *parts, sqlite_autoincrement=name == "orders")
        return
    there = {column["name"] for column in inspector.get_columns(name)}
    for part in parts:
        if isinstance(part, sa.Column) and part.name not in there:
            op.add_column(name, sa.Column(part.name, part.type))
