package main

import (
	"encoding/base64"
	"fmt"
	"math/rand"
	"strings"
	"time"
)

// Words of letters. rare stands in one letter of a thousand, common in one of ten, each a word of its own.
const (
	rare   = "orthopantomogramme"
	common = "radiographie"
)

var words = strings.Fields(`bonjour patient dossier consultation examen clinique dentaire traitement rendez vous courrier
confrere consoeur suivi bilan sanguin tension glycemie ordonnance allergie antecedent intervention anesthesie locale
extraction molaire incisive canine carie gencive parodontie implant prothese couronne bridge appareil orthodontie
scanner echographie resultat normal anormal controle semaine mois annee urgence douleur fievre infection antibiotique
amoxicilline paracetamol ibuprofene posologie matin midi soir repas jour pendant apres avant avec sans pour dans chez
madame monsieur enfant adulte age taille poids cabinet hopital service docteur secretariat telephone adresse merci
cordialement salutations confraternelles piece jointe compte rendu demande avis specialiste cardiologie pneumologie
dermatologie ophtalmologie neurologie chirurgie pediatrie geriatrie medecine generale biologie laboratoire pharmacie`)

// subjects are words that no other word holds, so that all ways to match words find the same.
var subjects = strings.Fields("dossier consultation examen clinique courrier bilan ordonnance scanner echographie posologie")

var morning = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// text is French prose of about so many octets, in lines.
func text(chance *rand.Rand, size int) string {
	var b strings.Builder
	for width := 0; b.Len() < size; {
		word := words[chance.Intn(len(words))]
		b.WriteString(word)
		if width += len(word) + 1; width > 66 {
			b.WriteString("\r\n")
			width = 0
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// plain is a letter of text alone, about so many octets, the number-th of a seed.
func plain(seed int64, number, size int) []byte {
	chance := rand.New(rand.NewSource(seed<<32 + int64(number)))
	mark := ""
	if number%1000 == 7 {
		mark += rare + " "
	}
	if number%10 == 3 {
		mark += common + " "
	}
	return []byte(header(chance, number) + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + mark + text(chance, max(0, size-420)) + "\r\n")
}

// body is all of a mixed letter after its header's first lines: text and a PDF that is not one, about so many octets.
func body(chance *rand.Rand, size int) []byte {
	prose := text(chance, 1500)
	if chance.Intn(10) == 0 {
		prose += common + "\r\n"
	}
	raw := make([]byte, max(0, size-2300)*3/4)
	chance.Read(raw)
	encoded := base64.StdEncoding.EncodeToString(raw)
	var b strings.Builder
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"limite\"\r\n\r\n--limite\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n\r\n" + prose + "\r\n--limite\r\n" +
		"Content-Type: application/octet-stream; name=\"image.bin\"\r\nContent-Disposition: attachment; filename=\"image.bin\"\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n")
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	b.WriteString(encoded + "\r\n--limite--\r\n")
	return []byte(b.String())
}

// header is the first lines of a letter.
func header(chance *rand.Rand, number int) string {
	sender := words[chance.Intn(len(words))]
	at := morning.Add(time.Duration(number) * time.Minute)
	return fmt.Sprintf("Return-Path: <%s@client.example>\r\n"+
		"Received: from mail.client.example ([192.0.2.1]) by mail.server.example with ESMTPS id %d; %s\r\n"+
		"From: \"Dr %s\" <%s@client.example>\r\nTo: <reader@server.example>\r\nSubject: %s %s %d\r\nDate: %s\r\n"+
		"Message-ID: <%d.%d@bench.example>\r\n",
		sender, number, at.Format(time.RFC1123Z), strings.ToUpper(sender), sender, words[chance.Intn(len(words))],
		words[chance.Intn(len(words))], number, at.Format(time.RFC1123Z), number, chance.Int63())
}
