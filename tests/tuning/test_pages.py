"""The pages of fine-tuning jobs."""

import re

import httpx2

from tuning.bench import create, supervised, wait


def page(tuner, path: str) -> str:
    answer = httpx2.get(tuner.url + path)
    assert answer.status_code == 200
    return answer.text


def test_a_jobs_page_shows_its_curve_its_checkpoints_and_its_story(client, tuner):
    job = wait(client, create(client, suffix="<b>mine"))
    html = page(tuner, f"/fine_tuning/{job.id}")
    assert "&lt;b&gt;mine" in html
    assert "Succeeded" in html
    [said] = re.findall(r'<svg class="curves" role="img" aria-label="([^"]*)"', html)
    assert said == "training loss from 3 at step 1 to 0.375 at step 8"
    [points] = re.findall(r'<polyline points="([^"]*)" class="first"/>\s*<text', html)
    assert len(points.split()) == 8
    assert f"{job.fine_tuned_model}:ckpt-step-8" in html
    assert "The job has successfully completed" in html
    assert job.id in page(tuner, "/fine_tuning")


def test_a_failed_jobs_page_says_why(client, tuner):
    job = wait(client, create(client, model="greedy"), until=("failed",))
    assert "1 GiB less than is needed" in page(tuner, f"/fine_tuning/{job.id}")


def test_a_running_job_moves_by_its_fragment(client, tuner):
    job = create(client, model="slow", method=supervised(n_epochs=9))
    html = page(tuner, f"/fine_tuning/{job.id}?fragment=summary")
    assert 'data-running="yes"' in html
    assert "<html" not in html
    client.fine_tuning.jobs.cancel(job.id)
    assert 'data-running="no"' in page(tuner, f"/fine_tuning/{job.id}?fragment=summary")


def test_an_unknown_job_is_a_page_that_says_so(tuner):
    assert httpx2.get(f"{tuner.url}/fine_tuning/ftjob-none").status_code == 404
