"""The main job through any client of the `openai` package, old or new; also a script for other environments.

It imports nothing of this project and nothing of its environment but `openai`.
"""

import json
import sys
import time

import openai

ROWS = [("Paris", "Paris"), ("Rome", "rome"), ("4", "5"), ("Zoë", "Zoë"), (None, "x")]
EXPECTED = {
    "file": ["rows.jsonl", "evals", "processed"],
    "content": True,
    "criteria": ["exact", "similar"],
    "status": "completed",
    "counts": {"total": 5, "passed": 2, "failed": 2, "errored": 1},
    "results": [["exact", 2, 2], ["similar", 3, 1]],
    "items": [[0, "pass"], [1, "fail"], [2, "fail"], [3, "pass"], [4, "error"]],
    "recorded": "Paris",
    "named": True,
    "filtered": [1, 2],
    "renamed": ["better", {"k": "v"}],
    "listed": True,
    "canceled": "canceled",
    "reward": 1.0,
    "validated": "string_check",
    "uploaded": 12,
    "errors": {
        "unknown eval": ["NotFoundError", 404, "eval_id"],
        "unknown file": ["NotFoundError", 404, "id"],
        "unknown model": ["NotFoundError", 404, "model"],
        "no criteria": ["BadRequestError", 400, "testing_criteria"],
        "unknown data": ["BadRequestError", 400, "data_source.source.id"],
        "ended run": ["BadRequestError", 400, None],
        "bad grader": ["BadRequestError", 400, "grader.operation"],
    },
    "deleted": ["eval.run.deleted", "eval.deleted", "file"],
}
EXACT = {
    "type": "string_check",
    "name": "exact",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference}}",
}
SIMILAR = {
    "type": "text_similarity",
    "name": "similar",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference}}",
    "evaluation_metric": "fuzzy_match",
    "pass_threshold": 0.9,
}


def do(client):
    """Do the whole job; what happened has the form of EXPECTED."""
    seen = {"errors": {}}
    content = b"".join(json.dumps(_row(*row)).encode() + b"\n" for row in ROWS)
    file = client.files.create(file=("rows.jsonl", content), purpose="evals")
    file = client.files.wait_for_processing(file.id, poll_interval=0.05)
    seen["file"] = [file.filename, file.purpose, file.status]
    seen["content"] = client.files.content(file.id).read() == content
    eval_ = _eval(client, seen)
    run = client.evals.runs.create(
        eval_.id, name="job", data_source={"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
    )
    _read(client, eval_, _ended(client, run), seen)
    _cancel(client, eval_, seen)
    _graders(client, seen)
    upload = client.uploads.upload_file_chunked(
        file=b'{"item": {}}', filename="parts.jsonl", bytes=12, mime_type="application/jsonl", purpose="evals"
    )
    seen["uploaded"] = upload.file.bytes
    _errors(client, eval_, run, seen)
    seen["deleted"] = [
        client.evals.runs.delete(run.id, eval_id=eval_.id).object,
        client.evals.delete(eval_.id).object,
        client.files.delete(file.id).object,
    ]
    return seen


def _row(answer, reference):
    """A row with a recorded chat completion; one without a reference to check."""
    if answer is None:
        return {"item": {"note": "no reference"}}
    message = {"role": "assistant", "content": answer}
    sample = {"model": "recorded", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return {"item": {"reference": reference}, "sample": sample}


def _eval(client, seen):
    schema = {"type": "object", "properties": {"reference": {"type": "string"}}, "required": ["reference"]}
    config = {"type": "custom", "item_schema": schema, "include_sample_schema": True}
    eval_ = client.evals.create(data_source_config=config, testing_criteria=[EXACT, SIMILAR])
    seen["criteria"] = [criterion.name for criterion in eval_.testing_criteria]
    renamed = client.evals.update(eval_.id, name="better", metadata={"k": "v"})
    seen["renamed"] = [renamed.name, renamed.metadata]
    seen["listed"] = eval_.id in [each.id for each in client.evals.list(order="desc", limit=1)]
    return eval_


def _ended(client, run):
    while run.status not in ("completed", "failed"):
        time.sleep(0.05)
        run = client.evals.runs.retrieve(run.id, eval_id=run.eval_id)
    return run


def _read(client, eval_, run, seen):
    seen["status"] = run.status
    seen["counts"] = run.result_counts.to_dict()
    names = {criterion.id: criterion.name for criterion in eval_.testing_criteria}
    seen["results"] = [
        [names[each.testing_criteria], each.passed, each.failed] for each in run.per_testing_criteria_results
    ]
    items = list(client.evals.runs.output_items.list(run.id, eval_id=eval_.id, limit=2))
    seen["items"] = [[item.datasource_item_id, item.status] for item in items]
    first = client.evals.runs.output_items.retrieve(items[0].id, eval_id=eval_.id, run_id=run.id)
    seen["recorded"] = first.sample.output[0].content
    seen["named"] = [result.name for result in first.results] == list(names)
    failed = client.evals.runs.output_items.list(run.id, eval_id=eval_.id, status="fail")
    seen["filtered"] = [item.datasource_item_id for item in failed]


def _cancel(client, eval_, seen):
    # Fuzzy matches of texts so unlike in length take over 10 ms each: the run cannot end before it is canceled.
    long, short = (letters(count, factor) for count, factor in ((1_900, 7), (600, 11)))
    rows = [{"item": {"reference": short}, "sample": {"output_text": long}}] * 500
    source = {"type": "file_content", "content": rows}
    run = client.evals.runs.create(eval_.id, data_source={"type": "jsonl", "source": source})
    seen["canceled"] = client.evals.runs.cancel(run.id, eval_id=eval_.id).status


def letters(count, factor):
    """Some text."""
    return "".join(chr(ord("a") + (n * n * factor + n // 3) % 26) for n in range(count))


def _graders(client, seen):
    graders = client.fine_tuning.alpha.graders
    seen["reward"] = graders.run(grader=EXACT, model_sample="Rome", item={"reference": "Rome"}).reward
    seen["validated"] = graders.validate(grader=EXACT).grader.type


def _errors(client, eval_, run, seen):
    source = {"type": "jsonl", "source": {"type": "file_id", "id": "file-none"}}
    config = {"type": "custom", "item_schema": {}}
    wrong = {
        "unknown eval": lambda: client.evals.retrieve("eval_none"),
        "unknown file": lambda: client.files.retrieve("file-none"),
        "unknown model": lambda: client.models.retrieve("none"),
        "no criteria": lambda: client.evals.create(data_source_config=config, testing_criteria=[]),
        "unknown data": lambda: client.evals.runs.create(eval_.id, data_source=source),
        "ended run": lambda: client.evals.runs.cancel(run.id, eval_id=eval_.id),
        "bad grader": lambda: client.fine_tuning.alpha.graders.validate(grader={**EXACT, "operation": "="}),
    }
    for name, call in wrong.items():
        try:
            call()
        except openai.APIStatusError as error:
            seen["errors"][name] = [type(error).__name__, error.status_code, error.param]


if __name__ == "__main__":
    with openai.OpenAI(base_url=sys.argv[1], api_key="any") as the_client:
        sys.stdout.write(json.dumps({"version": openai.__version__, "seen": do(the_client)}))
