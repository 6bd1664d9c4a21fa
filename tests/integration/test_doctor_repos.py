"""`hqd doctor` on target repositories: what cannot be read or pushed to is named, and nothing stays behind."""

from __future__ import annotations

from pathlib import Path

from hqd.adapters.repository import GitRepository
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.cli.doctor.origin import Found
from hqd.cli.doctor.repositories import repos_found
from hqd.cli.edits import FolderReader
from hqd.codec.config import read_config
from tests.daemon.headquarters import Headquarters
from tests.daemon.target_repository import shop


def looked(hq: Headquarters) -> list[Found]:
    settings = read_config(FolderReader(hq.root)).settings
    assert settings is not None
    repo = GitRepository.open(hq.root, hq.env)
    try:
        found = list(repos_found(repo, repo.private, hq.env, settings, EnvironmentSecrets(hq.env)))
    finally:
        repo.close()
    assert {name for name, _ in found} == {"site"}
    return [each for _, each in found]


def test_reading_and_pushing_are_tried_and_nothing_stays_behind(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    read, pushed = looked(hq)
    assert (read.ok, site.tip()[:12] in read.said) == (True, True)
    assert (pushed.ok, "hqd/*" in pushed.said) == (True, True)
    assert site.branches() == ["main"]
    site.hook("echo only admins push >&2; exit 1")
    refused = looked(hq)[1]
    assert (refused.ok, "only admins push" in refused.said) == (False, True)


def test_a_branch_and_a_repository_that_are_not_there_are_told_apart(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    site.git("branch", "-m", "main", "trunk", where=site.remote)
    said = looked(hq)[0]
    assert (said.ok, "has no branch main" in said.said, "[repos.site] branch" in said.remedy) == (False, True, True)
    site.remote.rename(tmp_path / "elsewhere.git")
    (gone,) = looked(hq)
    assert (gone.ok, str(site.remote) in gone.said) == (False, True)


def test_what_copies_stay_without_is_said_where_it_is_known(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    site.commit(
        {".gitmodules": '[submodule "lib"]\n\tpath = vendor/lib\n\turl = x\n', ".gitattributes": "*.bin filter=lfs\n"}
    )
    folder = hq.root / ".git/hqd/repos"
    folder.mkdir(parents=True)
    site.git("clone", "--quiet", "--bare", str(site.remote), str(folder / "site.git"), where=tmp_path)
    submodules, lfs = looked(hq)[2:]
    assert (submodules.ok, "vendor/lib" in submodules.said) == (None, True)
    assert (lfs.ok, "LFS" in lfs.said) == (None, True)
