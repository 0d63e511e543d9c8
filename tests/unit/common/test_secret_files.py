"""Secrets from files, as orchestrators mount them."""

import pytest

from common.errors import CannotStart
from common.settings import HttpSettings, MongoSettings, load


def test_a_file_is_a_setting(tmp_path, monkeypatch) -> None:
    """Named as its variable, in either case; the environment comes first."""
    monkeypatch.setenv("TWINSTREAM_SECRETS_DIR", str(tmp_path))
    (tmp_path / "twinstream_mongo_uri").write_text("mongodb://ann:secret@host/\n")
    (tmp_path / "TWINSTREAM_MONGO_DATABASE").write_text("of-the-file")
    settings = load(MongoSettings)
    assert settings.mongo_uri.get_secret_value() == "mongodb://ann:secret@host/"
    assert settings.mongo_database == "of-the-file"
    monkeypatch.setenv("TWINSTREAM_MONGO_DATABASE", "of-the-environment")
    assert load(MongoSettings).mongo_database == "of-the-environment"


def test_a_folder_that_is_not_there_stops_the_start(tmp_path, monkeypatch) -> None:
    """Else a service would start without its secrets, and only fail later."""
    monkeypatch.setenv("TWINSTREAM_SECRETS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(CannotStart, match="TWINSTREAM_SECRETS_DIR"):
        load(MongoSettings)


def test_an_issuer_without_an_audience_stops_the_start(monkeypatch) -> None:
    """Its tokens for any other service would open ours."""
    monkeypatch.setenv("TWINSTREAM_OIDC_ISSUER", "https://issuer.example")
    with pytest.raises(CannotStart, match="TWINSTREAM_OIDC_AUDIENCE"):
        load(HttpSettings)
    monkeypatch.setenv("TWINSTREAM_OIDC_AUDIENCE", "twinstream")
    assert load(HttpSettings).oidc_audience == "twinstream"
