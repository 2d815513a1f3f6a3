"""Jobs and what they make belong to a project; permissions open models to others, really."""

import openai
import pytest

from regrade import outside, settings
from tuning.bench import create, tuning_server, wait


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keyed")
    with outside.open_keys(settings.load({"data_dir": str(folder / "data")}, environ={})) as keys:
        red, blue = (keys.create(project, "", admin=False)[1] for project in ("red", "blue"))
        admin = keys.create("red", "", admin=True)[1]
    with tuning_server(folder, {"base": {}}) as server:
        yield [server.client(key, max_retries=0) for key in (red, blue, admin)]


@pytest.fixture(scope="module")
def model(keyed):
    red, _, _ = keyed
    return wait(red, create(red)).fine_tuned_model


def test_another_projects_job_does_not_exist(keyed):
    red, blue, _ = keyed
    job = create(red)
    assert job.organization_id == "org-red"
    for call in (
        blue.fine_tuning.jobs.retrieve,
        blue.fine_tuning.jobs.cancel,
        blue.fine_tuning.jobs.pause,
        blue.fine_tuning.jobs.resume,
        lambda job_id: list(blue.fine_tuning.jobs.list_events(job_id)),
        lambda job_id: list(blue.fine_tuning.jobs.checkpoints.list(job_id)),
    ):
        with pytest.raises(openai.NotFoundError):
            call(job.id)
    assert list(blue.fine_tuning.jobs.list()) == []
    with pytest.raises(openai.BadRequestError) as refused:
        blue.fine_tuning.jobs.list(after=job.id)
    assert refused.value.param == "after"
    red.fine_tuning.jobs.cancel(job.id)


def uses(client, model: str) -> list[bool]:
    """Whether the project can list, find, ask, evaluate and train the model further."""
    found = [model in {each.id for each in client.models.list()}]
    config = {"type": "custom", "item_schema": {"type": "object"}}
    criterion = {"type": "string_check", "name": "x", "operation": "eq", "input": "a", "reference": "a"}
    eval_ = client.evals.create(data_source_config=config, testing_criteria=[criterion])
    template = {"type": "template", "template": [{"role": "user", "content": "hi"}]}
    source = {"type": "file_content", "content": [{"item": {}}]}
    data_source = {"type": "completions", "model": model, "input_messages": template, "source": source}
    for call in (
        lambda: client.models.retrieve(model),
        lambda: client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}]),
        lambda: client.evals.runs.create(eval_.id, data_source=data_source),
        lambda: client.fine_tuning.jobs.cancel(create(client, model=model).id),
    ):
        try:
            call()
        except openai.APIStatusError as error:
            found.append(error.code != "model_not_found")
        else:
            found.append(True)
    return found


def test_a_tuned_model_exists_for_its_own_project_alone_until_it_is_permitted(keyed, model):
    red, blue, admin = keyed
    assert uses(red, model) == [True] * 5
    assert uses(blue, model) == [False] * 5
    [permission] = list(admin.fine_tuning.checkpoints.permissions.create(model, project_ids=["blue"]))
    assert permission.project_id == "blue"
    assert uses(blue, model) == [True] * 5
    with pytest.raises(openai.PermissionDeniedError):
        blue.models.delete(model)
    deleted = admin.fine_tuning.checkpoints.permissions.delete(permission.id, fine_tuned_model_checkpoint=model)
    assert (deleted.id, deleted.deleted) == (permission.id, True)
    assert uses(blue, model) == [False] * 5


def test_permissions_are_listed_and_given_once(keyed, model):
    _, _, admin = keyed
    permissions = admin.fine_tuning.checkpoints.permissions
    first = list(permissions.create(model, project_ids=["green", "yellow"]))
    again = list(permissions.create(model, project_ids=["green"]))
    assert again[0].id == first[0].id
    listed = list(permissions.list(model))
    assert [each.project_id for each in listed] == ["yellow", "green"]
    assert [each.project_id for each in permissions.list(model, order="ascending", limit=1)] == ["green", "yellow"]
    assert [each.project_id for each in permissions.list(model, project_id="green")] == ["green"]


def test_permissions_are_the_affair_of_admins(keyed, model):
    red, _, _ = keyed
    with pytest.raises(openai.PermissionDeniedError):
        red.fine_tuning.checkpoints.permissions.create(model, project_ids=["blue"])
    with pytest.raises(openai.NotFoundError):
        keyed[2].fine_tuning.checkpoints.permissions.create("ft:none:none::00000000", project_ids=["blue"])
