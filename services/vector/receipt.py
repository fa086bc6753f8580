"""What became of the rows of a source, over all of its chunks."""

from collections import Counter
from collections.abc import Sequence

from core.errors import InvalidInput
from core.models.results import Changes, ProcessVectorStage1Result, Receipt, Uploaded


def add_up(prepared: ProcessVectorStage1Result, uploads: Sequence[Uploaded]) -> Receipt:
    """The receipt of all uploads. Raises InvalidInput when rows are missing."""
    rejected: Counter[str] = Counter()
    for upload in uploads:
        rejected.update(upload.rejected)
    receipt = Receipt(
        read=sum(upload.rows_read for upload in uploads),
        loaded=sum(upload.rows_loaded for upload in uploads),
        rejected=dict(rejected),
        **{name: sum(getattr(upload, name) for upload in uploads) for name in Changes.model_fields},
    )
    if receipt.read != prepared.result.total_features:
        raise InvalidInput(
            "rows_do_not_add_up",
            f"the source has {prepared.result.total_features} rows, but the uploads read {receipt.read}.",
        )
    return receipt
