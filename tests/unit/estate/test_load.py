"""What a person is told about a wrong file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from estate import EstateError, load, load_secret, sites
from estate.load import SITES


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A copy of the lab's files to damage."""
    shutil.copytree(SITES / "lab", tmp_path / "lab")
    return tmp_path / "lab"


def refusal(folder: Path) -> list[str]:
    """The problems of a folder as `file:line: message [value]`, file names only."""
    with pytest.raises(EstateError) as caught:
        load(folder)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def replace(path: Path, old: str, new: str) -> int:
    """Replace the first `old` in a file and return its line."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_every_site_loads() -> None:
    """The sites of this repository are valid."""
    assert sites() == ["lab", "production", "staging"]
    for site in sites():
        assert load(site).site.name == site


def test_unknown_key_names_file_line_and_key(lab: Path) -> None:
    """A misspelt key is refused where it stands."""
    line = replace(lab / "cluster.yml", "  cgroup_driver: cgroupfs", "  cgroup_driver: cgroupfs\n  colour: red")

    assert [f"cluster.yml:{line + 1}: unknown key 'colour' [red]"] == refusal(lab)


def test_wrong_type_names_the_value(lab: Path) -> None:
    """A word where an address belongs is shown."""
    line = replace(lab / "hosts.yml", "10.80.20.11", "ten-eighty")

    assert refusal(lab) == [f"hosts.yml:{line}: Input is not a valid IPv4 address [ten-eighty]"]


def test_duplicate_address_names_the_second_host(lab: Path) -> None:
    """Rules across the estate also name file and line."""
    line = replace(lab / "hosts.yml", "10.80.10.12", "10.80.10.11")

    assert refusal(lab) == [f"hosts.yml:{line}: address 10.80.10.11 is used twice [10.80.10.11]"]


def test_all_problems_are_told_at_once(lab: Path) -> None:
    """Nobody repairs ten lines in ten runs."""
    replace(lab / "hosts.yml", "10.80.20.11", "x")
    replace(lab / "network.yml", "10.80.20.0/24", "y")

    assert len(refusal(lab)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hosts: [", "not YAML"),
        ("- a\n- b\n", "the file must be a mapping of topics"),
        ("site: {name: a, name: b}", "'name' stands twice"),
    ],
)
def test_files_that_are_not_estates(lab: Path, text: str, message: str) -> None:
    """Syntax errors, lists and repeated keys are refused with the file's name."""
    (lab / "extra.yml").write_text(text)

    assert any(line.startswith("extra.yml:") and message in line for line in refusal(lab))


def test_a_topic_has_one_home(lab: Path) -> None:
    """The same topic in two files is refused: one fact would stand twice."""
    (lab / "zzz.yml").write_text("portal:\n  node_port: 30080\n")

    assert refusal(lab) == ["zzz.yml:1: 'portal' stands in platform.yml already [portal]"]


def test_missing_topic_is_named(lab: Path) -> None:
    """A site without a trust hierarchy isn't a site."""
    (lab / "trust.yml").unlink()

    assert any("'trust' is missing" in line for line in refusal(lab))


def test_binary_file_is_refused(lab: Path) -> None:
    """Garbage doesn't end in a traceback."""
    (lab / "noise.yml").write_bytes(b"\xff\xfe\x00\x01")

    assert any(line.startswith("noise.yml") for line in refusal(lab))


def test_unknown_site_lists_the_known(tmp_path: Path) -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(EstateError, match="there are: lab, production, staging"):
        load("nirvana")


def test_overlay_moves_every_address(tmp_path: Path) -> None:
    """A second lab has no address of the first."""
    overlay = tmp_path / "overlay.yml"
    overlay.write_text("network: 10.81.0.0/16\nimages: {portal: 'sha256:" + "a" * 64 + "'}\n")

    estate = load("lab", overlay)

    assert "10.80." not in estate.model_dump_json()
    assert str(estate.host("ca1").address) == "10.81.20.11"
    assert estate.image_reference("portal") == (
        "registry1.lab.smartgouv.test:5000/smartgouv/portal@sha256:" + "a" * 64
    )


def test_overlay_tells_which_authorities_were_replaced(tmp_path: Path) -> None:
    """A lab's drills don't change the site's files; the next authority has another name."""
    overlay = tmp_path / "overlay.yml"
    overlay.write_text("generations: {infrastructure-tls: 2}\n")

    trust = load("lab", overlay).trust

    assert trust.infrastructure_tls.name == "SMARTGOUV Lab Infrastructure TLS CA G2"
    assert trust.trust_services.name == "SMARTGOUV Lab Trust Services CA"


def test_overlay_with_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    """With its file and line."""
    overlay = tmp_path / "overlay.yml"
    overlay.write_text("generations: {root: 2}\n")

    with pytest.raises(EstateError, match=r"overlay\.yml:1"):
        load("lab", overlay)


def test_missing_overlay_is_refused(tmp_path: Path) -> None:
    """A deployment that lost its overlay isn't taken for the site as written."""
    with pytest.raises(EstateError, match="the overlay file is missing"):
        load("lab", tmp_path / "gone.yml")


def test_missing_secret_names_file_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next step is in the message; a value never is."""
    monkeypatch.setenv("SMARTGOUV_SECRETS", str(tmp_path))

    with pytest.raises(LookupError, match=r"trust-services-pin.*smartgouv secrets generate"):
        load_secret("trust-services-pin")
