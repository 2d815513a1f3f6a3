"""Cursors of the list of files: what holds while files come and go between the pages."""

import itertools
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regrade.core.entities import PageRequest
from regrade.core.errors import NotFoundError
from worlds import add_file

_projects = itertools.count()
_end = {"anchor": "created_at", "seconds": 3600}
_step = st.one_of(st.just("add"), st.just("expire"), st.integers(0, 30))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    expiring=st.lists(st.booleans(), max_size=7),
    limit=st.integers(1, 4),
    order=st.sampled_from(["asc", "desc"]),
    between=st.lists(st.lists(_step, max_size=3), max_size=8),
)
def test_pages_name_no_file_twice_and_every_file_that_was_there_throughout(world, expiring, limit, order, between):
    project = f"project{next(_projects)}"
    ever = [add_file(world, project=project, expires_after=_end if ends else None)["id"] for ends in expiring]
    throughout = {file_id for file_id, ends in zip(ever, expiring, strict=True) if not ends}
    meanwhile, seen, has_more = iter(between), [], True
    while has_more:
        request = PageRequest(limit=limit, after=seen[-1] if seen else None, order=order)
        page = world.files.list(project, request, purpose=None)
        new = [file["id"] for file in page.data]
        assert not set(new) & set(seen)
        seen += new
        has_more = page.has_more
        for step in next(meanwhile, []):
            throughout.discard(_change(world, project, ever, step))
    assert throughout <= set(seen)
    assert seen == sorted(seen, reverse=order == "desc")


def _change(world, project, ever, step):
    """Do one thing to the project's files; the id of the file that was deleted by it."""
    if step == "expire":
        world.clock.time += 3600
    elif step == "add" or not ever:
        ever.append(add_file(world, project=project)["id"])
    else:
        chosen = ever[step % len(ever)]
        with suppress(NotFoundError):  # deleted or expired before
            world.files.delete(project, chosen)
        return chosen
    return None
