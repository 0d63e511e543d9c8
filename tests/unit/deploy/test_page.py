"""docs/deploy.md, followed as far as a machine with no container or cluster allows: what it makes is what is read."""

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/deploy.md").read_text(), re.DOTALL)
KUBECTL = Path(sys.executable).with_name("kubectl")
# What is not here, or would reach out: a cluster is not asked, an engine is not there, nobody becomes somebody else.
STAND_INS = f"""
set -eu
kubectl() {{
    case "$*" in
    *' create secret '*) {KUBECTL} "$@" --dry-run=client -o json ;;
    esac
}}
openssl() {{ {sys.executable} -c 'import secrets, sys; print(secrets.token_hex(int(sys.argv[1])))' "$3"; }}
docker() {{ :; }}
sudo() {{ :; }}
curl() {{ :; }}
"""


def block(words: str) -> str:
    """The one that has these words in it."""
    (found,) = [one for one in BLOCKS if words in one]
    return found


def followed(script: str, folder: Path, **told: str) -> str:
    """What a shell says that does it, in a folder that stands for ours."""
    done = subprocess.run(  # noqa: S603  # our own page
        ["/bin/bash", "-c", STAND_INS + script], cwd=folder, env=told, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(said: str) -> dict[str, dict[str, str]]:
    """The Secrets that would be made, by their names."""
    decoder, found, rest = json.JSONDecoder(), {}, said.strip()
    while rest:
        one, end = decoder.raw_decode(rest)
        found[one["metadata"]["name"]] = {k: base64.b64decode(v).decode() for k, v in one["data"].items()}
        rest = rest[end:].strip()
    return found


def built(overlay: str) -> str:
    done = subprocess.run(  # noqa: S603
        [KUBECTL, "kustomize", ROOT / "deploy/k8s/overlays" / overlay], capture_output=True, text=True, check=True
    )
    return done.stdout


def read_of(overlay: str, secret: str) -> set[str]:
    """The keys of a Secret that some container or volume asks for."""

    def asked(value: Any) -> set[str]:
        if isinstance(value, list):
            return {key for one in value for key in asked(one)}
        if not isinstance(value, dict):
            return set()
        own = {value["key"]} if value.get("name") == secret and "key" in value else set()
        own |= {item["key"] for item in value.get("items", [])} if value.get("secretName") == secret else set()
        return own | asked(list(value.values()))

    return asked(list(yaml.safe_load_all(built(overlay))))


@pytest.mark.parametrize(
    ("overlay", "words"), [("dev", "kubectl create namespace"), ("prod", "twinstream-stores-ca")], ids=["dev", "prod"]
)
def test_the_secrets_that_are_made_are_those_that_are_read(overlay: str, words: str, tmp_path: Path) -> None:
    """By the commands of the page, to the last name of a key; nothing is made for nobody."""
    for file in ("mongo.crt", "redis.crt"):
        (tmp_path / file).write_text("a certificate")
    made = objects(followed(block(words), tmp_path, TWINSTREAM_KEY="tsk_of_the_block_before", PATH="/usr/bin:/bin"))
    assert set(made) == ({"twinstream"} if overlay == "dev" else {"twinstream", "twinstream-stores-ca"})
    for name, keys in made.items():
        assert set(keys) == read_of(overlay, name), name
    assert re.fullmatch(r"[0-9a-f]{64}", made["twinstream"]["TWINSTREAM_SECRET"])


def test_the_files_that_are_made_are_those_that_are_mounted(tmp_path: Path) -> None:
    """Beside docker-compose.elsewhere.yml: each secret's, and nobody else may read them."""
    shutil.copy(ROOT / ".env.example", tmp_path)
    followed(block("docker-compose.elsewhere.yml"), tmp_path, PATH="/usr/bin:/bin")
    asked = yaml.safe_load((ROOT / "docker-compose.elsewhere.yml").read_text())["secrets"]
    made = {path.name: path for path in (tmp_path / "secrets").iterdir()}
    assert {f"./secrets/{name}" for name in made} == {one["file"] for one in asked.values()}
    assert {path.stat().st_mode & 0o077 for path in made.values()} == {0}
    assert (tmp_path / "ca").is_dir()


def test_every_image_is_built_that_is_run() -> None:
    """By the loop of the page: one for each extra."""
    loop = re.search(r"for extra in ([\w -]+);", block("kubectl create namespace"))
    assert loop is not None
    run = set(re.findall(r"image: twinstream-([\w-]+):dev", built("dev")))
    assert set(loop[1].split()) == run


def test_what_is_applied_is_there() -> None:
    """Every folder and file that a command of any page names."""
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    shell = "\n".join(one for page in pages for one in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL))
    named = set(
        re.findall(r"(?:apply -k|--from-file=|-f|rules|python) ((?:deploy|tools|examples|docker)[\w./-]+)", shell)
    )
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []
