"""A job as a run of Weights & Biases, the same run after every restart; the key is in the environment."""

from regrade.core.training_job import Wandb
from regrade.training.failures import TrainingError
from regrade.training.job import JobFolder


def begin(wandb: Wandb, folder: JobFolder) -> None:
    """Open the run, which the trainer's own integration then writes to. Raises TrainingError where that fails."""
    try:
        import wandb as client
    except ModuleNotFoundError as error:
        raise TrainingError(
            "server_error",
            "The job reports to Weights & Biases, which is not installed: pip install 'regrade[wandb]'.",
        ) from error
    try:
        client.init(
            project=wandb.project,
            entity=wandb.entity,
            name=wandb.name,
            id=wandb.run_id,
            tags=list(wandb.tags),
            dir=str(folder.path),
            resume="allow",
        )
    except client.Error as error:
        raise TrainingError("server_error", f"Weights & Biases refused the job's run: {error}") from error
