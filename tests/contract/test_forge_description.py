"""An adapter's suite once more, each request and answer judged by the API description that the forge publishes.

Run by scripts/forge-contract, which fetches Prism and GitHub's description, and takes those of Gitea and Forgejo. Left
out are tests in which the fake is told to fail: the descriptions have no 502 and no cut connections. A description is
known by the flavour of its file's name: `gitea….json` and `forgejo….json` are Gitea's API, anything else is GitHub's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hqd.adapters.forges.github_app import AppTokens
from hqd.model.review import Check, CheckStatus
from hqd.testing.forge_app import FakeApp
from tests.contract import prism, test_forges
from tests.contract.test_forges import forge as forge
from tests.contract.test_forges import made as made
from tests.forge_scene import CONNECT, SLOW, Scene, key_pair, scene

HOME = os.environ.get("PRISM_HOME", "")
DESCRIPTION = Path(
    os.environ.get("FORGE_DESCRIPTION") or f"{HOME}/node_modules/@octokit/openapi/generated/api.github.com.json"
)
FLAVOUR = next((each for each in ("gitea", "forgejo") if DESCRIPTION.name.startswith(each)), "github")
NOT_JUDGED = {
    "test_a_create_that_was_done_and_then_failed_is_not_repeated": "the fake fails",
    "test_a_create_that_failed_before_it_was_done_is_repeated": "the fake fails",
    "test_a_crash_at_any_request_leaves_one_review_and_one_comment": "the fake fails",
    "test_a_draft_that_was_made_ready_and_then_failed_is_ready": "the fake fails",
    "test_five_hundred_open_reviews_are_polled_with_few_requests_that_cost_nothing": "goes past the judge",
    "test_replies_that_were_done_and_then_failed_are_not_repeated": "the fake fails",
    "test_a_merge_that_was_done_and_then_failed_lands_once": "the fake fails",
    "test_a_forge_that_is_down_is_said_after_a_bounded_number_of_tries": "the fake fails",
    "test_a_revoked_token_is_said_and_not_shown": "the description has 401 for few paths",
    "test_a_repository_that_is_not_there_is_said_with_a_remedy": "goes past the judge",
    "test_graphql_of_a_server_of_ones_own_is_beside_its_api": "the description is github.com's",
    "test_gitlab_says_that_the_project_decides_about_rebase": "not GitHub",
    "test_a_github_repository_is_an_owner_and_a_name": "asks nothing",
    "test_an_address_that_is_none_or_holds_a_password_is_refused": "asks nothing",
}
if FLAVOUR != "github":
    NOT_JUDGED |= {
        "test_a_branch_is_deleted_only_at_the_tip_that_is_meant": "the description has no branch with a slash",
        "test_drafts_that_a_plan_does_not_have_are_opened_ready": "GitHub's",
        "test_a_github_app_reports_check_runs": "GitHub's",
    }
if FLAVOUR == "gitea":
    NOT_JUDGED["test_a_thread_that_is_gone_refuses_the_reply"] = "Gitea has no threads to answer in"
pytestmark = [
    pytest.mark.forge,
    pytest.mark.skipif(not HOME, reason="needs Prism and GitHub's description: run scripts/forge-contract"),
]

for _name, _test in vars(test_forges).items():
    if _name.startswith("test_") and _name not in NOT_JUDGED:
        globals()[_name] = _test


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prism.Judge]:
    with prism.judge(Path(HOME), DESCRIPTION, tmp_path_factory.mktemp("prism") / "log") as found:
        yield found


@pytest.fixture
def flavour() -> str:
    return FLAVOUR


@pytest.fixture
def judged(judge: prism.Judge) -> Iterator[Callable[[str], object]]:
    judge.violations.clear()
    if FLAVOUR != "github":
        judge.nulls, judge.prefix = False, "/api/v1"
    before = judge.judged
    yield lambda flavour: judge.address
    assert judge.violations == []
    assert judge.judged > before


def test_the_judge_refuses_a_wrong_request_and_a_wrong_answer(forge: Scene, judge: prism.Judge) -> None:
    """Without this, silence of the judge would prove nothing."""
    number = forge.opened().number
    method, words = ("PUT", "merge_method") if FLAVOUR == "github" else ("POST", "Do")
    with pytest.raises(Exception, match="not accept"):
        forge.remote._http.write(method, f"/repos/acme/hq/pulls/{number}/merge", {words: "sqsh"})
    assert any(words in fault for fault in judge.violations)
    judge.violations.clear()
    forge.server.fail(path=rf"/pulls/{number}$", times=9, status=200, body={"number": "seven"})
    with pytest.raises(Exception, match="trouble"):
        forge.remote.review(number)
    assert any("number" in fault for fault in judge.violations)
    judge.violations.clear()


@pytest.mark.skipif(FLAVOUR != "github", reason="GitHub's")
def test_a_github_app_buys_its_tokens_and_reports_check_runs(made: Path, tmp_path: Path, judge: prism.Judge) -> None:
    """Claim, installation, token, and the pull request and check runs that it opens; the fixture's token opens none."""
    pytest.importorskip("jwt", reason="the extra github-app is not installed")
    private, public = key_pair()
    judge.violations.clear()
    with scene(made, tmp_path, "github", address=judge.address) as at:
        at.server.token, at.server.app = "nobody's", FakeApp("4711", public)
        tokens = AppTokens("4711", lambda: private, "acme/hq", api_url=judge.front, patience=SLOW)
        remote = CONNECT["github"](tokens, "acme/hq", judge.front, check_runs=True, login=tokens.login, patience=SLOW)
        before = judge.judged
        at.push("hqd/T-1", {"b.txt": "b\n"})
        opened = remote.open_review(test_forges.WANTED)
        remote.report(opened.head, [Check(name="hqd/tests", status=CheckStatus.PASS, summary="9 of 9")])
        assert [each.status for each in remote.checks(opened.head)] == [CheckStatus.PASS]
        assert remote.login() == "hqd[bot]"
        remote.disconnect()
        tokens.close()
        asked = [seen.path.partition("?")[0] for seen in at.server.requests]
    paths = {"/app", "/repos/acme/hq/installation", "/app/installations/77/access_tokens", "/repos/acme/hq/check-runs"}
    assert paths <= set(asked)
    assert judge.violations == []
    assert judge.judged - before == len(asked)


def test_what_is_not_judged_is_still_there() -> None:
    assert [name for name in NOT_JUDGED if not hasattr(test_forges, name)] == []
