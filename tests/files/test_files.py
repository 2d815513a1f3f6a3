"""Files through the real SDK, over a real socket."""

import http.client
from urllib.parse import urlsplit

import openai
import pytest

from regrade.core.errors import InvalidError
from worlds import add_file, add_run, form, post

EVERY_PURPOSE = ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
HOUR = 3600
END = {"expires_after[anchor]": "created_at"}
FILE = ('name="file"; filename="rows.jsonl"', b"{}")


@pytest.mark.parametrize("purpose", EVERY_PURPOSE)
def test_a_file_comes_back_as_it_went(client, purpose):
    content = bytes(range(256)) * 1000
    made = client.files.create(file=("rows.jsonl", content), purpose=purpose)
    assert (made.bytes, made.filename, made.purpose, made.status) == (256_000, "rows.jsonl", purpose, "processed")
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == content


def test_an_empty_file_is_a_file(client):
    made = client.files.create(file=("empty.jsonl", b""), purpose="evals")
    assert made.bytes == 0
    assert client.files.content(made.id).read() == b""


def test_a_deleted_file_is_gone_from_everywhere(client):
    made = client.files.create(file=("rows.jsonl", b"{}"), purpose="evals")
    assert client.files.delete(made.id).deleted
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError) as refused:
            call(made.id)
        assert refused.value.body == {
            "message": f"No such File object: {made.id}",
            "type": "invalid_request_error",
            "param": "id",
            "code": None,
        }
    assert client.files.list().data == []


def test_a_file_expires(client, world):
    made = client.files.create(
        file=("rows.jsonl", b"{}"), purpose="evals", expires_after={"anchor": "created_at", "seconds": HOUR}
    )
    assert made.expires_at == made.created_at + HOUR
    world.clock.time = made.expires_at - 1
    assert client.files.retrieve(made.id).id == made.id
    world.clock.time = made.expires_at
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)
    assert client.files.list().data == []


def test_a_batch_file_stays_for_thirty_days_and_others_stay(client):
    batch = client.files.create(file=("rows.jsonl", b"{}"), purpose="batch")
    other = client.files.create(file=("rows.jsonl", b"{}"), purpose="evals")
    assert batch.expires_at == batch.created_at + 30 * 24 * HOUR
    assert other.expires_at is None


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({}, "purpose", "missing_required_parameter"),
        ({"purpose": "world peace"}, "purpose", "invalid_value"),
        ({"expires_after[seconds]": "3600"}, "expires_after.anchor", "missing_required_parameter"),
        (
            {"expires_after[anchor]": "now", "expires_after[seconds]": "3600"},
            "expires_after.anchor",
            "invalid_value",
        ),
        (END | {"expires_after[seconds]": "3599"}, "expires_after.seconds", "invalid_value"),
        (END | {"expires_after[seconds]": "2592001"}, "expires_after.seconds", "invalid_value"),
        (END | {"expires_after[seconds]": "soon"}, "expires_after.seconds", "invalid_type"),
        ({"expires_after": "soon"} | END, "expires_after.seconds", "missing_required_parameter"),
        (END | {"expires_after": "soon"}, "expires_after", "invalid_type"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_kept(url, world, fields, param, code):
    if param != "purpose":
        fields = {"purpose": "evals", **fields}
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    status, answer = post(url, "/v1/files", *form(*parts, FILE))
    assert (status, answer["error"]["param"], answer["error"]["code"]) == (400, param, code)
    assert world.stored() == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\rows.jsonl", "rows.jsonl"),
        ("/rows.jsonl", "rows.jsonl"),
        ("Zeilen für Käse 数.jsonl", "Zeilen für Käse 数.jsonl"),
        ("a;b=c.jsonl", "a;b=c.jsonl"),
    ],
)
def test_a_name_is_only_a_name(client, world, sent, kept):
    made = client.files.create(file=(sent, b"{}"), purpose="evals")
    assert made.filename == kept
    assert not (world.root / "passwd").exists()


@pytest.mark.parametrize("name", ["..", ".", "/", "a/", "n" * 256, "tab\there"])
def test_a_name_that_names_no_file_is_refused(world, name):
    with pytest.raises(InvalidError) as refused:
        add_file(world, name)
    assert refused.value.param == "file"


def test_a_download_is_named_safely(client):
    made = client.files.create(file=('na"me\u2028\u0663.html', b"<script>"), purpose="user_data")
    headers = client.files.content(made.id).response.headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment; filename=\"na_22me__.html\"; filename*=UTF-8''na")
    assert headers["content-length"] == "8"


def test_training_data_must_be_named_as_json_lines_and_rows_of_evals_need_not(client):
    with pytest.raises(openai.BadRequestError, match=r"\.jsonl"):
        client.files.create(file=("rows.json", b"{}"), purpose="fine-tune")
    assert client.files.create(file=("rows.json", b"{}"), purpose="evals").filename == "rows.json"


def test_a_list_is_newest_first_filters_and_pages(client):
    made = [
        client.files.create(file=(f"{i}.jsonl", b"{}"), purpose="evals" if i % 2 else "batch") for i in range(7)
    ]
    newest_first = [file.id for file in reversed(made)]
    assert [file.id for file in client.files.list()] == newest_first
    assert [file.id for file in client.files.list(limit=2)] == newest_first
    assert [file.id for file in client.files.list(limit=2, order="asc")] == newest_first[::-1]
    assert [file.filename for file in client.files.list(purpose="evals")] == ["5.jsonl", "3.jsonl", "1.jsonl"]


@pytest.mark.parametrize("limit", [0, 10_001])
def test_a_list_has_one_to_ten_thousand_files_a_page(client, limit):
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.list(limit=limit)
    assert refused.value.param == "limit"


def test_a_list_after_what_never_was_is_refused(client, world):
    theirs = add_file(world, project="another")
    for cursor in ("file-never", theirs["id"]):
        with pytest.raises(openai.BadRequestError) as refused:
            client.files.list(after=cursor)
        assert refused.value.param == "after"


def test_a_key_sees_its_projects_files_only(url, world):
    _, ours = world.keys.create("ours", "", admin=False)
    _, theirs = world.keys.create("theirs", "", admin=False)
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key=ours) as us,
        openai.OpenAI(base_url=f"{url}/v1", api_key=theirs) as them,
    ):
        made = us.files.create(file=("rows.jsonl", b"{}"), purpose="evals")
        assert them.files.list().data == []
        for call in (them.files.retrieve, them.files.content, them.files.delete):
            with pytest.raises(openai.NotFoundError):
                call(made.id)
        assert us.files.content(made.id).read() == b"{}"


def test_a_repeated_upload_makes_one_file(client):
    def create(content, retries):
        return client.files.create(
            file=("rows.jsonl", content), purpose="evals", extra_headers={"x-stainless-retry-count": retries}
        )

    first = create(b"{}", "0")
    assert create(b"{}", "1").id == first.id
    assert create(b"[]", "1").id != first.id
    assert create(b"{}", "0").id != first.id
    assert len(client.files.list().data) == 3


def test_a_repeat_leaves_no_second_copy(client, world):
    for retries in ("0", "1"):
        client.files.create(
            file=("rows.jsonl", b"{}"), purpose="evals", extra_headers={"x-stainless-retry-count": retries}
        )
    assert len(world.stored()) == 1


def test_a_file_of_just_the_limit_is_taken_and_one_byte_more_is_not(client, world):
    client.files.create(file=("rows.jsonl", bytes(4 << 20)), purpose="evals")
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=("rows.jsonl", bytes((4 << 20) + 1)), purpose="evals")
    assert (refused.value.status_code, refused.value.param) == (413, "file")
    assert len(world.stored()) == 1


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent(url, world):
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    connection.putrequest("POST", "/v1/files")
    connection.putheader("content-type", "multipart/form-data; boundary=b")
    connection.putheader("content-length", str(1 << 40))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_sdk_clients_of_azure_reach_the_same_files(url, client):
    made = client.files.create(file=("rows.jsonl", b"{}"), purpose="evals")
    with openai.AzureOpenAI(azure_endpoint=url, api_key="any", api_version="2025-04-01-preview") as azure:
        assert azure.files.retrieve(made.id).id == made.id
        with pytest.raises(openai.NotFoundError) as refused:
            azure.files.retrieve("file-x")
    assert refused.value.body["type"] == "error"


def test_swept_bytes_are_gone_and_the_cursor_stays(client, world):
    first, second = add_file(world), add_file(world)
    client.files.delete(first["id"])
    world.clock.time += 100
    assert world.files.sweep() == 1
    assert world.files.sweep() == 0
    assert len(world.stored()) == 1
    assert [file.id for file in client.files.list(after=first["id"], order="asc")] == [second["id"]]


def test_a_sweep_is_bounded(world):
    for _ in range(5):
        world.files.delete("default", add_file(world)["id"])
    world.clock.time += 100
    assert [world.files.sweep(limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_the_bytes_stay_until_the_last_run_that_reads_them_ends(world):
    made = add_file(world)
    end_run = add_run(world, reads=made["id"])
    world.files.delete("default", made["id"])
    world.clock.time += 100
    assert world.files.sweep() == 0
    end_run()
    assert world.files.sweep() == 1
