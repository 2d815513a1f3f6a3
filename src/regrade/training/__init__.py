"""Fine-tuning itself: `python -m regrade.training JOBDIR` trains the job of a directory."""
