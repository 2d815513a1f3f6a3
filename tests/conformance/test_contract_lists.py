"""Lists of runs and items: pages, cursors, filters, and what other projects may not see."""

import httpx2
import pytest

from evals import CONFIG, EXACT, file_source, inline_source, row, upload, wait

ROWS = [row(0, right=True), row(1, right=False), {"item": {}}, row(3, right=True), row(4, right=False)]


def _eval(client):
    return client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])


@pytest.fixture(scope="module")
def graded(server):
    """A run with items of every status."""
    with server.client() as client:
        eval_ = _eval(client)
        yield wait(client, client.evals.runs.create(eval_.id, data_source=file_source(upload(client, ROWS))))


@pytest.fixture
def items_path(graded):
    return f"/evals/{graded.eval_id}/runs/{graded.id}/output_items"


def _rows(page):
    return [item["datasource_item_id"] for item in page["data"]]


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"order": "asc"}, [0, 1, 2, 3, 4]),
        ({"order": "desc"}, [4, 3, 2, 1, 0]),
        ({"status": "pass"}, [0, 3]),
        ({"status": "passed"}, [0, 3]),
        ({"status": "fail"}, [1, 4]),
        ({"status": "failed"}, [1, 4]),
        ({"status": "error"}, [2]),
        ({"status": "errored"}, [2]),
        ({"status": "fail", "order": "desc"}, [4, 1]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_items_come_in_row_order_page_by_page(http, items_path, query, rows, limit):
    found, after = [], None
    for _ in range(len(rows) + 1):
        page = http.get(items_path, params={**query, "limit": limit} | ({"after": after} if after else {})).json()
        found += _rows(page)
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert found == rows


def test_an_items_id_is_made_of_its_run_and_row(http, graded, items_path):
    page = http.get(items_path).json()
    run = graded.id.removeprefix("evalrun_")[:24]
    assert [item["id"] for item in page["data"]] == [f"outputitem_{run}{index:08x}" for index in range(len(ROWS))]
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])


@pytest.mark.parametrize("index", range(len(ROWS)))
def test_an_item_alone_is_the_item_of_the_list(http, items_path, index):
    item = http.get(items_path).json()["data"][index]
    assert http.get(f"{items_path}/{item['id']}").json() == item


def test_runs_are_listed_oldest_first_twenty_at_a_time(http, client):
    eval_ = _eval(client)
    source = inline_source([row(0, right=True)])
    made = [client.evals.runs.create(eval_.id, data_source=source).id for _ in range(22)]
    path = f"/evals/{eval_.id}/runs"
    page = http.get(path).json()
    assert [run["id"] for run in page["data"]] == made[:20]
    assert page["has_more"]
    assert [run["id"] for run in http.get(path, params={"order": "desc", "limit": 2}).json()["data"]] == made[
        :-3:-1
    ]
    client.evals.runs.delete(made[19], eval_id=eval_.id)
    rest = http.get(path, params={"after": made[19]}).json()
    assert ([run["id"] for run in rest["data"]], rest["has_more"]) == (made[20:], False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"order": "ascending"}, "order"),
        ({"status": "good"}, "status"),
        ({"after": "none"}, "after"),
        ({"after": "outputitem_" + "0" * 32}, "after"),
        ({"after": "evalrun_" + "0" * 32}, "after"),
    ],
)
def test_a_page_that_cannot_be_is_refused(http, graded, items_path, query, param):
    for path in (items_path, f"/evals/{graded.eval_id}/runs"):
        answer = http.get(path, params=query)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_the_item_of_another_run_is_no_cursor_and_no_item(http, client, graded, items_path):
    eval_ = _eval(client)
    other = wait(client, client.evals.runs.create(eval_.id, data_source=inline_source(ROWS[:1])))
    [item] = client.evals.runs.output_items.list(other.id, eval_id=eval_.id).data
    assert http.get(items_path, params={"after": item.id}).json()["error"]["param"] == "after"
    answer = http.get(f"{items_path}/{item.id}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "output_item_id")


@pytest.fixture(scope="module")
def foreign(keyed):
    """Red's things, and plain HTTP with blue's key."""
    with keyed.server.client(keyed.red) as red:
        eval_ = _eval(red)
        file = upload(red, ROWS)
        run = wait(red, red.evals.runs.create(eval_.id, data_source=file_source(file)))
        item = red.evals.runs.output_items.list(run.id, eval_id=eval_.id).data[0]
    headers = {"authorization": f"Bearer {keyed.blue}"}
    with httpx2.Client(base_url=f"{keyed.server.url}/v1", headers=headers) as blue:
        mine = blue.post("/evals", json={"data_source_config": CONFIG, "testing_criteria": [EXACT]}).json()["id"]
        yield blue, mine, {"eval": eval_.id, "run": run.id, "item": item.id, "file": file.id}


@pytest.mark.parametrize(
    ("method", "path", "param"),
    [
        ("GET", "/evals/{eval}", "eval_id"),
        ("POST", "/evals/{eval}", "eval_id"),
        ("DELETE", "/evals/{eval}", "eval_id"),
        ("GET", "/evals/{eval}/runs", "eval_id"),
        ("GET", "/evals/{eval}/runs/{run}", "eval_id"),
        ("GET", "/evals/{mine}/runs/{run}", "run_id"),
        ("POST", "/evals/{eval}/runs/{run}/cancel", "eval_id"),
        ("POST", "/evals/{mine}/runs/{run}", "run_id"),
        ("DELETE", "/evals/{eval}/runs/{run}", "eval_id"),
        ("GET", "/evals/{eval}/runs/{run}/output_items", "eval_id"),
        ("GET", "/evals/{mine}/runs/{run}/output_items", "run_id"),
        ("GET", "/evals/{eval}/runs/{run}/output_items/{item}", "eval_id"),
        ("GET", "/files/{file}", "id"),
        ("GET", "/files/{file}/content", "id"),
        ("DELETE", "/files/{file}", "id"),
    ],
)
def test_what_another_project_has_does_not_exist(foreign, method, path, param):
    blue, mine, ids = foreign
    body = {"json": {}} if method == "POST" else {}
    answer = blue.request(method, path.format(mine=mine, **ids), **body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, param)


def test_a_run_cannot_be_made_in_another_projects_eval_or_read_its_file(foreign):
    blue, mine, ids = foreign
    source = {"type": "jsonl", "source": {"type": "file_id", "id": ids["file"]}}
    answer = blue.post(f"/evals/{mine}/runs", json={"data_source": source})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "data_source.source.id")
    answer = blue.post(f"/evals/{ids['eval']}/runs", json={"data_source": inline_source(ROWS[:1])})
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "eval_id")


def test_an_id_of_another_project_is_no_cursor(foreign):
    blue, mine, ids = foreign
    lists = {"/evals": "eval", f"/evals/{mine}/runs": "run", "/files": "file"}
    for path, kind in lists.items():
        answer = blue.get(path, params={"after": ids[kind]})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "after"), path
