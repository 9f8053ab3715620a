"""Which test fails without which rule of those that guard audio, files, fetching, notifications, secrets, the client.

The numbers are those of security.md, which comments of the code name too; those of the pages stand in
tests/web/dashboard/test_rules.py. Each test that is named exists.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

_TESTS = Path(__file__).resolve().parent
#: A rule in a few words, and the tests that hold it: file, and the name behind ``test_``.
RULES: Mapping[str, Sequence[tuple[str, str]]] = {
    "9: a callback's link is fetched at once only from the provider's own hosts": (
        ("domain/test_settlement.py", "a_link_elsewhere_is_not_fetched_until_the_provider_confirms_it"),
        (
            "domain/test_settlement.py",
            "a_callback_that_differs_from_what_is_known_is_a_conflict_and_the_provider_is_asked",
        ),
        ("domain/test_strangers.py", "inline_audio_in_a_callback_is_not_taken_where_a_link_was_asked_for"),
    ),
    "9: the provider's own answer wins, and no more results than asked for are collected": (
        (
            "domain/test_settlement.py",
            "in_a_conflict_the_providers_own_answer_wins_while_the_audio_is_still_to_be_had",
        ),
        ("domain/test_settlement.py", "what_the_provider_names_takes_the_place_of_what_only_a_callback_did"),
        (
            "domain/test_settlement.py",
            "of_an_answer_with_more_results_than_were_asked_for_only_so_many_are_collected",
        ),
    ),
    "10: the token of an input serves its task alone, and dies with it": (
        ("web/test_inputs.py", "a_file_is_given_to_its_tasks_token_alone_and_without_a_key"),
        ("web/test_routes.py", "a_token_opens_exactly_the_route_of_its_purpose_and_provider"),
        ("storage/test_inputs.py", "what_a_provider_is_offered_follows_its_task"),
        ("flows/test_own_files.py", "a_provider_that_can_reach_us_fetches_the_file_as_long_as_its_task_is_under_way"),
    ),
    "11: connections go to checked addresses, resolved once and used": (
        ("outbound/test_no_connection.py", "no_spelling_of_an_address_that_is_not_public_is_connected_to"),
        ("outbound/test_no_connection.py", "no_name_leads_to_an_address_that_is_not_public"),
        (
            "outbound/test_no_connection.py",
            "a_name_that_changes_between_the_check_and_the_connection_gains_nothing",
        ),
        ("outbound/test_send.py", "one_private_address_condemns_the_host"),
        ("outbound/test_notify.py", "a_name_is_judged_anew_for_each_connection"),
    ),
    "11: redirects are judged like first links, and only media have any": (
        ("outbound/test_fetch.py", "a_redirect_to_a_forbidden_address_is_not_followed"),
        ("outbound/test_fetch.py", "a_redirect_away_from_https_is_not_followed"),
        ("outbound/test_fetch.py", "a_third_redirect_is_followed_and_a_fourth_is_not"),
        ("outbound/test_send.py", "every_status_is_an_answer"),
        ("flows/test_notifications.py", "what_fails_comes_again_under_its_id"),
    ),
    "11: no userinfo, no proxy of the environment, no encoding, a cap of bytes, one deadline, port 443": (
        ("outbound/test_links.py", "what_is_no_plain_web_link_is_refused"),
        ("outbound/test_send.py", "no_proxy_is_taken_from_the_environment"),
        ("outbound/test_fetch.py", "an_encoded_body_is_refused_unread"),
        ("outbound/test_fetch.py", "a_body_over_the_limit_is_refused"),
        ("outbound/test_fetch.py", "the_deadline_is_one_for_all_hops"),
        ("outbound/test_addresses.py", "without_an_entry_only_https_to_443_at_public_addresses_is_left"),
        ("flows/test_each_fault.py", "a_fault_alone_leaves_the_balance_exact"),
    ),
    "11: an entry of the user permits what it says and nothing beyond": (
        ("outbound/test_addresses.py", "an_entry_permits_nothing_beyond_what_it_says"),
        ("outbound/test_addresses.py", "an_entry_with_a_purpose_is_for_that_purpose_alone"),
        ("outbound/test_no_connection.py", "an_allowed_host_is_reached_for_its_purpose_alone"),
        (
            "outbound/test_no_connection.py",
            "an_entry_without_a_purpose_is_for_media_where_the_host_is_a_providers",
        ),
        ("outbound/test_no_connection.py", "a_link_local_address_needs_an_entry_of_its_own"),
    ),
    "12: bytes that fail the audio check stay nowhere and are not quoted": (
        ("lifecycle/test_collect.py", "what_is_not_whole_audio_is_tried_again_later_with_the_reason"),
        ("storage/test_probe.py", "what_is_no_audio_is_refused_whatever_was_asked_for"),
        ("storage/test_probe.py", "any_bytes_are_audio_or_refused"),
        ("storage/test_probe.py", "a_refusal_quotes_nothing_of_the_file"),
        ("web/test_inputs.py", "what_is_no_reference_audio_is_refused_in_words_and_nothing_stays"),
    ),
    "12: of an endpoint's answer little is read and nothing shown, and it cannot ask for long": (
        ("outbound/test_notify.py", "a_2xx_takes_it_whatever_is_behind_its_head"),
        ("flows/test_notifications.py", "any_2xx_takes_it_whatever_comes_behind"),
        ("outbound/test_notify.py", "nobody_can_ask_for_more_time_than_an_hour"),
        ("domain/test_endpoint.py", "what_a_retry_after_asks_for_is_kept_within_bounds"),
    ),
    "13: a task's own URL has the origin of an endpoint, whose secret signs it": (
        ("web/test_endpoints.py", "a_tasks_own_url_has_the_origin_of_an_endpoint"),
        ("flows/test_notifications.py", "a_tasks_own_url_is_told_in_the_place_of_its_endpoint"),
    ),
    "16: inline audio is its hash, and our tokens and keys are nowhere": (
        ("web/test_create_task.py", "inline_audio_is_shown_by_its_hash"),
        ("web/test_present.py", "a_request_shows_no_secret_that_came_with_it"),
        ("web/test_present.py", "our_own_tokens_are_cut_out_of_every_foreign_string"),
        ("web/test_reports.py", "our_own_tokens_and_keys_are_cut_out_of_what_a_provider_repeats"),
        ("lifecycle/test_transcript.py", "what_is_kept_is_what_went_out_but_for_what_opens_something"),
    ),
    "17: bytes that we did not make are attachments or audio of our closed list": (
        ("web/test_audio.py", "the_media_type_is_one_of_ours"),
        ("web/test_audio.py", "the_whole_audio_is_served_as_what_it_is_and_nothing_else"),
        ("flows/test_own_files.py", "a_provider_that_can_reach_us_fetches_the_file_as_long_as_its_task_is_under_way"),
    ),
    "18: a download link lives for 15 minutes, opens one audio, and is in no notification": (
        ("web/test_audio.py", "the_link_in_the_task_plays_without_a_key_for_15_minutes"),
        ("web/test_audio.py", "a_token_opens_its_one_audio_and_nothing_else"),
        ("flows/test_notifications.py", "what_happens_is_told_in_order_as_every_route_shows_it"),
    ),
    "19: no secret, no body and no signed link comes out of logs, metrics and errors": (
        ("flows/test_canary.py", "no_secret_comes_out_anywhere"),
        ("flows/test_canary.py", "no_token_of_ours_comes_out_anywhere"),
        ("flows/test_canary.py", "a_signed_link_of_a_provider_stands_in_results_and_raw_reports_only"),
        ("outbound/test_links.py", "a_refusal_never_shows_the_query"),
        ("storage/test_putting.py", "what_does_not_work_is_told_without_the_link"),
    ),
    "20: what an endpoint is called cannot act on a terminal": (
        ("cli/test_endpoints.py", "what_an_endpoint_is_called_cannot_act_on_a_terminal"),
        ("cli/test_screen.py", "what_a_terminal_acts_upon_is_written_as_an_escape"),
    ),
    "21: names are ours, files are opened exclusively, and no link is followed": (
        ("lifecycle/test_collect.py", "audio_is_kept_whole_and_named_by_its_content"),
        ("storage/test_objects.py", "every_key_that_is_taken_stays_below_the_root"),
        ("storage/test_objects.py", "a_planted_link_is_neither_read_nor_kept"),
        ("outbound/test_fetch.py", "an_existing_file_is_left_alone"),
        ("outbound/test_fetch.py", "a_planted_link_is_not_followed"),
        ("sdk/test_audio.py", "a_result_is_saved_under_a_name_of_ours_and_nothing_else_is_left"),
        ("sdk/test_audio.py", "a_link_in_the_place_of_the_file_leads_nowhere"),
        ("cli/test_submit.py", "a_link_in_the_folder_leads_nowhere"),
    ),
    "23: files and folders are for their owner alone, and a key file that others may read is refused": (
        ("storage/test_objects.py", "files_and_folders_are_the_owners_alone"),
        ("storage/test_engine.py", "database_and_folder_are_for_their_owner_alone"),
        ("cli/test_local.py", "everything_is_for_its_owner_alone_whatever_the_umask"),
        ("cli/test_service.py", "a_key_file_that_others_may_read_is_refused"),
    ),
    "23: the secret of an endpoint is shown once, lies sealed, and ends when it was promised to": (
        ("web/test_endpoints.py", "an_endpoint_shows_its_secret_once"),
        ("web/test_endpoints.py", "a_secret_of_ones_own_signs_and_lies_unreadable"),
        ("web/test_endpoints.py", "after_a_rotation_both_secrets_sign_until_the_overlap_ends"),
        ("lifecycle/test_sealing.py", "a_start_seals_secrets_under_the_first_key_so_that_the_old_one_may_go"),
        ("cli/test_endpoints.py", "a_new_secret_is_shown_once_alone_on_standard_output"),
    ),
    "25: streams, waits, uploads and trials have a most, and an unused upload goes": (
        ("web/test_streams.py", "streams_beyond_the_most_are_429_and_one_that_ends_makes_room"),
        ("web/test_show_task.py", "more_waits_than_are_allowed_are_429"),
        ("web/test_inputs.py", "more_files_than_may_wait_are_refused_until_one_is_used"),
        ("web/test_inputs.py", "what_is_no_reference_audio_is_refused_in_words_and_nothing_stays"),
        ("storage/test_inputs.py", "an_unused_file_goes_after_its_time_and_a_used_one_stays"),
        (
            "web/test_endpoints.py",
            "endpoints_that_hang_are_tried_few_at_once_so_that_notifications_have_connections",
        ),
    ),
    "26: no key goes over http to another machine, nor where a redirect or a .env leads": (
        ("sdk/test_client.py", "no_key_goes_to_a_doubtful_address"),
        ("sdk/test_audio.py", "audio_in_a_bucket_is_fetched_there_once_and_without_the_key"),
        ("cli/test_service.py", "no_key_travels_over_http_to_another_machine"),
        ("cli/test_service.py", "a_redirect_is_not_followed_with_the_key"),
        ("cli/test_service.py", "a_dotenv_in_the_working_folder_sets_neither_url_nor_key_nor_folder"),
    ),
    "what is kept goes when it is to go, in every place it lies": (
        ("lifecycle/test_retire.py", "audio_that_came_in_a_callback_itself_is_nowhere_once_it_was_kept_long_enough"),
        ("lifecycle/test_erase.py", "a_large_report_goes_with_its_task"),
        ("lifecycle/test_transcript.py", "what_went_over_the_wire_is_erased_with_its_task"),
        ("lifecycle/test_custody.py", "both_halves_of_a_pair_may_be_erased_at_once"),
    ),
    "a notification is genuine to the libraries of others, and what was changed is not": (
        ("sdk/test_third_parties.py", "libraries_for_python_believe_what_we_sign_and_nothing_else"),
        ("sdk/test_third_parties.py", "libraries_for_javascript_believe_what_we_sign_and_nothing_else"),
        ("sdk/test_notified.py", "what_the_service_sends_is_genuine_to_every_library_and_nothing_else_is"),
        ("sdk/test_notifications.py", "whatever_is_changed_on_the_way_is_noticed"),
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_has_its_tests(rule: str) -> None:
    assert RULES[rule]
    for file, name in RULES[rule]:
        assert f"def test_{name}(" in (_TESTS / file).read_text("utf-8"), f"{file} has no test_{name}"
