"""The same server through the Azure client: its paths and its key header work unchanged.

Needs `pip install openai` and a running server:

    export AZURE_OPENAI_ENDPOINT=http://127.0.0.1:8000 AZURE_OPENAI_API_KEY=unused
    export OPENAI_API_VERSION=2025-04-01-preview
    python examples/azure.py
"""

from openai import AzureOpenAI

client = AzureOpenAI()

evaluation = client.evals.create(
    name="Through the Azure client",
    data_source_config={"type": "custom", "item_schema": {"type": "object"}},
    testing_criteria=[
        {
            "type": "string_check",
            "name": "same",
            "operation": "eq",
            "input": "{{item.answer}}",
            "reference": "{{item.expected}}",
        }
    ],
)
run = client.evals.runs.create(
    evaluation.id,
    data_source={
        "type": "jsonl",
        "source": {"type": "file_content", "content": [{"item": {"answer": "4", "expected": "4"}}]},
    },
)
print(run.status, run.report_url)
