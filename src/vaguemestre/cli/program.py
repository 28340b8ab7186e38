"""The `vaguemestre` program: its sub-commands, one file each."""

import typer

from vaguemestre.cli import (
    account,
    database,
    demo,
    directory,
    directory_export,
    directory_import,
    directory_pull,
    directory_search,
    dns,
    doctor,
    enrolment,
    evidence,
    mailbox,
    publication,
    queue,
    send,
    serve,
    stats,
    transfer,
    trust,
)

program = typer.Typer(
    name="vaguemestre",
    help="Messagerie sécurisée de santé / Secure mail for health professionals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
program.command("demo")(demo.demo)
program.command("serve")(serve.serve)
program.command("send")(send.send)
program.command("doctor")(doctor.doctor)
program.command("dns")(dns.dns)
account.app.command("import")(transfer.import_)
account.app.command()(transfer.export)
account.app.command()(transfer.migrate)
directory.app.command("import")(directory_import.import_)
directory.app.command()(directory_import.status)
directory.app.command()(publication.publish)
directory.app.command()(publication.reconcile)
directory.app.command()(publication.report)
directory.app.command("ldap-password")(publication.ldap_password)
account.app.command()(publication.listing)
directory.app.command()(directory_search.search)
directory.app.command()(directory_pull.pull)
directory.app.command()(directory_export.export)
program.add_typer(account.app, name="account")
program.add_typer(mailbox.app, name="mailbox")
program.add_typer(enrolment.app, name="enrolment")
program.add_typer(queue.app, name="queue")
program.add_typer(evidence.app, name="evidence")
program.add_typer(database.app, name="db")
program.add_typer(directory.app, name="directory")
program.add_typer(stats.app, name="stats")
program.add_typer(trust.app, name="trust")
