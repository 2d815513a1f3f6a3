"""Upload recorded answers, grade them, and read the result, with the official SDK.

Needs `pip install openai` and a running server:

    regrade serve
    export OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=unused
    python examples/quickstart.py
"""

import time
from pathlib import Path

from openai import OpenAI

client = OpenAI()

rows = client.files.create(file=Path(__file__).with_name("capitals.jsonl"), purpose="evals")
evaluation = client.evals.create(
    name="Capitals, by the SDK",
    data_source_config={
        "type": "custom",
        "item_schema": {"type": "object", "properties": {"capital": {"type": "string"}}, "required": ["capital"]},
        "include_sample_schema": True,
    },
    testing_criteria=[
        {
            "type": "string_check",
            "name": "exact",
            "operation": "eq",
            "input": "{{sample.output_text}}",
            "reference": "{{item.capital}}",
        },
        {
            "type": "text_similarity",
            "name": "similar",
            "evaluation_metric": "fuzzy_match",
            "input": "{{sample.output_text}}",
            "reference": "{{item.capital}}",
            "pass_threshold": 0.8,
        },
    ],
)
run = client.evals.runs.create(
    evaluation.id, name="tiny", data_source={"type": "jsonl", "source": {"type": "file_id", "id": rows.id}}
)
while run.status in ("queued", "in_progress"):
    time.sleep(0.2)
    run = client.evals.runs.retrieve(run.id, eval_id=evaluation.id)

print(f"{run.status}: {run.result_counts.passed} of {run.result_counts.total} rows passed")
for criterion in run.per_testing_criteria_results:
    print(f"  {criterion.testing_criteria}: {criterion.passed} passed, {criterion.failed} failed")
for item in client.evals.runs.output_items.list(run.id, eval_id=evaluation.id, status="fail"):
    scores = ", ".join(f"{result.score:.2f}" for result in item.results)
    print(f"  failed: {item.datasource_item['country']}, scores {scores}")
print(run.report_url)
