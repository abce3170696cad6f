"""Settings from the environment: what they mean, and what is said of wrong ones."""

import ipaddress

import pytest

from ceiba.errors import SettingsError
from ceiba.react2eo.settings import LIMITS, Settings

NAMES = ("REACTIONS_URL", "TRUSTED_PROXIES", "ALLOWED_ORIGINS", "PUBLIC_URL", "EXTERNAL_LAYERS", "METRICS_NETWORKS", "LIMITS")


@pytest.fixture(autouse=True)
def plain_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("CEIBA_STORE", str(tmp_path))
    monkeypatch.setenv("CEIBA_LOCAL", "")
    for name in NAMES:
        monkeypatch.delenv(f"CEIBA_{name}", raising=False)


def test_nothing_needs_to_be_set(tmp_path):
    settings = Settings.from_environment()
    assert settings.folder == tmp_path / "react2eo"
    assert settings.reactions_url == f"sqlite:///{tmp_path}/react2eo/reactions.sqlite"
    assert settings.trusted_proxies == () and settings.allowed_origins == () and settings.public_url == ""
    assert settings.external_layers == () and settings.limits == LIMITS
    assert ipaddress.ip_address("127.0.0.1") in settings.metrics_networks[0]


def test_what_is_set_is_read(monkeypatch):
    monkeypatch.setenv("CEIBA_TRUSTED_PROXIES", "10.0.0.5, fd00::/8")
    monkeypatch.setenv("CEIBA_ALLOWED_ORIGINS", "https://maps.example:443/ http://localhost:8080")
    monkeypatch.setenv("CEIBA_PUBLIC_URL", "https://Ceiba.Example/")
    monkeypatch.setenv("CEIBA_EXTERNAL_LAYERS", "roads, relief roads")
    monkeypatch.setenv("CEIBA_LIMITS", "tiles=6000, device=60")
    settings = Settings.from_environment()
    assert [str(each) for each in settings.trusted_proxies] == ["10.0.0.5/32", "fd00::/8"]
    assert settings.allowed_origins == ("https://maps.example", "http://localhost:8080")
    assert settings.public_url == "https://ceiba.example"
    assert settings.external_layers == ("roads", "relief")
    assert settings.limits["tiles"] == 6000 and settings.limits["device"] == 60 and settings.limits["wms"] == LIMITS["wms"]


@pytest.mark.parametrize("address", ["postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg2://u:p@h/d"])
def test_postgresql_is_reached_by_the_driver_that_is_there(monkeypatch, address):
    monkeypatch.setenv("CEIBA_REACTIONS_URL", address)
    assert Settings.from_environment().reactions_url == "postgresql+psycopg2://u:p@h/d"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRUSTED_PROXIES", "proxy.example", "'proxy.example' is no IP address or network"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "has host bits set"),
        ("TRUSTED_PROXIES", "0.0.0.0/0", "everybody"),
        ("METRICS_NETWORKS", "::/0", "everybody"),
        ("ALLOWED_ORIGINS", "*", "'\\*' is no origin"),
        ("ALLOWED_ORIGINS", "https://maps.example/path", "is no origin"),
        ("ALLOWED_ORIGINS", "https://user@maps.example", "is no origin"),
        ("PUBLIC_URL", "ceiba.example", "write scheme, host and port"),
        ("PUBLIC_URL", "https://ceiba.example:port", "is no origin"),
        ("LIMITS", "tiles=0", "write name=number with a number from 1 on"),
        ("LIMITS", "tyles=5", "there are tiles \\(1200\\)"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_told_by_its_name(monkeypatch, name, value, message):
    monkeypatch.setenv(f"CEIBA_{name}", value)
    with pytest.raises(SettingsError, match=f"^CEIBA_{name}.*{message}"):
        Settings.from_environment()


def test_a_wrong_database_is_told_without_its_password(monkeypatch):
    monkeypatch.setenv("CEIBA_REACTIONS_URL", "mysql://user:secret@host/database")
    with pytest.raises(SettingsError, match="^CEIBA_REACTIONS_URL begins with 'mysql'") as caught:
        Settings.from_environment()
    assert "secret" not in str(caught.value)
