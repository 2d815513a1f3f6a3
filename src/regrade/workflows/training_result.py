"""The result file of a fine-tuning job."""

from collections.abc import Sequence

from regrade.core.entities import File, FineTuningJob
from regrade.core.fine_tuning import result_csv
from regrade.core.ids import result_blob
from regrade.ports.blobs import Blobs
from regrade.ports.system import Ids
from regrade.types.json import JsonObject


def result_file(job: FineTuningJob, metrics: Sequence[JsonObject], blobs: Blobs, ids: Ids, *, now: int) -> File:
    """Keep every step's numbers as a CSV; the file that it is to be."""
    content = result_csv(job.method["type"], metrics)
    blob = result_blob(job.id)
    writer = blobs.writer(blob)
    try:
        writer.write(content)
        writer.commit()
    finally:
        writer.abort()
    return File(
        id=ids.new("file"),
        project=job.project,
        filename="step_metrics.csv",
        purpose="fine-tune-results",
        bytes=len(content),
        created_at=now,
        expires_at=None,
        blob=blob,
    )
