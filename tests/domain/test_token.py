import base64
import hmac
import string
from datetime import timedelta
from uuid import UUID

import pytest

from receiver.domain.token import TOKEN_CHARACTERS, Purpose, SigningKey, TokenSigner, hkdf_sha256
from tests.domain.making import START, at

TASK = UUID("01900000-0000-7000-8000-000000000001")
INSTALLATION = bytes(range(16))
OLD = SigningKey("2026-01", bytes(range(32)))
NEW = SigningKey("2026-02", bytes(range(32, 64)))
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
HOUR = timedelta(hours=1)


def signer(*keys: SigningKey, installation: bytes = INSTALLATION) -> TokenSigner:
    return TokenSigner(keys or (OLD,), installation)


def issued(by: TokenSigner, purpose: Purpose = Purpose.CALLBACK, provider: str = "runware") -> str:
    return by.issue(purpose, provider, TASK, START + HOUR)


def opens(by: TokenSigner, token: str, purpose: Purpose = Purpose.CALLBACK, provider: str = "runware") -> bool:
    return by.verify(purpose, provider, token, START) is not None


# https://www.rfc-editor.org/rfc/rfc5869#appendix-A, the cases with SHA-256.
@pytest.mark.parametrize(
    ("secret", "salt", "info", "length", "derived"),
    [
        (
            b"\x0b" * 22,
            bytes(range(0x0D)),
            bytes(range(0xF0, 0xFA)),
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)),
            bytes(range(0x60, 0xB0)),
            bytes(range(0xB0, 0x100)),
            82,
            (
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
                "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
            ),
        ),
        (
            b"\x0b" * 22,
            b"",
            b"",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
    ids=["A.1", "A.2-longer-than-a-block", "A.3-without-salt-and-info"],
)
def test_keys_are_derived_as_rfc_5869_derives_them(
    secret: bytes, salt: bytes, info: bytes, length: int, derived: str
) -> None:
    assert hkdf_sha256(secret, salt=salt, info=info, length=length).hex() == derived


def test_a_token_ends_in_the_mac_that_the_standard_library_makes() -> None:
    raw = base64.urlsafe_b64decode(issued(signer()) + "==")
    key = hkdf_sha256(OLD.secret, salt=b"receiver", info=b"token CALLBACK")
    assert raw[-16:] == hmac.digest(key, raw[:-16] + INSTALLATION, "sha256")[:16]


def test_a_token_gives_back_what_it_was_issued_for() -> None:
    assert signer().verify(Purpose.CALLBACK, "runware", issued(signer()), START) == TASK


def test_the_same_token_is_made_again_because_it_is_stored_nowhere() -> None:
    assert issued(signer()) == issued(signer())


def test_a_token_fits_into_a_path_and_has_always_the_same_length() -> None:
    token = issued(signer())
    assert len(token) == TOKEN_CHARACTERS
    assert set(token) <= set(ALPHABET)


@pytest.mark.parametrize("asked", Purpose)
@pytest.mark.parametrize("given", Purpose)
def test_a_token_opens_the_route_of_its_own_purpose_and_no_other(given: Purpose, asked: Purpose) -> None:
    assert opens(signer(), issued(signer(), given), asked) == (given is asked)


def test_every_purpose_makes_another_token_of_the_same_subject() -> None:
    assert len({issued(signer(), purpose)[-20:] for purpose in Purpose}) == len(Purpose)


def test_a_token_does_not_open_another_providers_route() -> None:
    assert not opens(signer(), issued(signer()), provider="aimlapi")


def test_a_token_of_another_installation_opens_nothing() -> None:
    stranger = signer(installation=bytes(range(1, 17)))
    assert not opens(signer(), issued(stranger))


def test_a_token_made_with_another_secret_under_the_same_name_opens_nothing() -> None:
    forger = signer(SigningKey(OLD.name, b"x" * 32))
    assert not opens(signer(), issued(forger))


def test_after_a_rotation_the_new_key_signs_and_the_old_one_still_verifies() -> None:
    before, after = signer(OLD), signer(NEW, OLD)
    assert opens(after, issued(before))
    assert issued(after) == issued(signer(NEW))
    assert opens(signer(NEW), issued(after))


def test_a_token_of_a_key_that_was_taken_away_opens_nothing() -> None:
    assert not opens(signer(NEW), issued(signer(OLD)))


def test_a_token_dies_at_its_time() -> None:
    token = issued(signer())
    assert signer().verify(Purpose.CALLBACK, "runware", token, START + HOUR - timedelta(seconds=1)) == TASK
    assert signer().verify(Purpose.CALLBACK, "runware", token, START + HOUR) is None
    assert signer().verify(Purpose.CALLBACK, "runware", token, START + 2 * HOUR) is None


def test_a_token_whose_last_character_is_spelt_differently_is_no_token() -> None:
    # The last of 70 characters carries four of its six bits, so three other spellings have the same value.
    token = issued(signer())
    assert [last for last in ALPHABET if opens(signer(), token[:-1] + last)] == [token[-1]]


def test_a_token_with_one_character_changed_is_no_token() -> None:
    token = issued(signer())
    for place, letter in enumerate(token):
        other = "A" if letter != "A" else "B"
        assert not opens(signer(), token[:place] + other + token[place + 1 :]), place


def test_what_is_cut_or_lengthened_is_no_token() -> None:
    token = issued(signer())
    assert [length for length in range(TOKEN_CHARACTERS) if opens(signer(), token[:length])] == []
    assert not any(opens(signer(), token + more) for more in ("=", "==", "A", " ", "\n", token))


@pytest.mark.parametrize(
    "foreign",
    ["ä", "\u212a", "\N{FULLWIDTH LATIN SMALL LETTER A}", "\0", " ", "\n", "+", "/", "=", "%", "."],
)
def test_a_character_outside_the_alphabet_makes_no_token_and_no_error(foreign: str) -> None:
    token = issued(signer())
    for place in (0, 35, 69):
        assert not opens(signer(), token[:place] + foreign + token[place + 1 :])
        assert not opens(signer(), token[:place] + foreign + token[place:])


@pytest.mark.parametrize(
    "nonsense", ["", "A", "A" * TOKEN_CHARACTERS, "_" * TOKEN_CHARACTERS, "=" * TOKEN_CHARACTERS]
)
def test_nonsense_is_no_token(nonsense: str) -> None:
    assert not opens(signer(), nonsense)


def test_the_standard_alphabet_is_not_taken_for_ours() -> None:
    urls = [signer().issue(Purpose.INPUT, "runware", UUID(int=number), at(60)) for number in range(64)]
    respelt = [(url, url.replace("-", "+").replace("_", "/")) for url in urls if {"-", "_"} & set(url)]
    assert respelt, "no token with - or _ was made"
    assert not any(opens(signer(), other, Purpose.INPUT) for _, other in respelt)
    assert all(opens(signer(), url, Purpose.INPUT) for url, _ in respelt)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ((), "at least one"),
        ((SigningKey("short", b"x" * 15),), "fewer than 16"),
        ((OLD, SigningKey(OLD.name, NEW.secret)), "share a name"),
    ],
    ids=["none", "short", "twice"],
)
def test_keys_that_cannot_be_told_apart_or_guarded_are_refused(keys: tuple[SigningKey, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        TokenSigner(keys, INSTALLATION)


def test_a_key_never_shows_its_secret() -> None:
    assert "secret" not in repr(SigningKey("name", b"secret" * 8))
