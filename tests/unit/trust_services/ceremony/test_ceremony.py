"""The root's ceremony, with a token in software."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from trust_services.ceremony import isolation, perform, records, shares
from trust_services.ceremony.replay import replay
from trust_services.refusal import Refusal
from trust_services.signing import SigningKey

if TYPE_CHECKING:
    from .conftest import Rig


def openssl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_first_ceremony_makes_the_root(rig: Rig) -> None:
    record = rig.hold()
    root = records.load_certificate(record / "root.crt")
    assert root.subject.rfc4514_string() == "CN=Site Root CA,O=Site,C=BJ"
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 1
    assert openssl("verify", "-CAfile", str(record / "root.crt"), str(record / "root.crt")).returncode == 0
    text = json.loads((record / "transcript.json").read_text(encoding="utf-8"))
    assert text["witnesses"] == ["Auditor", "Security officer"]
    assert text["isolation"]["connecting elsewhere"] == "ENETUNREACH"
    assert text["software"]["cryptography"]
    assert [step["action"] for step in text["steps"]][:3] == [
        "no network",
        "secret shared",
        "token initialized",
    ]


def test_rsa_root(rig: Rig) -> None:
    """What the production sites want."""
    rig.agenda["root"]["key"] = "rsa-4096"
    record = rig.hold()
    public = records.load_certificate(record / "root.crt").public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == 4096
    replay(rig.place.records, rig.said.append)


def test_authority_is_certified(rig: Rig, key: SigningKey) -> None:
    rig.ask(key)
    record = rig.hold()
    done = openssl(
        "verify", "-x509_strict", "-crl_check", "-CRLfile", str(record / "root.crl"),
        "-attime", str(int(rig.time.timestamp())),
        "-CAfile", str(record / "root.crt"), str(record / "trust-services.crt"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = records.load_certificate(record / "trust-services.crt")
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert made.public_key() == key.public_key()


def test_authority_never_outlives_the_root(rig: Rig) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    rig.ask(other, authority="infrastructure-tls", common_name="Site TLS CA")
    record = rig.hold()
    root, made = (records.load_certificate(record / name) for name in ("root.crt", "infrastructure-tls.crt"))
    assert made.not_valid_after_utc == root.not_valid_after_utc


def test_transcript_is_checked_with_openssl_alone(rig: Rig, tmp_path: Path) -> None:
    record = rig.hold()
    public = openssl("x509", "-in", str(record / "root.crt"), "-noout", "-pubkey").stdout
    (tmp_path / "root.pub").write_text(public, encoding="utf-8")
    command = ["dgst", "-sha384", "-verify", str(tmp_path / "root.pub"), "-signature"]
    command += [str(record / "transcript.json.sig"), str(record / "transcript.json")]
    assert openssl(*command).stdout == "Verified OK\n"
    with (record / "transcript.json").open("a", encoding="utf-8") as file:
        file.write(" ")
    assert openssl(*command).returncode != 0


def test_later_ceremony_needs_shares_of_enough_custodians(rig: Rig, key: SigningKey) -> None:
    rig.hold()
    rig.ask(key)
    away = rig.place.shares / shares.file_name("Ministry")
    away.unlink()
    record = rig.hold()
    assert record.name == "0002"
    assert json.loads((record / "transcript.json").read_text())["custodians"] == [
        "Network operations",
        "Internal audit",
    ]
    rig.clear()
    (rig.place.shares / shares.file_name("Internal audit")).unlink()
    before = state(rig.place.records)
    with pytest.raises(Refusal, match=r"1 of 2 shares") as refused:
        rig.hold()
    assert "Internal audit, Ministry" in refused.value.next_step
    assert state(rig.place.records) == before


def test_mistyped_share_is_told_without_its_words(rig: Rig) -> None:
    rig.hold()
    path = rig.place.shares / shares.file_name("Network operations")
    words = path.read_text(encoding="utf-8").splitlines()
    changed = words[1].split()
    changed[7] = "academic" if changed[7] != "academic" else "acid"
    path.write_text(f"{words[0]}\n{' '.join(changed)}\n", encoding="utf-8")
    with pytest.raises(Refusal, match="mistake") as refused:
        rig.hold()
    # The whole sentence: a share may hold one of its words by chance, so looking for words finds them at times.
    assert refused.value.message == "the shares don't fit together, or one has a mistake in it"
    assert refused.value.next_step == "type the share again, word by word"
    # A trace would print the library's message, which quotes the share.
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_no_secret_is_in_the_records_or_told(rig: Rig, key: SigningKey) -> None:
    rig.ask(key)
    rig.hold()
    pins, _ = shares.recover(rig.place.shares, rig.agenda["custodians"], 2)
    everything = b"".join(state(rig.place.records).values()) + "\n".join(rig.said).encode()
    for secret in (pins.user, pins.officer, *(path.read_text() for path in rig.place.shares.glob("*"))):
        assert secret.strip().splitlines()[-1].encode() not in everything
    assert b"PRIVATE" not in everything


def test_fewer_shares_than_needed_tell_nothing(rig: Rig) -> None:
    """One share alone combines to nothing."""
    rig.hold()
    [words] = [(rig.place.shares / shares.file_name("Ministry")).read_text(encoding="utf-8").splitlines()[1]]
    with pytest.raises(Refusal):
        shares._combined([words])


def test_renewal_for_the_same_and_for_a_new_key(rig: Rig, key: SigningKey) -> None:
    rig.ask(key)
    first = rig.hold()
    rig.clear()
    rig.ask(key, kind="renew", certificate=rig.fingerprint(first))
    second = rig.hold()
    rig.clear()
    new = ec.generate_private_key(ec.SECP256R1())
    rig.ask(key, kind="renew", certificate=rig.fingerprint(second), csr_key=new)
    third = rig.hold()
    made = [records.load_certificate(record / "trust-services.crt") for record in (first, second, third)]
    assert made[0].public_key() == made[1].public_key() == key.public_key()
    assert made[2].public_key() == new.public_key()
    assert len({certificate.serial_number for certificate in made}) == 3
    assert replay(rig.place.records, rig.said.append) == 7


def test_renewal_is_signed_by_the_present_key(rig: Rig, key: SigningKey) -> None:
    """A thief of nothing can't have a key of his own certified."""
    rig.ask(key)
    first = rig.hold()
    rig.clear()
    thief = ec.generate_private_key(ec.SECP256R1())
    rig.ask(thief, kind="renew", certificate=rig.fingerprint(first))
    with pytest.raises(Refusal, match="isn't of the key that must sign it"):
        rig.hold()


def test_revocation(rig: Rig, key: SigningKey) -> None:
    rig.ask(key)
    first = rig.hold()
    rig.clear()
    rig.ask(key, kind="revoke", csr=None, certificate=rig.fingerprint(first), reason="key_compromise")
    second = rig.hold()
    listed = x509.load_pem_x509_crl((second / "root.crl").read_bytes())
    [entry] = list(listed)
    made = records.load_certificate(first / "trust-services.crt")
    assert entry.serial_number == made.serial_number
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.name == "key_compromise"
    number = listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert number == 2
    done = openssl(
        "verify", "-crl_check", "-CRLfile", str(second / "root.crl"), "-CAfile", str(second / "root.crt"),
        "-attime", str(int(rig.time.timestamp())), str(first / "trust-services.crt"),
    )  # fmt: skip
    assert "certificate revoked" in done.stdout + done.stderr


def test_quorum_revokes_what_nobody_can_sign_for(rig: Rig, key: SigningKey) -> None:
    rig.ask(key)
    first = rig.hold()
    rig.clear()
    path = rig.ask(
        ec.generate_private_key(ec.SECP256R1()),
        kind="revoke", csr=None, certificate=rig.fingerprint(first), reason="key_compromise",
    )  # fmt: skip
    with pytest.raises(Refusal, match="must sign it"):
        rig.hold()
    record = rig.hold(by_quorum=[path.name])
    assert "by the quorum's decision" in (record / "transcript.json").read_text(encoding="utf-8")
    assert replay(rig.place.records, rig.said.append) == 4


def test_quorum_certifies_nothing(rig: Rig, key: SigningKey) -> None:
    path = rig.ask(key)
    with pytest.raises(Refusal, match="revocations only"):
        rig.hold(by_quorum=[path.name])


def test_new_authority_after_a_compromise_needs_a_new_name(rig: Rig, key: SigningKey) -> None:
    """Two authorities of one name: an X-Road server may take the wrong one."""
    rig.ask(key)
    first = rig.hold()
    rig.clear()
    rig.ask(key, kind="revoke", csr=None, certificate=rig.fingerprint(first), reason="key_compromise")
    rig.hold()
    rig.clear()
    new = ec.generate_private_key(ec.SECP256R1())
    rig.ask(new)
    with pytest.raises(Refusal, match="was certified before"):
        rig.hold()
    rig.clear()
    rig.agenda["authorities"]["trust-services"]["common_name"] = "Site Trust CA G2"
    rig.ask(new)
    rig.hold()
    assert replay(rig.place.records, rig.said.append) == 6


def test_next_generation_in_good_order(rig: Rig, key: SigningKey) -> None:
    """The present authority signs for one of another name; the way back to an earlier name is closed."""
    rig.ask(key)
    first = rig.hold()
    rig.clear()
    new = ec.generate_private_key(ec.SECP256R1())
    rig.agenda["authorities"]["trust-services"]["common_name"] = "Site Trust CA G2"
    rig.ask(key, kind="renew", certificate=rig.fingerprint(first), csr_key=new)
    second = rig.hold()
    made = records.load_certificate(second / "trust-services.crt")
    assert made.public_key() == new.public_key()
    assert "Site Trust CA G2" in made.subject.rfc4514_string()
    rig.clear()

    rig.agenda["authorities"]["trust-services"]["common_name"] = "Site Trust CA"
    again = ec.generate_private_key(ec.SECP256R1())
    rig.ask(new, kind="renew", certificate=rig.fingerprint(second), csr_key=again)
    with pytest.raises(Refusal, match="was certified before"):
        rig.hold()
    assert len(records.load(rig.place.records).certificates("trust-services")) == 2


def test_request_is_granted_once(rig: Rig, key: SigningKey) -> None:
    rig.ask(key)
    first = rig.hold()
    rig.clear()
    renewal = rig.ask(key, kind="renew", certificate=rig.fingerprint(first))
    rig.hold()
    assert renewal.exists()
    with pytest.raises(Refusal, match="already took it"):
        rig.hold()


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"authority": "payroll", "common_name": "x"}, "isn't one of the site's"),
        ({"kind": "renew"}, "has no certificate to renew"),
        ({"kind": "revoke", "reason": "superseded"}, "has no certificate to revoke"),
        ({"csr": None}, "can't be made without one"),
        ({"csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"}, ".json: "),
        ({"common_name": "Site Root CA"}, "its subject is"),
        ({"csr_key": ec.generate_private_key(ec.SECP256R1())}, "must sign it"),
        ({"csr_key": ec.generate_private_key(ec.SECP384R1())}, "the estate wants ec-p256"),
        ({"csr_key": rsa.generate_private_key(65537, 2048)}, "its key is rsa-2048"),
    ],
)
def test_wrong_request_is_refused_before_anything_is_made(
    rig: Rig, key: SigningKey, changed: dict[str, Any], cause: str
) -> None:
    path = rig.ask(key, **changed)
    with pytest.raises(Refusal, match=cause) as refused:
        rig.hold()
    assert path.name in refused.value.message
    assert not list(rig.place.records.glob("0*"))
    assert not rig.place.shares.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"kind": "issue"}', b"\xff\xfe", b"x" * 70_000])
def test_garbage_is_refused_with_its_file(rig: Rig, content: bytes) -> None:
    rig.requests.mkdir(parents=True)
    (rig.requests / "trust-services-x.json").write_bytes(content)
    with pytest.raises(Refusal, match=r"trust-services-x\.json"):
        rig.hold()


def test_unsigned_and_changed_requests(rig: Rig, key: SigningKey) -> None:
    path = rig.ask(key)
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(Refusal, match="must sign it"):
        rig.hold()
    path.with_name(path.name + ".sig").unlink()
    with pytest.raises(Refusal, match="nobody signed"):
        rig.hold()


def test_two_requests_of_one_authority(rig: Rig, key: SigningKey) -> None:
    first = rig.ask(key)
    shutil.copy(first, first.with_name("trust-services-again.json"))
    shutil.copy(f"{first}.sig", first.with_name("trust-services-again.json.sig"))
    with pytest.raises(Refusal, match="asks twice"):
        rig.hold()


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"threshold": 4}, "4 shares of 3"),
        ({"threshold": 1}, "threshold"),
        ({"custodians": ["Internal audit", "internal-audit"]}, "same name"),
        ({"witnesses": []}, "witnesses"),
        ({"country": "Benin"}, "country"),
        ({"root": {"common_name": "R", "key": "rsa-3072", "lifetime_days": 1}}, "root.key"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_wrong_agenda_is_refused(rig: Rig, changed: dict[str, Any], cause: str) -> None:
    rig.agenda |= changed
    with pytest.raises(Refusal, match=cause):
        rig.hold()


def test_clock_before_the_last_ceremony(rig: Rig) -> None:
    rig.hold()
    rig.time -= timedelta(days=3)
    with pytest.raises(Refusal, match="before the last ceremony's end"):
        rig.hold()


def test_place_with_a_network_is_refused() -> None:
    """This machine has one, if only to the package registries."""
    with pytest.raises(Refusal, match="a network is here"):
        isolation.prove()


class Killed(BaseException):
    """Stands for a kill -9: nothing may catch it."""


STEPS = ["secret shared", "token initialized", "root key made", "root certified", "trust-services certified"]


@pytest.mark.parametrize("step", [*STEPS, "revocation list issued", "transcript"])
def test_interrupted_creation_is_made_again(rig: Rig, key: SigningKey, step: str) -> None:
    rig.ask(key)

    def tell(text: str) -> None:
        if text.startswith(step) and step != "transcript":
            raise Killed

    rig.place.inbox.mkdir(exist_ok=True)
    (rig.place.inbox / "agenda.json").write_text(json.dumps(rig.agenda), encoding="utf-8")
    if step == "transcript":
        original, records.writing = records.writing, _killing(records.writing)  # type: ignore[assignment]
        try:
            with pytest.raises(Killed):
                perform.perform(rig.place, tell)
        finally:
            records.writing = original
    else:
        with pytest.raises(Killed):
            perform.perform(rig.place, tell)
    assert not list(rig.place.records.glob("0*"))
    record = rig.hold()
    assert record.name == "0001"
    assert replay(rig.place.records, rig.said.append) == 3
    rig.clear()
    rig.ask(key, kind="renew", certificate=rig.fingerprint(record))
    assert rig.hold().name == "0002"


def _killing(writing: Any) -> Any:
    """`records.writing`, killed when all files are written and the folder isn't in its place."""
    from contextlib import contextmanager

    @contextmanager
    def killed(folder: Path, number: int) -> Any:
        with writing(folder, number) as new:
            yield new
            raise Killed

    return killed


def test_lost_records_are_not_a_reason_to_make_a_new_root(rig: Rig) -> None:
    """Whoever forgets to bring the records mustn't lose the root."""
    rig.hold()
    tokens = state(rig.place.shares)
    shutil.move(rig.place.records, rig.place.records.with_name("elsewhere"))
    with pytest.raises(Refusal, match="no record of its making"):
        rig.hold()
    assert state(rig.place.shares) == tokens


def test_token_of_another_root(rig: Rig, tmp_path: Path) -> None:
    rig.hold()
    pins, _ = shares.recover(rig.place.shares, rig.agenda["custodians"], 2)
    place = rig.place
    from trust_services.token import TokenPlace

    token = TokenPlace(rig.agenda["token"]["library"], "root")
    token.initialize(pins.officer, pins.user)
    with pytest.raises(Refusal, match="doesn't hold the key of the root"):
        rig.hold()
    with token.open(pins.user) as opened:
        opened.generate("root", "ec-p384")
    with pytest.raises(Refusal, match="doesn't hold the key of the root"):
        rig.hold()
    assert [path.name for path in sorted(place.records.glob("0*"))] == ["0001"]


@pytest.mark.parametrize(
    "file",
    ["root.crt", "root.crl", "agenda.json", "transcript.json", "transcript.json.sig", "trust-services.crt"],
)
def test_changed_record_is_noticed(rig: Rig, key: SigningKey, file: str) -> None:
    rig.ask(key)
    record = rig.hold()
    rig.clear()
    (record / file).write_bytes((record / file).read_bytes()[:-9] + b"tampered\n")
    with pytest.raises(Refusal, match=str(record.name)):
        replay(rig.place.records, rig.said.append)
    with pytest.raises(Refusal):
        rig.hold()


def test_lost_record_is_noticed(rig: Rig) -> None:
    for _ in range(3):
        rig.hold()
    shutil.rmtree(rig.place.records / "0002")
    with pytest.raises(Refusal, match="record of ceremony 2 is missing"):
        records.load(rig.place.records)


def test_replay_finds_what_the_inputs_do_not_explain(rig: Rig, key: SigningKey) -> None:
    """A root's key that is misused, with a transcript that it signed to cover it, is found all the same."""
    rig.ask(key)
    record = rig.hold()
    rig.clear()
    pins, _ = shares.recover(rig.place.shares, rig.agenda["custodians"], 2)
    from trust_services.ceremony import certificates, requests
    from trust_services.ceremony.agenda import Agenda
    from trust_services.ceremony.transcript import Transcript, sha256

    text = Transcript.model_validate_json((record / "transcript.json").read_bytes())
    entry = next(issued for issued in text.issued if issued.kind == "authority")
    agenda = Agenda.model_validate(rig.agenda)
    with agenda.token.place().open(pins.user) as token:
        root_key = token.key("root")
        assert root_key is not None
        other = ec.generate_private_key(ec.SECP256R1()).public_key()
        term = certificates.Term(entry.serial or 0, entry.begins, entry.ends)
        root = records.load_certificate(record / "root.crt")
        forged = certificates.authority(agenda, "trust-services", other, root, root_key, term)
        perform._pem(record / "trust-services.crt", forged)
        changed = [issued.model_copy(update={"digest": sha256(record / issued.file)}) for issued in text.issued]
        covered = text.model_copy(update={"issued": tuple(changed)}).model_dump_json(indent=2).encode()
        (record / "transcript.json").write_bytes(covered)
        (record / "transcript.json.sig").write_bytes(requests.sign(root_key, covered))
    records.load(rig.place.records)
    with pytest.raises(Refusal, match=r"isn't the root's over what the inputs make"):
        replay(rig.place.records, rig.said.append)


def test_keys_in_a_token_stay_there(rig: Rig) -> None:
    rig.hold()
    pins, _ = shares.recover(rig.place.shares, rig.agenda["custodians"], 2)
    from cryptography.hazmat.primitives import serialization

    from trust_services.token import TokenPlace

    with TokenPlace(rig.agenda["token"]["library"], "root").open(pins.user) as token:
        key = token.key("root")
        assert key is not None
        with pytest.raises(Refusal):
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        with pytest.raises(Refusal):
            key.private_numbers()
        with pytest.raises(Refusal, match="already has a key"):
            token.generate("root", "ec-p384")


def test_wrong_pin_and_missing_token(rig: Rig) -> None:
    from trust_services.token import TokenPlace

    rig.hold()
    library = rig.agenda["token"]["library"]
    with pytest.raises(Refusal, match="refuses the PIN"), TokenPlace(library, "root").open("wrong-pin"):
        pass
    with pytest.raises(Refusal, match="no token 'absent'"), TokenPlace(library, "absent").open("x"):
        pass
    with pytest.raises(Refusal, match="can't be used"), TokenPlace("/nowhere.so", "root").open("x"):
        pass
