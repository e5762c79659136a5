import pytest
from pydantic import SecretStr, ValidationError

from service.settings import NodeSettings, ServiceSettings
from worker.secret_files import UnreadableSecret


def test_open_listener_needs_allowed_senders():
    with pytest.raises(ValidationError, match="PENUMBRA_ALLOWED_SENDERS"):
        ServiceSettings(dicom_host="0.0.0.0")  # noqa: S104
    ServiceSettings(dicom_host="0.0.0.0", allowed_senders=("TPS",))  # noqa: S104


def test_destinations_are_defined_nodes_each_once():
    node = NodeSettings(ae_title="TPS", host="h", port=104)
    settings = ServiceSettings(nodes=(node,), deliver_to=("TPS",))
    assert settings.destinations("TPS") == ("TPS",)
    assert settings.destinations("tps") == ("TPS",)
    assert ServiceSettings(nodes=(node,)).destinations("tps") == ()
    with pytest.raises(ValidationError, match="PACS"):
        ServiceSettings(deliver_to=("PACS",))


def test_children_read_back_what_the_parent_hands_down(tmp_path, monkeypatch):
    settings = ServiceSettings(
        data_dir=tmp_path,
        api_token=SecretStr("secret"),
        nodes=(NodeSettings(ae_title="TPS", host="h", port=104),),
        delivery_pauses_s=(1.0, 2.5),
        lease_s=7.5,
        bundle="phantom",
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert ServiceSettings() == settings


def test_file_gives_what_neither_argument_nor_environment_gives(tmp_path, monkeypatch):
    file = tmp_path / "penumbra.toml"
    file.write_text(
        'ae_title = "FILE"\napi_port = 1\npasses = 3\n[[nodes]]\nae_title = "TPS"\nhost = "h"\nport = 104\n'
    )
    monkeypatch.setenv("PENUMBRA_CONFIG", str(file))
    monkeypatch.setenv("PENUMBRA_API_PORT", "2")
    settings = ServiceSettings(passes=4)
    assert (settings.ae_title, settings.api_port, settings.passes) == ("FILE", 2, 4)
    assert settings.node("TPS").port == 104


def test_secret_is_not_shown():
    assert "hidden" not in repr(ServiceSettings(api_token=SecretStr("hidden")))


def test_secrets_come_from_files_that_the_environment_names(tmp_path, monkeypatch):
    for name, text in {
        "api_token": "t0k3n\n",
        "database_url": "postgresql://x",
        "broker_url": "redis://file",
    }.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(f"PENUMBRA_{name.upper()}_FILE", str(tmp_path / name))
    monkeypatch.setenv("PENUMBRA_BROKER_URL", "redis://said")
    settings = ServiceSettings()
    assert settings.api_token.get_secret_value() == "t0k3n"
    assert (settings.database_url, settings.broker_url) == ("postgresql://x", "redis://said")


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", bytes(70_000)])
def test_a_secrets_file_that_is_missing_or_no_text_is_named_and_not_shown(tmp_path, monkeypatch, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("PENUMBRA_API_TOKEN_FILE", str(path))
    with pytest.raises(UnreadableSecret, match="token"):
        ServiceSettings()
