"""The grader's folder: its own, empty, bounded, and gone with the process."""

import pytest

from sandbox.attacks.attack import BREACH, HELD, source_of
from sandbox.attacks.resources import (
    DEEP_FOLDERS,
    HIDDEN_BY_REMOVAL,
    HIDDEN_IN_THE_DEPTH,
    MANY_FILES,
    MANY_INODES,
)

KEEP = """
import os, tempfile
def grade(sample, item):
    there = len(os.listdir(tempfile.gettempdir())) + len(os.listdir(os.environ["HOME"])) + len(os.listdir("."))
    for number in range(item["files"]):
        with open(os.path.join(tempfile.gettempdir(), str(number)), "w") as file:
            file.write("for the next one")
    return there
"""


def test_a_folder_starts_empty_for_each_process(jail_here):
    written = jail_here.grade(KEEP, [{"files": 3}, {"files": 0}], alone=True)
    assert [grade.value for grade in written] == [0, 0]
    [later] = jail_here.grade(KEEP, [{"files": 0}])
    assert later.value == 0


def test_a_grader_can_use_its_folder(jail_here):
    source = """
import os, sqlite3, tempfile
def grade(sample, item):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "notes.txt")
        with open(path, "w") as file:
            file.write("x" * 1_000_000)
        os.rename(path, path + ".moved")
        return os.stat(path + ".moved").st_size
"""
    [grade] = jail_here.grade(source, [{}])
    assert (grade.value, grade.error) == (1_000_000, None)


@pytest.mark.parametrize("attack", [MANY_FILES, MANY_INODES, HIDDEN_IN_THE_DEPTH], ids=str)
def test_many_files_are_bounded_like_one(attack, jail_here):
    [grade] = jail_here.grade(source_of(attack, {}), [{}])
    assert grade.value <= HELD
    assert grade.value < HELD or "wrote more than" in grade.error.message


def test_removed_files_count_at_the_level_that_has_a_file_system_of_its_own(jail_here, level):
    [grade] = jail_here.grade(source_of(HIDDEN_BY_REMOVAL, {}), [{}])
    assert grade.value == BREACH if level in HIDDEN_BY_REMOVAL.leaks else grade.value < HELD


def test_folders_of_any_depth_are_removed_with_the_process(jail_here, level):
    [grade] = jail_here.grade(source_of(DEEP_FOLDERS, {}), [{}])
    assert grade.value == HELD
    assert level == "landlock" or grade.error is None
    assert list(jail_here.sandbox(isolation="run")._folder.scratch.iterdir()) == []
