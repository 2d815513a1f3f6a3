"""Graders, also called testing criteria."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from regrade.types.json import JsonObject
from regrade.types.wire import Answered, Received

Name = Annotated[str, Field(max_length=512)]
Threshold = Annotated[float, Field(allow_inf_nan=False)]
Metric = Literal[
    "fuzzy_match",
    "bleu",
    "gleu",
    "meteor",
    "cosine",
    "rouge_1",
    "rouge_2",
    "rouge_3",
    "rouge_4",
    "rouge_5",
    "rouge_l",
]


class TextPart(Received):
    """Text in a message; `text` is the spelling of chat completions."""

    type: Literal["input_text", "output_text", "text"]
    text: str


class InputImagePart(Received):
    """An image, by URL or as an uploaded file."""

    type: Literal["input_image"]
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class ImageUrlPart(Received):
    """An image as chat completions spell it."""

    type: Literal["image_url"]
    image_url: JsonObject


class InputAudioPart(Received):
    """A sound, its bytes as base64 in `input_audio.data`."""

    type: Literal["input_audio"]
    input_audio: JsonObject


class InputFilePart(Received):
    """A file, inline, by URL or uploaded."""

    type: Literal["input_file"]
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None
    detail: str | None = None


Part = Annotated[
    TextPart | InputImagePart | ImageUrlPart | InputAudioPart | InputFilePart, Field(discriminator="type")
]


def _shape_of_content(content: Any) -> str:
    match content:
        case dict():
            return "part"
        case list():
            return "parts"
        case _:
            return "text"


TextOrPart = Annotated[Annotated[str, Tag("text")] | Annotated[Part, Tag("part")], Discriminator(_shape_of_content)]
Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[Part, Tag("part")] | Annotated[list[TextOrPart], Tag("parts")],
    Discriminator(_shape_of_content),
]


class Message(Received):
    """A message to a model; its texts may hold `{{item.…}}` and `{{sample.…}}`."""

    role: str
    content: Content
    type: Literal["message"] | None = None


class SamplingParams(Received):
    """How a grader's model is asked; every spelling of the token limit is read."""

    max_completions_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    reasoning_effort: str | None = None
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None


class StringCheck(Received):
    """Compares two texts; `neq` is another spelling of `ne`."""

    type: Literal["string_check"]
    name: Name | None = None
    input: str
    reference: str
    operation: Literal["eq", "ne", "neq", "like", "ilike"]


class TextSimilarity(Received):
    """Scores how alike two texts are, from 0 to 1; passes at `pass_threshold`, by default 0.5."""

    type: Literal["text_similarity"]
    name: Name | None = None
    input: str
    reference: str
    evaluation_metric: Metric
    pass_threshold: Threshold | None = None


class ScoreModel(Received):
    """Asks a model for a score within `range`, by default from 0 to 1."""

    type: Literal["score_model"]
    name: Name | None = None
    model: str
    input: list[Message]
    range: list[float] | None = None
    pass_threshold: Threshold | None = None
    sampling_params: SamplingParams | None = None


class LabelModel(Received):
    """Asks a model for one of `labels`; passes where it is among `passing_labels`."""

    type: Literal["label_model"]
    name: Name | None = None
    model: str
    input: list[Message]
    labels: list[str]
    passing_labels: list[str]
    sampling_params: SamplingParams | None = None


class Python(Received):
    """Runs `grade(sample, item)` of the given source; passes at `pass_threshold`, by default 0.5."""

    type: Literal["python"]
    name: Name | None = None
    source: str
    image_tag: str | None = None
    pass_threshold: Threshold | None = None


SingleGrader = Annotated[
    StringCheck | TextSimilarity | ScoreModel | LabelModel | Python, Field(discriminator="type")
]


def _shape_of_graders(graders: Any) -> str:
    match graders:
        case list():
            return "list"
        case {"type": str()}:
            return "one"
        case _:
            return "named"


class Multi(Received):
    """Combines named graders by the formula `calculate_output`; a list or a single grader go by their names."""

    type: Literal["multi"]
    name: Name | None = None
    graders: Annotated[
        Annotated[dict[str, SingleGrader], Field(max_length=100), Tag("named")]
        | Annotated[list[SingleGrader], Field(max_length=100), Tag("list")]
        | Annotated[SingleGrader, Tag("one")],
        Discriminator(_shape_of_graders),
    ]
    calculate_output: str
    pass_threshold: Threshold | None = None


Grader = Annotated[
    StringCheck | TextSimilarity | ScoreModel | LabelModel | Python | Multi, Field(discriminator="type")
]


class ValidateGrader(Received):
    """The body of POST /fine_tuning/alpha/graders/validate."""

    grader: Grader


class RunGrader(Received):
    """The body of POST /fine_tuning/alpha/graders/run."""

    grader: Grader
    model_sample: str
    item: JsonObject | None = None


class GraderValidated(Answered):
    """The grader as understood."""

    grader: Grader


class GraderErrors(Answered):
    """What went wrong while grading; none of it changes the HTTP status."""

    formula_parse_error: bool
    sample_parse_error: bool
    truncated_observation_error: bool
    unresponsive_reward_error: bool
    invalid_variable_error: bool
    other_error: bool
    python_grader_server_error: bool
    python_grader_server_error_type: str | None
    python_grader_runtime_error: bool
    python_grader_runtime_error_details: str | None
    model_grader_server_error: bool
    model_grader_refusal_error: bool
    model_grader_parse_error: bool
    model_grader_server_error_details: str | None


class GraderRunMetadata(Answered):
    """How the grading went."""

    name: str
    type: str
    errors: GraderErrors
    error_messages: Annotated[list[str], Field(description="What each error says, in whole sentences.")]
    execution_time: Annotated[float, Field(description="Seconds.")]
    scores: dict[str, float]
    token_usage: JsonObject | None
    sampled_model_name: str | None


class GraderRun(Answered):
    """The reward of one sample."""

    reward: float
    metadata: GraderRunMetadata
    sub_rewards: dict[str, float]
    model_grader_token_usage_per_model: JsonObject
