"""What every translation shares: loss codes in `fabloss`, and media types."""

import pytest

from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Loss, LossCode, Translation, loss_codes
from fabric_codecs.translate.media import guess, is_json, media_type_of

NO_METADATA = Loss(LossCode.NO_METADATA, "native", "left out")
TOO_LARGE = Loss(LossCode.TOO_LARGE, "data", "left out")


@pytest.mark.parametrize(
    ("so_far", "losses", "told"),
    [
        ("", (), ""),
        ("", (TOO_LARGE, NO_METADATA, TOO_LARGE), "TOO_LARGE,NO_METADATA"),
        ("NO_METADATA,OF_TOMORROW", (TOO_LARGE, NO_METADATA), "NO_METADATA,OF_TOMORROW,TOO_LARGE"),
        (",,NO_METADATA,", (), "NO_METADATA"),
    ],
)
def test_loss_codes_keep_their_order_and_stand_once(so_far: str, losses: tuple[Loss, ...], told: str) -> None:
    assert loss_codes(losses, so_far) == told


def test_a_translation_tells_the_codes_of_its_own_step() -> None:
    assert Translation(b"", (TOO_LARGE, TOO_LARGE)).codes == "TOO_LARGE"


@pytest.mark.parametrize(
    ("stated", "media_type", "json"),
    [
        (None, "application/json", True),
        ("Application/JSON; charset=utf-8", "application/json", True),
        ("application/cloudevents+json", "application/cloudevents+json", True),
        ("text/plain ;charset=utf-8", "text/plain", False),
    ],
)
def test_a_stated_media_type_is_read_without_case_and_parameters(
    stated: str | None, media_type: str, json: bool
) -> None:
    attributes = {} if stated is None else {"datacontenttype": stated}
    envelope = Envelope(b"", id="1", source="/a", type="t", **attributes)
    assert media_type_of(envelope) == media_type
    assert is_json(media_type) is json


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b'{"a": 1}', "application/json"),
        (b" 21.5\n", "application/json"),
        (b"21.5 C", "text/plain"),
        (b'{"a": 1', "text/plain"),
        (b"[" * 5000, "text/plain"),  # nested deeper than anybody reads
        (b"", "text/plain"),
        (b"\xff", "application/octet-stream"),
    ],
)
def test_a_media_type_is_guessed_from_what_data_looks_like(data: bytes, media_type: str) -> None:
    assert guess(data) == media_type
