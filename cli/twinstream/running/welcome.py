"""What a person needs to know once everything is ready."""

from rich.text import Text

from localstack.profile import Profile
from twinstream.paths import shown


def welcome(profile: Profile) -> Text:
    """Addresses, the first key, and commands to paste; every line fits 80 columns where the path of the key does."""
    ingest, query = profile.url("ingest"), profile.url("query_api")
    text = Text()
    for name, value in (
        ("ingest", f"{ingest}  (docs: {ingest}/docs)"),
        ("query-api", f"{query}  (docs: {query}/docs)"),
        ("API key", f"in {shown(profile.key_file)}"),
        ("more", "./twinstream status | logs SERVICE | demo, in another terminal"),
    ):
        text.append(f"  {name:<11}", style="bold").append(f"{value}\n")
    text.append("\nTry it: send an A, send a B of it, look up the A and its B.\n\n")
    return text.append("\n".join(_curls(profile)), style="cyan").append("\n")


def _curls(profile: Profile) -> tuple[str, str, str]:
    ingest, query = profile.url("ingest"), profile.url("query_api")
    key = f'-H "Authorization: Bearer $(cat {shown(profile.key_file)})"'
    json = '-H "Content-Type: application/json"'
    return (
        _lines(
            f"curl {ingest}/v1/streams/a/records",
            key,
            json,
            """-d '{"unique_identifier": "a-1", "number": 1, "text": "Hello"}'""",
        ),
        _lines(
            f"curl {ingest}/v1/streams/b/records",
            key,
            json,
            """-d '{"unique_identifier": "b-1", "Stream_A_unique_identifier": "a-1",\n       """
            """"number": 2, "text": "World"}'""",
        ),
        _lines(f"curl {query}/v1/a/a-1 {query}/v1/a/a-1/b", key),
    )


def _lines(*parts: str) -> str:
    """One command of the shell, a part per line."""
    return " \\\n  ".join(parts)
