"""Fine-tuning on PostgreSQL: the same story."""

from servers import serving
from tuning.bench import configure, create, messages, metrics, prompt_rows, reinforcement, upload, wait


def test_a_reinforcement_job_on_postgresql(tmp_path, postgres):
    config = configure(tmp_path, {"base": {"step_s": 0.05}})
    flags = ("--config", str(config), "--database-url", postgres.new())
    with serving(tmp_path / "data", *flags) as server, server.client(max_retries=0) as client:
        validation = upload(client, prompt_rows(4))
        options = {"validation_file": validation, "method": reinforcement(), "metadata": {"on": "postgresql"}}
        job = wait(client, create(client, prompt_rows(20), **options))
        assert job.status == "succeeded", messages(client, job)
        assert [data["full_valid_mean_reward"] for data in metrics(client, job)] == [0.25, 0.5, 0.75, 1.0]
        assert [found.id for found in client.fine_tuning.jobs.list(metadata={"on": "postgresql"})] == [job.id]
        permissions = client.fine_tuning.checkpoints.permissions
        [made] = list(permissions.create(job.fine_tuned_model, project_ids=["other"]))
        assert [each.id for each in permissions.list(job.fine_tuned_model)] == [made.id]
        assert client.models.delete(job.fine_tuned_model).deleted
