"""Addresses of brokers, and passwords, which are shown nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.address import MqttError, MqttUrl


@pytest.fixture(autouse=True)
def no_password_around(monkeypatch):
    monkeypatch.delenv("TOUCHLINE_MQTT_PASSWORD", raising=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://broker", MqttUrl("broker", 1883)),
        ("mqtts://broker", MqttUrl("broker", 8883, tls=True)),
        ("mqtts://broker:443/halls", MqttUrl("broker", 443, "halls", tls=True)),
        ("mqtts://me:p%40ss%2Fword@[::1]:99", MqttUrl("::1", 99, "touchline", "me", "p@ss/word", tls=True)),
    ],
)
def test_an_address_says_host_port_base_user_and_whether_it_is_encrypted(text, expected):
    assert MqttUrl.parse(text) == expected


@pytest.mark.parametrize("text", ["mqttss://broker", "MQTT//broker", "ssl://broker", "mqtts:/broker", "", "://broker"])
def test_other_schemes_are_refused(text):
    with pytest.raises(MqttError, match=r"does not begin with mqtt:// or mqtts://$"):
        MqttUrl.parse(text)


@pytest.mark.parametrize("base", ["a%2B", "%23", "a/%2F/b", "%24SYS"])
def test_a_base_cannot_hold_wildcards_in_disguise(base):
    with pytest.raises(MqttError, match="must be topic levels"):
        MqttUrl.parse(f"mqtt://broker/{base}")


def test_the_password_of_the_address_goes_before_the_files_and_that_before_the_environments(tmp_path, monkeypatch):
    file = tmp_path / "password"
    file.write_text("fr0m-file\nsecond line\n", encoding="utf-8")
    monkeypatch.setenv("TOUCHLINE_MQTT_PASSWORD", "fr0m-env")
    assert MqttUrl.parse("mqtts://me@broker").password == "fr0m-env"
    assert MqttUrl.parse("mqtts://me@broker", password_file=file).password == "fr0m-file"
    assert MqttUrl.parse("mqtts://me:here@broker", password_file=file).password == "here"


def test_the_user_of_the_address_goes_before_the_settings():
    assert MqttUrl.parse("mqtts://broker", user="you").user == "you"
    assert MqttUrl.parse("mqtts://me@broker", user="you").user == "me"
    assert MqttUrl.parse("mqtts://broker").user is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "password: the password cannot be read (no such file or directory)"),
        (b"", "password: holds no password; it must be the first line"),
        (b"\ns3cret", "password: holds no password; it must be the first line"),
        (b"s3cret\xff", "password: the password is not UTF-8 text"),
        (b"s3cret\0", "password: a user name or password has at most 65535 bytes of UTF-8, none of them zero"),
        (b"s3cret" * 11000, "password: a user name or password has at most 65535 bytes of UTF-8, none of them zero"),
    ],
)
def test_a_password_file_that_cannot_be_used_is_named_and_not_quoted(tmp_path, content, complaint):
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(MqttError) as caught:
        MqttUrl.parse("mqtts://me@broker", password_file=file)
    assert str(caught.value) == f"{tmp_path}/{complaint}"


def test_a_password_file_wants_a_user(tmp_path):
    with pytest.raises(MqttError, match="a password without a user name"):
        MqttUrl.parse("mqtts://broker", password_file=tmp_path / "password")


def said(text):
    """All that is ever shown of an address: itself, or what is wrong with it."""
    try:
        return f"{(url := MqttUrl.parse(text))} {url!r}"
    except MqttError as error:
        return str(error)


@given(st.text(min_size=1))
def test_whatever_the_text_is_one_line_is_said_and_never_the_password(text):
    line = said(f"mqtts://me:s3cret{text}")
    assert line
    assert "\n" not in line
    assert "s3cret" not in line
