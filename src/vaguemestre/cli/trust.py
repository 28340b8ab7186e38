"""`vaguemestre trust`: check and look into an allow-list, sign one, and run a test authority.

Rule: this file reads arguments and prints; what is true is decided in `vaguemestre.trust`. Every command exits 0 (yes),
1 (the answer is no) or 2 (misuse); an error is one sentence in French, then in English, on standard error; with
`--json`, one object on standard output, refusals included.
"""

import gzip
import io
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from vaguemestre import app as composition
from vaguemestre import clock
from vaguemestre.cli.presentation import load, refusals
from vaguemestre.cli.presentation import show as show_facts
from vaguemestre.errors import ConfigurationError
from vaguemestre.trust import allowlist, certificates, names, publisher, signatures
from vaguemestre.trust.allowlist import MAX_BYTES, AllowList, Entry
from vaguemestre.trust.certificates import Authorities
from vaguemestre.trust.names import DistinguishedName
from vaguemestre.trust.publisher import Authority
from vaguemestre.trust.safekeeping import keep

app = typer.Typer(
    help="La liste blanche et l'autorité de l'espace de confiance / The allow-list and the authority.",
    no_args_is_help=True,
)
authority_app = typer.Typer(
    help="Une autorité de test du profil IGC-Santé / A test authority of the IGC-Santé profile.", no_args_is_help=True
)
app.add_typer(authority_app, name="authority")

OFFICIAL_SIGNER = "alb.mssante.fr"


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text} : date attendue, par exemple 2026-03-01 ou 2026-03-01T12:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
At = Annotated[datetime | None, typer.Option("--at", parser=_moment, metavar="DATE", help="As of this date (now).")]
Ca = Annotated[
    list[Path] | None, typer.Option("--ca", exists=True, dir_okay=False, help="Authorities: PEM, DER or PKCS #7.")
]
SignerCn = Annotated[str, typer.Option("--signer-cn", help="The signer's expected common name.")]
ListFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE", help="XML, or gzipped XML.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The authority's folder.")]


@app.command()
def verify(
    file: ListFile, ca: Ca = None, signer_cn: SignerCn = OFFICIAL_SIGNER, at: At = None, as_json: AsJson = False
) -> None:
    """Is this allow-list signed by the expected signer, whole, and well formed?"""
    hint = "Aucune autorité n'a été donnée : --ca. / No authority was given: --ca." if ca is None else ""
    with refusals(as_json, hint):
        signed = signatures.verify(_read(file), _authorities(ca), signer_cn, at or clock.now())
        listed = allowlist.parse(signed.content)
        leaf = signed.chain.leaf
        facts = {
            **_summary(listed),
            "signer": certificates.subject_text(leaf),
            "signer_issuer": leaf.issuer.rfc4514_string(),
            "signer_valid_until": signed.chain.not_after.isoformat(),
        }
    lines = [
        "Liste blanche valable / The allow-list is good.",
        f"  signataire      {facts['signer']}",
        f"  émis par        {facts['signer_issuer']}",
        f"  jusqu'au        {facts['signer_valid_until']}",
        *_summary_lines(listed),
    ]
    show_facts(as_json, {"ok": True, **facts}, lines)


@app.command()
def show(
    domain: str,
    file: Annotated[
        Path | None, typer.Option("--list", exists=True, dir_okay=False, metavar="FILE", help="Look into this list.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", envvar="VAGUEMESTRE_CONFIG", help="Or into an operator's, in force."),
    ] = None,
    ca: Ca = None,
    signer_cn: SignerCn = OFFICIAL_SIGNER,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Which certificate names may speak for DOMAIN? With --list and no --ca, the signature is not checked."""
    if file is None and config is None:
        raise typer.BadParameter("donnez --config ou --list / give --config or --list")
    with refusals(as_json):
        listed = (
            _in_force(config) if config is not None and file is None else _listed(file or Path(), ca, signer_cn, at)
        )
    checked = ca is not None or file is None
    found = listed.entries_for(domain) if listed.names_for(domain) is not None else ()
    facts = {
        "ok": bool(found),
        "domain": domain.lower(),
        "signature_checked": checked,
        "generated": listed.generated.isoformat(),
        "entries": [_entry_facts(item) for item in found],
    }
    if found:
        lines = [f"{domain.lower()} : liste du / list of {listed.generated:%Y-%m-%d}"]
        lines += [f"  {item.name_text}" + (f"  ({item.updated:%Y-%m-%d})" if item.updated else "") for item in found]
    else:
        lines = [
            f"{domain} n'est pas dans la liste blanche du {listed.generated:%d/%m/%Y}.",
            f"{domain} is not in the allow-list of {listed.generated:%Y-%m-%d}.",
        ]
    if not checked:
        lines.append("Signature non vérifiée : donnez --ca. / Signature not checked: give --ca.")
    show_facts(as_json, facts, lines)
    if not found:
        raise typer.Exit(1)


@app.command()
def sign(
    file: ListFile,
    cert: Annotated[Path, typer.Option("--cert", exists=True, dir_okay=False, help="The signer's certificate, PEM.")],
    key: Annotated[Path, typer.Option("--key", exists=True, dir_okay=False, help="Its private key, PEM.")],
    out: Annotated[Path, typer.Option("--out", help="Where the signed list goes.")],
    as_json: AsJson = False,
) -> None:
    """Sign an allow-list, replacing a former signature."""
    with refusals(as_json):
        data = _read(file)
        listed = allowlist.parse(data)
        signed = signatures.sign(data, _certificate(cert), _private_key(key))
        keep(out, signed, 0o644)
    facts = {"ok": True, "out": str(out), **_summary(listed)}
    show_facts(as_json, facts, [f"Liste signée / Signed list: {out}", *_summary_lines(listed)])


@authority_app.command("create")
def create(
    folder: Folder,
    crl_url: Annotated[str, typer.Option(help="CRL address written in certificates.")] = "",
    ocsp_url: Annotated[str, typer.Option(help="OCSP address written in certificates.")] = "",
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Create a root, an issuing authority and a list signer, with empty CRLs."""
    with refusals(as_json):
        authority = Authority.create(folder, at or clock.now(), crl_url, ocsp_url)
        facts = {
            "ok": True,
            "folder": str(folder),
            "authorities": str(folder / "authorities.pem"),
            "signer": certificates.subject_text(authority.signer.certificate),
            "signer_cn": publisher.SIGNER_CN,
        }
    lines = [
        f"Autorité créée / Authority created: {folder}",
        f"  à configurer chez les opérateurs / for operators: --ca {facts['authorities']}",
        f"  --signer-cn {publisher.SIGNER_CN}",
    ]
    show_facts(as_json, facts, lines)


@authority_app.command("issue")
def issue(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="Writes OUT.pem (with its issuer) and OUT.key.")],
    dn: Annotated[str, typer.Option("--dn", help="Whole name: CN=…,OU=…,O=…,ST=…,C=….")] = "",
    cn: Annotated[str, typer.Option("--cn", help="Common name, completed by --ou, --o, --st.")] = "",
    ou: Annotated[str, typer.Option("--ou", help="1 + FINESS or 3 + SIRET.")] = "300000000000000",
    o: Annotated[str, typer.Option("--o", help="Organisation.")] = "ORGANISATION DE TEST",
    st: Annotated[str, typer.Option("--st", help="Département.")] = "Paris (75)",
    domain: Annotated[list[str] | None, typer.Option("--domain", help="Host names; the CN by default.")] = None,
    not_before: Annotated[datetime | None, typer.Option(parser=_moment, metavar="DATE")] = None,
    not_after: Annotated[datetime | None, typer.Option(parser=_moment, metavar="DATE")] = None,
    as_json: AsJson = False,
) -> None:
    """Issue an operator's certificate and its private key."""
    if bool(dn) == bool(cn):
        raise typer.BadParameter("donnez --dn ou --cn / give --dn or --cn")
    with refusals(as_json):
        authority = Authority.open(folder)
        name = names.parse(dn) if dn else names.parse(f"CN={cn},OU={ou},O={o},ST={st},C=FR")
        begins = not_before or clock.now()
        life = begins, not_after or begins + publisher.LEAF_LIFE
        if life[1] <= life[0]:
            raise typer.BadParameter("--not-after précède --not-before / --not-after comes before --not-before")
        issued = authority.issue(name, domain or [name.value("CN")], life)
        issued.write(
            out.with_name(out.name + ".pem"), out.with_name(out.name + ".key"), [authority.issuing.certificate]
        )
        facts = {
            "ok": True,
            "subject": certificates.subject_text(issued.certificate),
            "serial": f"{issued.certificate.serial_number:x}",
            "sha256": certificates.fingerprint(issued.certificate),
            "valid_until": issued.certificate.not_valid_after_utc.isoformat(),
            "certificate": f"{out}.pem",
            "key": f"{out}.key",
        }
    show_facts(as_json, facts, [f"Certificat émis / Certificate issued: {facts['subject']}", f"  {out}.pem, {out}.key"])


@authority_app.command("revoke")
def revoke(
    folder: Folder,
    certificate: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="CERTIFICATE")],
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a certificate and publish the CRLs."""
    with refusals(as_json):
        authority = Authority.open(folder)
        taken_back = _certificate(certificate)
        authority.revoke(taken_back, at or clock.now())
        authority.publish_crls(at or clock.now())
    subject = certificates.subject_text(taken_back)
    facts = {"ok": True, "subject": subject, "serial": f"{taken_back.serial_number:x}"}
    show_facts(as_json, facts, [f"Certificat révoqué / Certificate revoked: {subject}"])


@authority_app.command("crl")
def crl(folder: Folder, at: At = None, as_json: AsJson = False) -> None:
    """Publish fresh CRLs, due again in a week."""
    with refusals(as_json):
        Authority.open(folder).publish_crls(at or clock.now())
    paths = [str(folder / name) for name in ("root.crl", "issuing.crl")]
    show_facts(as_json, {"ok": True, "crls": paths}, ["Listes de révocation / CRLs:", *(f"  {path}" for path in paths)])


@authority_app.command("publish")
def publish(
    folder: Folder,
    add: Annotated[list[str] | None, typer.Option("--add", metavar="DOMAIN=DN", help="Repeat as needed.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", metavar="DOMAIN[=DN]", help="Removals first.")] = None,
    adopt: Annotated[
        Path | None, typer.Option("--import", exists=True, dir_okay=False, help="Add every entry of this list.")
    ] = None,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Edit the allow-list, date it and sign it."""
    with refusals(as_json):
        authority = Authority.open(folder)
        added = [*allowlist.parse(_read(adopt)).entries] if adopt else []
        added += [_to_add(text) for text in add or ()]
        signed = authority.publish(at or clock.now(), added, [_to_remove(text) for text in remove or ()])
        listed = allowlist.parse(signed)
    out = str(folder / "allow-list.xml")
    show_facts(
        as_json,
        {"ok": True, "out": out, **_summary(listed)},
        [f"Liste publiée / Published: {out}", *_summary_lines(listed)],
    )


def _in_force(config: Path) -> AllowList:
    in_force = composition.trusted_set(load(config)).in_force
    if in_force is None:
        raise ConfigurationError(
            "This operator has no allow-list in force. Run: vaguemestre doctor",
            "Cet opérateur n'a pas de liste blanche en vigueur. Lancez : vaguemestre doctor",
        )
    return in_force.allow_list


def _listed(file: Path, ca: list[Path] | None, signer_cn: str, at: datetime | None) -> AllowList:
    data = _read(file)
    if ca is not None:
        data = signatures.verify(data, _authorities(ca), signer_cn, at or clock.now()).content
    return allowlist.parse(data)


def _read(path: Path) -> bytes:
    """A list's bytes, unzipped where needed, and never more than a list may hold."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as unzipped:
            return unzipped.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise allowlist.malformed("gzip") from error


def _authorities(paths: list[Path] | None) -> Authorities:
    found = [certificates.load_authorities(path.read_bytes()) for path in paths or ()]
    return Authorities(tuple(certificate for item in found for certificate in item.certificates))


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise _not_pem(path) from error


def _private_key(path: Path) -> rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise _not_pem(path) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _not_pem(path)
    return key


def _not_pem(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is not what is expected here: a certificate, or an unencrypted RSA private key, in PEM.",
        f"{path} n'est pas ce qui est attendu : un certificat, ou une clé privée RSA non chiffrée, au format PEM.",
    )


def _to_add(text: str) -> Entry:
    domain, _, name = text.partition("=")
    item = allowlist.entry(domain, name)
    if item.name is None:
        names.parse(name)  # says what is wrong with it
    return item


def _to_remove(text: str) -> tuple[str, DistinguishedName | None]:
    domain, _, name = text.partition("=")
    return domain.lower(), names.parse(name) if name else None


def _summary(listed: AllowList) -> dict[str, Any]:
    return {
        "generated": listed.generated.isoformat(),
        "entries": len(listed.entries),
        "domains": len(listed.names),
        "names": len(listed.domains),
        "unreadable": [_entry_facts(item) for item in listed.unreadable],
    }


def _summary_lines(listed: AllowList) -> list[str]:
    unreadable = [f"  illisible       {item.domain} : {item.name_text}" for item in listed.unreadable]
    counts = f"{len(listed.entries)} entrées, {len(listed.names)} domaines, {len(listed.domains)} certificats"
    return [
        f"  générée le      {listed.generated:%Y-%m-%d %H:%M} UTC",
        f"  contenu         {counts}",
        *unreadable,
    ]


def _entry_facts(item: Entry) -> dict[str, str]:
    return {
        "domain": item.domain,
        "dn": item.name_text,
        "description": item.description,
        "updated": item.updated.isoformat() if item.updated else "",
    }
