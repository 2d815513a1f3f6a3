"""All tables. Facts that lists sort and filter by are apart from the large bodies that are only served."""

import sqlalchemy as sa

from regrade.store.columns import BigKey, few, metadata
from regrade.store.text import Text
from regrade.store.webhook_tables import webhook_deliveries, webhook_endpoints

__all__ = ["metadata", "webhook_deliveries", "webhook_endpoints"]  # beside those that are described here

evals = sa.Table(
    "evals",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("project", Text, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    # JSON texts.
    sa.Column("data_source_config", sa.LargeBinary, nullable=False),
    sa.Column("testing_criteria", sa.LargeBinary, nullable=False),
    sa.Column("metadata", sa.LargeBinary, nullable=False),
    sa.Column("extra", sa.LargeBinary),
    sa.Index("evals_by_creation", "project", "id"),
    sa.Index("evals_by_update", "project", "updated_at", "id"),
    sqlite_with_rowid=False,
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", Text, nullable=False, unique=True),
    sa.Column("eval_id", Text, nullable=False),
    sa.Column("project", Text, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("status", Text, nullable=False),
    sa.Column("model", Text),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("finished_at", sa.BigInteger),
    sa.Column("deleted_at", sa.BigInteger),
    sa.Column("swept_at", sa.BigInteger),
    sa.Column("source_blob", Text),
    sa.Column("inline", sa.Boolean, nullable=False),
    sa.Column("has_secrets", sa.Boolean, nullable=False),
    sa.Column("row_count", sa.BigInteger),
    # JSON texts.
    sa.Column("data_source", sa.LargeBinary, nullable=False),
    sa.Column("metadata", sa.LargeBinary, nullable=False),
    sa.Column("extra", sa.LargeBinary),
    sa.Column("error", sa.LargeBinary),
    # Sums over the chunks, written once when the run ends; until then the chunks tell.
    sa.Column("passed", sa.BigInteger),
    sa.Column("failed", sa.BigInteger),
    sa.Column("errored", sa.BigInteger),
    sa.Column("tally", sa.LargeBinary),
    sa.Index("runs_of_eval", "eval_id", "id"),
    sa.Index("runs_by_status", "status", "id"),
    few("runs_to_sweep", "number", "deleted_at IS NOT NULL AND swept_at IS NULL"),
    few("runs_with_secrets", "number", "has_secrets IS true", "has_secrets IS 1"),
    sqlite_autoincrement=True,  # a number is never given again: it is part of the items' keys
)

chunks = sa.Table(
    "chunks",
    metadata,
    sa.Column("run_number", sa.Integer, primary_key=True),
    sa.Column("k", sa.Integer, primary_key=True),
    sa.Column("first_row", sa.BigInteger, nullable=False),
    sa.Column("row_count", sa.BigInteger, nullable=False),
    sa.Column("first_line", sa.BigInteger, nullable=False),
    sa.Column("start", sa.BigInteger, nullable=False),
    sa.Column("stop", sa.BigInteger, nullable=False),
    # Grows with every claim; a write that names an older one is refused, which is what fences the former owner.
    sa.Column("epoch", sa.Integer, nullable=False),
    # Who works on it; null where nobody does. One who has ended since works on nothing.
    sa.Column("worker", Text),
    # Workers that died while they worked on it.
    sa.Column("deaths", sa.Integer, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),
    sa.Column("passed", sa.BigInteger, nullable=False),
    sa.Column("failed", sa.BigInteger, nullable=False),
    sa.Column("errored", sa.BigInteger, nullable=False),
    sa.Column("tally", sa.LargeBinary, nullable=False),
    # JSON text: endpoints that are down while calls wait for them; null where none are.
    sa.Column("waiting", sa.LargeBinary),
    few("chunks_undone", "run_number", "done IS false", "done IS 0"),
    sqlite_with_rowid=False,
)

# Processes that grade. Every start is a row of its own; times are milliseconds of the database's clock.
workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("host", Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    # The server that started it, and as which of its workers; null where it was started by hand.
    sa.Column("server", Text),
    sa.Column("slot", sa.Integer),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("heartbeat_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    # Whether it ended without a word.
    sa.Column("lost", sa.Boolean, nullable=False),
    # The mark of the folder in which it trains; null where it does not.
    sa.Column("trains", Text),
    sa.Index("workers_by_end", "ended_at", "id"),
)

# Keyed by core/ids.item_key(run number, row index): a run's items lie together, in row order.
output_items = sa.Table(
    "output_items",
    metadata,
    sa.Column("key", BigKey, primary_key=True, autoincrement=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("scores", sa.LargeBinary, nullable=False),
    sa.Index("output_items_by_status", "status", "key"),
)

output_item_bodies = sa.Table(
    "output_item_bodies",
    metadata,
    sa.Column("key", BigKey, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("project", Text, nullable=False),
    sa.Column("filename", Text, nullable=False),
    sa.Column("purpose", Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("deleted_at", sa.BigInteger),
    sa.Column("status", Text, nullable=False),
    sa.Column("status_details", Text),
    # Null once the bytes are gone.
    sa.Column("blob", Text),
    sa.Index("files_by_creation", "project", "id"),
    sa.Index("files_by_blob", "blob"),
    few("files_to_sweep", "deleted_at", "blob IS NOT NULL AND deleted_at IS NOT NULL"),
    few("files_to_expire", "expires_at", "blob IS NOT NULL AND expires_at IS NOT NULL"),
    sqlite_with_rowid=False,
)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("project", Text, nullable=False),
    sa.Column("filename", Text, nullable=False),
    sa.Column("purpose", Text, nullable=False),
    sa.Column("mime_type", Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("status", Text, nullable=False),
    sa.Column("file_expires_after", sa.BigInteger),
    sa.Column("file_id", Text),
    sa.Index("uploads_by_status", "status", "expires_at"),
    sqlite_with_rowid=False,
)

upload_parts = sa.Table(
    "upload_parts",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("upload_id", Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("blob", Text, nullable=False),
    sa.Index("upload_parts_of_upload", "upload_id", "id"),
    sa.Index("upload_parts_by_blob", "blob"),
    sqlite_with_rowid=False,
)

# One row: what lies with the blobs too, so that a process knows that it sees the right ones. See store/marker.py.
blob_marker = sa.Table(
    "blob_marker",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("text", Text, nullable=False),
    sa.Column("written", sa.Boolean, nullable=False),
)

stored_objects = sa.Table(
    "stored_objects",
    metadata,
    sa.Column("number", BigKey, primary_key=True, autoincrement=True),
    sa.Column("id", Text, nullable=False),
    sa.Column("project", Text, nullable=False),
    sa.Column("kind", Text, nullable=False),
    sa.Column("model_asked", Text, nullable=False),
    sa.Column("model_answered", Text, nullable=False),
    sa.Column("status", Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    # A deleted object's row stays, without its bodies, so that cursors which name it still page.
    sa.Column("deleted_at", sa.BigInteger),
    sa.Column("upstream_id", Text),
    sa.Column("metadata", sa.LargeBinary, nullable=False),
    # Imported objects bring their ids, which two projects may share.
    sa.Index("stored_objects_by_id", "project", "id", unique=True),
    sa.Index("stored_objects_by_creation", "project", "kind", "created_at", "id"),
    sa.Index("stored_objects_by_expiry", "expires_at"),
)

# The pairs of the column `metadata` once more, for filters.
stored_object_metadata = sa.Table(
    "stored_object_metadata",
    metadata,
    sa.Column("object_number", BigKey, primary_key=True, autoincrement=False),
    sa.Column("key", Text, primary_key=True),
    sa.Column("value", Text, nullable=False),
    sa.Index("stored_object_metadata_by_pair", "key", "value", "object_number"),
    sqlite_with_rowid=False,
)

stored_object_bodies = sa.Table(
    "stored_object_bodies",
    metadata,
    sa.Column("object_number", BigKey, primary_key=True, autoincrement=False),
    sa.Column("request", sa.LargeBinary, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
)

fine_tuning_jobs = sa.Table(
    "fine_tuning_jobs",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", Text, nullable=False, unique=True),
    sa.Column("project", Text, nullable=False),
    sa.Column("status", Text, nullable=False),
    sa.Column("model", Text, nullable=False),
    sa.Column("base", Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("finished_at", sa.BigInteger),
    sa.Column("training_file", Text, nullable=False),
    sa.Column("validation_file", Text),
    sa.Column("training_blob", Text, nullable=False),
    sa.Column("validation_blob", Text),
    sa.Column("suffix", Text),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("azure", sa.Boolean, nullable=False),
    sa.Column("fine_tuned_model", Text),
    sa.Column("trained_tokens", sa.BigInteger),
    sa.Column("estimated_finish", sa.BigInteger),
    sa.Column("result_file", Text),
    sa.Column("eval_id", Text),
    sa.Column("pausing", sa.Boolean, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    # Grows with every claim and every end; a write that names an older one is refused.
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("token_hash", Text),
    # JSON texts; of trainer null where no process is left.
    sa.Column("method", sa.LargeBinary, nullable=False),
    sa.Column("integrations", sa.LargeBinary, nullable=False),
    sa.Column("metadata", sa.LargeBinary),
    sa.Column("extra", sa.LargeBinary),
    sa.Column("error", sa.LargeBinary),
    sa.Column("trainer", sa.LargeBinary),
    sa.Column("progress", sa.LargeBinary, nullable=False),
    sa.Index("fine_tuning_jobs_by_creation", "project", "id"),
    sa.Index("fine_tuning_jobs_by_status", "status", "id"),
    sqlite_autoincrement=True,
)

# The pairs of the column `metadata` once more, for filters.
fine_tuning_job_metadata = sa.Table(
    "fine_tuning_job_metadata",
    metadata,
    sa.Column("job_number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", Text, primary_key=True),
    sa.Column("value", Text, nullable=False),
    sa.Index("fine_tuning_job_metadata_by_pair", "key", "value", "job_number"),
    sqlite_with_rowid=False,
)

fine_tuning_events = sa.Table(
    "fine_tuning_events",
    metadata,
    sa.Column("number", BigKey, primary_key=True, autoincrement=True),
    sa.Column("job_number", sa.Integer, nullable=False),
    sa.Column("id", Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("level", Text, nullable=False),
    sa.Column("type", Text, nullable=False),
    sa.Column("message", Text, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    # Names what may be told again, such as a step's metrics; null for what is told once.
    sa.Column("key", Text),
    sa.Index("fine_tuning_events_of_job", "job_number", "number"),
    sa.Index("fine_tuning_events_by_key", "job_number", "key", unique=True),
)

fine_tuning_checkpoints = sa.Table(
    "fine_tuning_checkpoints",
    metadata,
    sa.Column("job_number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", Text, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("metrics", sa.LargeBinary, nullable=False),
    # A checkpoint that is no longer kept, or was deleted, stays for cursors that name it.
    sa.Column("deleted_at", sa.BigInteger),
    sqlite_with_rowid=False,
)

fine_tuned_models = sa.Table(
    "fine_tuned_models",
    metadata,
    sa.Column("name", Text, primary_key=True),
    sa.Column("project", Text, nullable=False),
    sa.Column("job_id", Text, nullable=False),
    sa.Column("step", sa.Integer),
    sa.Column("base", Text, nullable=False),
    sa.Column("folder", Text, nullable=False),
    sa.Column("adapter_of", Text),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    # Set once the folder is gone, too.
    sa.Column("swept_at", sa.BigInteger),
    sqlite_with_rowid=False,
)

checkpoint_permissions = sa.Table(
    "checkpoint_permissions",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("model", Text, nullable=False),
    sa.Column("project_id", Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    sa.Index("checkpoint_permissions_of_model", "model", "project_id"),
    sqlite_with_rowid=False,
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("project", Text, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("hint", Text, nullable=False),
    sa.Column("admin", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("key_id", Text, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)

creations = sa.Table(
    "creations",
    metadata,
    sa.Column("fingerprint", Text, primary_key=True),
    sa.Column("object_id", Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Index("creations_by_age", "created_at"),
    sqlite_with_rowid=False,
)

limit_claims = sa.Table(
    "limit_claims",
    metadata,
    sa.Column("process", Text, primary_key=True),
    # By the database's clock, Unix seconds.
    sa.Column("ends_at", sa.Double, nullable=False),
    # A JSON text: what the process uses of each model, and would use.
    sa.Column("claims", sa.LargeBinary, nullable=False),
)

# What processes have counted of themselves since they began, as core.metrics.Figures; the process '' stands for all
# that are gone.
process_figures = sa.Table(
    "process_figures",
    metadata,
    sa.Column("process", Text, primary_key=True),
    # Milliseconds of the database's clock.
    sa.Column("written_at", sa.BigInteger, nullable=False),
    sa.Column("figures", sa.LargeBinary, nullable=False),
)
