"""An evaluation with graders through the `azure-ai-evaluation` package; a script for an environment of its own."""

import json
import sys
import tempfile
from pathlib import Path

from azure.ai.evaluation import (
    AzureOpenAIStringCheckGrader,
    AzureOpenAITextSimilarityGrader,
    evaluate,
)

ROWS = [("Paris", "Paris"), ("Rome", "rome"), ("4", "5")]


def do(model_config):
    """The metrics, and the verdicts of both graders row by row."""
    exact = AzureOpenAIStringCheckGrader(
        model_config=model_config,
        name="exact",
        input="{{item.response}}",
        reference="{{item.ground_truth}}",
        operation="eq",
    )
    similar = AzureOpenAITextSimilarityGrader(
        model_config=model_config,
        name="similar",
        input="{{item.response}}",
        reference="{{item.ground_truth}}",
        evaluation_metric="fuzzy_match",
        pass_threshold=0.8,
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        texts = [json.dumps({"response": answer, "ground_truth": truth}) for answer, truth in ROWS]
        rows.write_text("\n".join(texts))
        result = evaluate(data=rows, evaluators={"exact": exact, "similar": similar})
    verdicts = [[row[f"outputs.{name}.passed"] for name in ("exact", "similar")] for row in result["rows"]]
    return {"metrics": result["metrics"], "verdicts": verdicts}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(do(json.loads(sys.argv[1]))))
