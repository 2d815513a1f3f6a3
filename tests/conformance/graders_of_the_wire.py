"""One grader of every type and of most shapes, as clients send them."""

from evals import EXACT

SIMILAR = {
    "type": "text_similarity",
    "name": "similar",
    "input": "{{item.answer}}",
    "reference": "{{item.reference}}",
    "evaluation_metric": "rouge_l",
    "pass_threshold": 0.5,
}
LABELLED = {
    "type": "label_model",
    "name": "labelled",
    "model": "judge",
    "input": [
        {"role": "developer", "content": "Label the answer."},
        {"role": "user", "content": {"type": "input_text", "text": "{{item.answer}}"}},
    ],
    "labels": ["good", "bad"],
    "passing_labels": ["good"],
}
SCORED = {
    "type": "score_model",
    "name": "scored",
    "model": "judge",
    "input": [
        {"type": "message", "role": "system", "content": "Score the answer."},
        {
            "role": "user",
            "content": [
                "{{item.answer}}",
                {"type": "input_text", "text": "and this"},
                {"type": "output_text", "text": "{{sample.output_text}}"},
                {"type": "input_image", "image_url": "{{item.reference}}", "detail": "low"},
                {"type": "input_audio", "input_audio": {"data": "{{item.answer}}", "format": "wav"}},
            ],
        },
    ],
    "range": [0, 7],
    "pass_threshold": 5.5,
    "sampling_params": {"seed": None, "temperature": 1, "max_completions_tokens": 100, "reasoning_effort": "low"},
}
PROGRAMMED = {
    "type": "python",
    "name": "programmed",
    "source": "def grade(sample, item):\n    return 1.0\n",
    "image_tag": None,
}
COMBINED = {
    "type": "multi",
    "name": "combined",
    "graders": {"exact": EXACT, "similar": SIMILAR},
    "calculate_output": "(exact + similar) / 2",
}
EVERY_GRADER = [EXACT, {**EXACT, "operation": "neq"}, SIMILAR, LABELLED, SCORED, PROGRAMMED, COMBINED]
