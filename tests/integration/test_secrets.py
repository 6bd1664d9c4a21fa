"""Where `secret:NAME` is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqd.adapters.secrets import EnvironmentSecrets, reference


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    (tmp_path / "github").write_text("from-file\n")
    return tmp_path


def test_the_credential_of_systemd_goes_before_the_environment(credentials: Path) -> None:
    secrets = EnvironmentSecrets({"CREDENTIALS_DIRECTORY": str(credentials), "HQD_SECRET_GITHUB": "from-env"})

    assert secrets.get("github") == "from-file"
    (credentials / "github").unlink()
    assert secrets.get("github") == "from-env"


def test_a_renewed_credential_counts_at_once_and_both_are_known(credentials: Path) -> None:
    secrets = EnvironmentSecrets({"CREDENTIALS_DIRECTORY": str(credentials)})
    first = secrets.get("github")
    (credentials / "github").write_text("renewed")

    assert (first, secrets.get("github")) == ("from-file", "renewed")
    assert secrets.known() == {"from-file", "renewed"}


def test_the_names_of_variables() -> None:
    secrets = EnvironmentSecrets({"HQD_SECRET_MY_DB_2": "x", "ANTHROPIC_API_KEY": "key", "HQD_SECRET_EMPTY": ""})

    assert secrets.get("my-db.2") == "x"
    assert secrets.get("anthropic_api_key") == "key"
    assert secrets.get("empty") is None
    assert secrets.get("other") is None


def test_hqds_own_variable_goes_before_the_providers() -> None:
    secrets = EnvironmentSecrets({"HQD_SECRET_ANTHROPIC_API_KEY": "mine", "ANTHROPIC_API_KEY": "shell"})

    assert secrets.get("anthropic_api_key") == "mine"


@pytest.mark.parametrize("name", ["../github", "/etc/passwd", "", "a/b", ".hidden", "a\0b"])
def test_a_name_is_no_path(credentials: Path, name: str) -> None:
    folder = credentials / "inner"
    folder.mkdir()

    assert EnvironmentSecrets({"CREDENTIALS_DIRECTORY": str(folder)}).get(name) is None


def test_references() -> None:
    assert reference("secret:db") == "db"
    assert reference("plain") is None
