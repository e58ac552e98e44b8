"""Signatures against the published vector, and against the published library."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import standardwebhooks

from mintage.capture.webhooks.signature import Secret, headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the published vector's
MESSAGE, SECONDS = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_vector_has_our_signature() -> None:
    assert Secret.parse(SECRET).sign(MESSAGE, SECONDS, BODY) == SIGNATURE


def test_the_published_library_takes_our_headers_and_refuses_another_body() -> None:
    secret = Secret.derived(b"r" * 32, "whe_1", 1)
    now = int(datetime.now(UTC).timestamp())
    theirs = standardwebhooks.Webhook(secret.reveal())
    signed = headers([Secret(b"x" * 24), secret], MESSAGE, now, BODY)
    assert theirs.verify(BODY, signed) == json.loads(BODY)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        theirs.verify(BODY.replace(b"4", b"5"), signed)
    late = headers([secret], MESSAGE, now - 3600, BODY)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        theirs.verify(BODY, late)


def test_each_endpoint_and_each_generation_has_a_secret_of_its_own() -> None:
    made = {
        Secret.derived(root, endpoint, generation).reveal()
        for root in (b"a" * 32, b"b" * 32)
        for endpoint in ("whe_1", "whe_2")
        for generation in (1, 2)
    }
    assert len(made) == 8
    assert all(24 <= len(Secret.parse(each)._key) <= 64 for each in made)


def test_a_secret_shows_itself_only_when_it_is_asked_to() -> None:
    secret = Secret.derived(b"a" * 32, "whe_1", 1)
    assert secret.reveal().removeprefix("whsec_") not in f"{secret!r} {secret} {[secret]}"
