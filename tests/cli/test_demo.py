import os
import signal

from cli.commands import regrade, start
from regrade import server_lock


def test_the_demo_grades_its_rows_outside_of_the_real_data_and_ends_when_told_so(tmp_path):
    answer = regrade("demo", "--exit", cwd=tmp_path, XDG_DATA_HOME=str(tmp_path))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "60 of 60 rows" in answer.stdout
    assert "Pass rate  63.3 % (38 of 60 rows), 95 % interval 50.7 to 74.4 %" in answer.stdout
    assert ["Right", "queue", "47", "12", "1", "78.3", "%"] in [
        line.split()[:7] for line in answer.stdout.splitlines()
    ]
    assert [folder.name for folder in tmp_path.iterdir()] == ["regrade-demo"]
    assert server_lock.find(tmp_path / "regrade-demo") is None


def test_the_demo_leaves_its_server_running_until_ctrl_c(tmp_path):
    with start("demo", "--data-dir", tmp_path, "--port", "0") as demo:
        line = ""
        while "until you press Ctrl-C" not in line:
            line = demo.stdout.readline()
        assert server_lock.find(tmp_path).url in line
        os.killpg(demo.pid, signal.SIGINT)
        demo.communicate()
    assert demo.returncode == 0
    assert server_lock.find(tmp_path) is None
