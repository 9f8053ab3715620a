"""Which test fails without which rule of those that guard the pages, and that each of these tests exists.

The numbers are those of security.md, which comments of the code name too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

_TESTS = Path(__file__).resolve().parents[2]
_HERE = "web/dashboard"
#: A rule in a few words, and the tests that hold it: file, and the name behind ``test_``.
RULES: Mapping[str, Sequence[tuple[str, str]]] = {
    "16: our own tokens and keys are redacted in whatever is shown": (
        (f"{_HERE}/test_task.py", "our_own_tokens_and_keys_are_cut_out_of_every_page"),
        (f"{_HERE}/test_said.py", "a_token_of_ours_in_a_body_is_neither_shown_nor_saved"),
        (f"{_HERE}/test_wire.py", "what_an_attempt_sent_and_was_answered_is_one_step_away_and_holds_no_secret"),
        (f"{_HERE}/test_wire.py", "a_secret_that_the_end_of_what_is_kept_cuts_in_two_is_not_shown"),
        (f"{_HERE}/test_deliveries.py", "an_endpoint_is_shown_without_what_may_be_secret_in_its_address"),
    ),
    "17: bytes that we did not make run nowhere and are guessed at by nobody": (
        (f"{_HERE}/test_task.py", "the_audio_is_played_and_saved_with_the_session_alone"),
        (f"{_HERE}/test_said.py", "a_token_of_ours_in_a_body_is_neither_shown_nor_saved"),
        (f"{_HERE}/test_reference.py", "a_reference_of_the_callers_own_is_played_beside_what_was_made_of_it"),
        ("web/test_audio.py", "the_media_type_is_one_of_ours"),
        ("web/test_reports.py", "a_report_is_handed_out_verbatim_as_a_file_that_nothing_runs"),
    ),
    "17: no answer is kept, but files named by their hash": (
        (f"{_HERE}/test_pages.py", "every_page_has_a_policy_and_keeps_to_it"),
        (f"{_HERE}/test_assets.py", "a_file_is_kept_for_good_under_a_name_that_changes_with_it"),
        ("web/test_routes.py", "every_answer_but_health_forbids_keeping_and_guessing"),
    ),
    "18: no address follows from Host or X-Forwarded-*": (
        (f"{_HERE}/test_pages.py", "no_address_of_a_page_follows_from_what_a_caller_claims"),
        (f"{_HERE}/test_session.py", "after_signing_in_one_comes_to_a_page_of_ours"),
        ("web/test_routes.py", "no_address_is_built_from_what_a_caller_claims"),
    ),
    "18: under another name than the private side's there are no pages": (
        ("web/test_hosts.py", "under_the_public_name_there_is_no_page_of_ours"),
        ("web/test_hosts.py", "on_loopback_a_strangers_name_is_404"),
        (f"{_HERE}/test_pages.py", "pages_are_only_where_the_interface_is"),
    ),
    "21: no provider's string is in a path, a header or the name of a saved file": (
        (f"{_HERE}/test_said.py", "a_token_of_ours_in_a_body_is_neither_shown_nor_saved"),
        ("web/test_audio.py", "the_whole_audio_is_served_as_what_it_is_and_nothing_else"),
    ),
    "22: what strangers wrote is text": (
        (f"{_HERE}/test_pages.py", "no_template_says_that_something_is_safe"),
        (f"{_HERE}/test_task.py", "what_strangers_write_is_text_and_nothing_else"),
        (f"{_HERE}/test_differing.py", "what_cannot_be_seen_is_spelt_out"),
        ("browser/test_pages.py", "what_strangers_wrote_is_shown_and_nothing_else_comes_of_it"),
    ),
    "22: links are https, and tell nobody where they stood": (
        (f"{_HERE}/test_pages.py", "every_page_has_a_policy_and_keeps_to_it"),
        (f"{_HERE}/test_task.py", "what_strangers_write_is_text_and_nothing_else"),
        (f"{_HERE}/test_reference.py", "a_reference_elsewhere_is_a_link_that_nobody_follows_by_itself"),
    ),
    "22: the policy allows self and nonces, no eval, and nothing breaks it": (
        (f"{_HERE}/test_pages.py", "every_page_has_a_policy_and_keeps_to_it"),
        ("browser/test_pages.py", "everybody_can_use_a_page_and_the_browser_has_nothing_to_say"),
        ("browser/test_pages.py", "no_answer_of_a_page_can_be_kept_or_framed"),
        ("browser/test_watching.py", "what_a_page_does_wrong_is_told"),
    ),
    "22: the cookie is __Host-, Secure, HttpOnly, SameSite=Strict, for twelve hours, and names a key": (
        (f"{_HERE}/test_session.py", "the_cookie_is_bound_as_tightly_as_can_be_and_holds_no_key"),
        (f"{_HERE}/test_session.py", "a_session_ends_after_twelve_hours"),
        (f"{_HERE}/test_session.py", "a_session_ends_with_its_key"),
        (f"{_HERE}/test_session.py", "a_cookie_that_was_tampered_with_opens_nothing"),
        (f"{_HERE}/test_session.py", "signing_out_ends_the_session_for_whoever_else_holds_its_cookie"),
        (f"{_HERE}/test_session.py", "a_key_is_never_shown_again"),
    ),
    "22: without a session no page and no form, and /v1 takes no cookie": (
        (f"{_HERE}/test_session.py", "no_page_is_shown_to_who_is_not_signed_in"),
        (f"{_HERE}/test_session.py", "no_form_is_taken_from_who_is_not_signed_in"),
        (f"{_HERE}/test_session.py", "the_interface_takes_no_cookie_and_pages_take_no_key"),
        (f"{_HERE}/test_session.py", "a_part_that_is_asked_for_again_is_told_that_the_session_is_over"),
    ),
    "22: a form is of this session and of this origin": (
        (f"{_HERE}/test_session.py", "a_form_from_elsewhere_is_refused"),
        (f"{_HERE}/test_session.py", "a_form_without_the_token_of_its_session_is_refused"),
        (f"{_HERE}/test_session.py", "a_token_is_of_one_session"),
        (f"{_HERE}/test_session.py", "a_link_on_another_site_leads_to_the_page_by_a_step_of_ours"),
    ),
    "23: the secret of an endpoint is shown once": (
        (f"{_HERE}/test_deliveries.py", "a_new_secret_is_shown_once"),
        (f"{_HERE}/test_deliveries.py", "an_endpoint_is_added_and_its_secret_is_shown_once"),
    ),
    "25: ten wrong keys a minute and peer, then 429, here as at the interface": (
        (f"{_HERE}/test_session.py", "wrong_keys_are_counted_together_with_those_of_the_interface"),
    ),
    "27: an error tells a person what to do, and nothing of what is inside": (
        (f"{_HERE}/test_pages.py", "a_database_that_is_away_is_told_in_words"),
        (f"{_HERE}/test_pages.py", "odd_words_in_an_address_are_answered_and_are_no_fault"),
    ),
    "28: what others wrote is unchanged": (
        (f"{_HERE}/test_assets.py", "what_others_wrote_is_unchanged_and_has_its_licence"),
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_that_guards_the_pages_has_its_tests(rule: str) -> None:
    assert RULES[rule]
    for file, name in RULES[rule]:
        assert f"def test_{name}(" in (_TESTS / file).read_text("utf-8"), f"{file} has no test_{name}"
