"""What all three methods tell the trainer alike."""

from typing import Any

import torch

from regrade.core.training_job import Spec
from regrade.training.job import JobFolder
from regrade.training.plan import Plan

_WARM_UP_STEPS = 10
_WARM_UP_SHARE = 10


def common(spec: Spec, plan: Plan, folder: JobFolder) -> dict[str, Any]:
    """Arguments of SFTConfig, DPOConfig and GRPOConfig. Validation and checkpoints are the Reporter's."""
    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(folder.checkpoints),
        "num_train_epochs": spec.n_epochs,
        "per_device_train_batch_size": plan.rows_at_once,
        "gradient_accumulation_steps": plan.accumulation,
        "learning_rate": plan.learning_rate,
        "warmup_steps": min(_WARM_UP_STEPS, plan.total_steps // _WARM_UP_SHARE),
        "max_grad_norm": 1.0,
        "weight_decay": 0.0,
        "seed": spec.seed % 2**32,
        "bf16": cuda,
        "use_cpu": not cuda,
        "gradient_checkpointing": plan.gradient_checkpointing,
        "logging_steps": plan.log_every,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": ["wandb"] if spec.wandb else [],
        "run_name": spec.wandb.name if spec.wandb else None,
        "dataloader_pin_memory": cuda,
        "disable_tqdm": True,
    }
