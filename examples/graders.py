"""Try a grader on one answer before it goes into an eval.

Needs `pip install openai` and a running server; see quickstart.py.
"""

from openai import OpenAI

client = OpenAI()

grader = {
    "type": "multi",
    "name": "useful",
    "graders": {
        "exact": {
            "type": "string_check",
            "name": "exact",
            "operation": "eq",
            "input": "{{sample.output_json.city}}",
            "reference": "{{item.city}}",
        },
        "close": {
            "type": "text_similarity",
            "name": "close",
            "evaluation_metric": "rouge_l",
            "input": "{{sample.output_json.reason}}",
            "reference": "{{item.reason}}",
        },
    },
    "calculate_output": "0.7 * exact + 0.3 * close",
}
client.fine_tuning.alpha.graders.validate(grader=grader)
answer = client.fine_tuning.alpha.graders.run(
    grader=grader,
    model_sample='{"city": "Oslo", "reason": "it has been the capital since 1814"}',
    item={"city": "Oslo", "reason": "capital since 1814"},
)
print(f"reward {answer.reward:.3f}, parts {answer.sub_rewards}")
