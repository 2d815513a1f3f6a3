"""Grade with code of your own: it runs confined on the server, once for each row.

Needs `pip install openai` and a running server; see quickstart.py.
"""

import time

from openai import OpenAI

SOURCE = """
import re

def number(text):
    found = re.findall(r"-?[0-9][0-9,]*(?:[.][0-9]+)?", text)
    return float(found[-1].replace(",", "")) if found else None

def grade(sample, item):
    answer = number(sample["output_text"])
    if answer is None:
        return 0.0
    distance = abs(answer - item["answer"])
    if distance:
        print("off by", round(distance))
    return max(0.0, 1.0 - distance / item["answer"])
"""
ROWS = [
    ("What are 12 times 12?", "12 times 12 makes 144", 144),
    ("How much is 40 % of 2,500?", "That would be 1,000.", 1000),
    ("How many minutes are in two hours?", "There are 60.", 120),
]

client = OpenAI()
eval_ = client.evals.create(
    name="Sums",
    data_source_config={
        "type": "custom",
        "item_schema": {"type": "object", "properties": {"answer": {"type": "number"}}, "required": ["answer"]},
        "include_sample_schema": True,
    },
    testing_criteria=[
        {
            "type": "python",
            "name": "near the number",
            "source": SOURCE,
            "pass_threshold": 0.9,
            "image_tag": "2025-05-08",
        }
    ],
)
content = [
    {"item": {"question": question, "answer": answer}, "sample": {"output_text": text}}
    for question, text, answer in ROWS
]
run = client.evals.runs.create(
    eval_.id, data_source={"type": "jsonl", "source": {"type": "file_content", "content": content}}
)
while run.status in ("queued", "in_progress"):
    time.sleep(0.2)
    run = client.evals.runs.retrieve(run.id, eval_id=eval_.id)
print(f"{run.status}: {run.result_counts.passed} of {run.result_counts.total} rows passed")
for item in client.evals.runs.output_items.list(run.id, eval_id=eval_.id):
    [result] = item.results
    print(
        f"{item.datasource_item['question']} {result.score:.2f} {(result.sample or {}).get('stdout', '').strip()}"
    )
print(run.report_url)
