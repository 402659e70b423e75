from pathlib import Path

import pytest
from pydantic import ValidationError

from clozekit.config.checks.components import check_components
from clozekit.config.composition.messages import of_validation
from clozekit.errors import ConfigError
from clozekit.storage.urls import is_url, join, name_of, problem_of, shown
from tests.programs.commands import train_config

SECRET = "geheim"

WITH_SECRETS = (
    f"s3://key:{SECRET}@bucket/corpus",
    f"https://{SECRET}@server/file.txt",
    f"https://user:{SECRET}@server/file.txt",
    f"https://user:{SECRET}@server",
    f"s3://bucket/corpus?X-Amz-Signature={SECRET}",
    f"https://server/a.txt?download=true&token={SECRET}",
    f"https://server/a.txt?sv=1&sig={SECRET}",
    f"https://server/a.txt?{SECRET}=",
    f"https://server?sig={SECRET}",
    f"https://server/a.txt#{SECRET}",
    f"https://server/a.txt?download=true#token={SECRET}",
    f"s3://key:a/{SECRET}@bucket/corpus",
    f"https://user:a/{SECRET}@server/a.txt",
    f"az://user:{SECRET}@container/corpus",
    f"S3://key:{SECRET}@bucket/corpus",
    f"abfs://container@account.dfs.core.windows.net/a?sig={SECRET}",
)


def test_a_url_is_told_from_a_path() -> None:
    urls = ("s3://bucket/a", "gs://b", "hf://datasets/a/b", "https://server/a", "abfs://c@d/e")
    paths = ("s3:/bucket", "C://folder", "C:\\folder", "/a://b", "a/b", "org/model", "", "s3:")
    assert all(map(is_url, urls))
    assert not any(map(is_url, (*paths, Path("s3://bucket/a"))))


@pytest.mark.parametrize("url", WITH_SECRETS)
def test_a_url_with_a_secret_is_refused_without_showing_it(url: str) -> None:
    problem = problem_of(url)
    assert problem is not None
    if f"?{SECRET}" not in url:  # what stands before the = is a name
        assert SECRET not in problem + shown(url)
    assert "credentials are read from the environment" in problem


@pytest.mark.parametrize("key", ["data.path", "callbacks.checkpoints.mirror", "resume", "runs_dir"])
@pytest.mark.parametrize("url", WITH_SECRETS[:2] + WITH_SECRETS[4:5])
def test_no_key_shows_a_secret(key: str, url: str) -> None:
    overrides = ["name=a", "max_steps=1", "data.path=corpus"]
    with pytest.raises((ConfigError, ValidationError)) as caught:
        check_components(train_config(*overrides, f"{key}='{url}'"))
    error = caught.value
    message = of_validation(error) if isinstance(error, ValidationError) else str(error)
    assert SECRET not in message
    assert key in message


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/corpus",
        "gs://bucket/corpus/",
        "az://container/corpus",
        "abfs://container@account.dfs.core.windows.net/corpus",
        "hf://datasets/user/name@main/corpus",
        "https://server:8080/a.txt?download=true",
        "s3://bucket/part-?.txt",
        "s3://bucket/a b.txt",
    ],
)
def test_a_url_without_secrets_is_taken(url: str) -> None:
    assert problem_of(url) is None
    assert shown(url) == url or "download" in url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("file:///data/corpus", "write /data/corpus without the scheme"),
        ("local://data/corpus", "write data/corpus without the scheme"),
        ("zip://a.txt::s3://bucket/a.zip", "chain of URLs"),
        ("s3:///corpus", "no bucket after s3://"),
        ("https:///corpus", "no server after https://"),
    ],
)
def test_other_urls_are_refused(url: str, problem: str) -> None:
    found = problem_of(url)
    assert found is not None and problem in found


def test_names_are_joined_and_taken_apart() -> None:
    assert join("s3://bucket/a/", "b", "c.txt") == "s3://bucket/a/b/c.txt"
    assert name_of("s3://bucket/a/b.txt") == "b.txt"
    assert name_of("s3://bucket/a/b/") == "b"
    assert name_of("https://server/a.txt?download=true") == "a.txt"
