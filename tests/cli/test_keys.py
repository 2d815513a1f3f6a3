from cli.commands import regrade


def test_a_key_is_created_listed_without_its_secret_and_revoked(tmp_path):
    created = regrade("keys", "create", "--project", "acme", "--name", "ci", "--admin", "--data-dir", tmp_path)
    assert created.returncode == 0
    secret = created.stdout.splitlines()[-1]
    assert secret.startswith("sk-regrade-")
    listed = regrade("keys", "list", "--data-dir", tmp_path).stdout
    assert secret not in listed
    key_id, project, name, hint, admin, *_, state = listed.strip().splitlines()[-1].split()
    assert (project, name, hint, admin, state) == ("acme", "ci", f"...{secret[-4:]}", "yes", "active")
    revoked = regrade("keys", "revoke", key_id, "--data-dir", tmp_path)
    assert revoked.stdout == f"Key {key_id} is revoked.\n"
    assert regrade("keys", "list", "--data-dir", tmp_path).stdout.split()[-1] == "revoked"


def test_no_keys_an_unknown_key_and_a_bad_project_are_told(tmp_path):
    assert "no keys" in regrade("keys", "list", "--data-dir", tmp_path).stdout
    unknown = regrade("keys", "revoke", "key_unknown", "--data-dir", tmp_path)
    assert unknown.returncode == 2
    assert "key_unknown" in unknown.stderr
    bad = regrade("keys", "create", "--project", "../x", "--data-dir", tmp_path)
    assert bad.returncode == 2
    assert "cannot be a project's name" in bad.stderr
