"""Letters to put into mailboxes: made up, small, and each good for something."""

import zlib


def letter(subject: str = "Bonjour", text: str = "Cher confrère,\r\n", **fields: str) -> bytes:
    """A letter of plain text. `fields` replace or add header fields, `_` in their names for `-`."""
    header = {
        "From": "Claire Martin <claire@nord.mssante.fr>",
        "To": "karim@sud.mssante.fr",
        "Subject": subject,
        "Date": "Sun, 1 Mar 2026 12:00:00 +0100",
        "Message-ID": f"<{zlib.crc32(f'{subject} {text}'.encode())}@nord.mssante.fr>",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "8bit",
    } | {name.replace("_", "-"): value for name, value in fields.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in header.items())
    return (lines + "\r\n" + text).encode()


# Parts: 1 text/plain, 2 message/rfc822 (2.1 text, 2.2 image), 3 application/pdf in base64.
NESTED = b"""\
From: "Dr Claire Martin" <claire@nord.mssante.fr>
Sender: secretariat@nord.mssante.fr
Reply-To: reponses@nord.mssante.fr
To: Karim Benali <karim@sud.mssante.fr>, awa@sud.mssante.fr
Cc: =?utf-8?q?Lucie_Lef=C3=A8vre?= <lucie@sud.mssante.fr>
Subject: =?utf-8?b?UmFkaW8gZGUgY29udHLDtGxl?=
Date: Sun, 1 Mar 2026 12:00:00 +0100
Message-ID: <imbrique@nord.mssante.fr>
In-Reply-To: <avant@sud.mssante.fr>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="dehors"

preamble
--dehors
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Cher confr=C3=A8re,
voici la radio.
--dehors
Content-Type: message/rfc822
Content-Description: lettre jointe

From: awa@sud.mssante.fr
To: claire@nord.mssante.fr
Subject: Dedans
Date: Sat, 28 Feb 2026 09:30:00 +0000
Message-ID: <dedans@sud.mssante.fr>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="dedans"

--dedans
Content-Type: text/plain

Interieur
--dedans
Content-Type: image/png; name="dent.png"
Content-Transfer-Encoding: base64
Content-ID: <dent@sud>
Content-Disposition: inline; filename="dent.png"

iVBORw0KGgo=
--dedans--
--dehors
Content-Type: application/pdf; name="cr.pdf"
Content-Disposition: attachment; filename="cr.pdf"
Content-Transfer-Encoding: base64
Content-Language: fr
Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==

JVBERi0xLjQ=
--dehors--
""".replace(b"\n", b"\r\n")
