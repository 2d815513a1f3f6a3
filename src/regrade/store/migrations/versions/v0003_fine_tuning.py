"""Fine-tuning jobs, what they tell, and what they made.

See store/tables.py for what each table is for.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of fine-tuning."""
