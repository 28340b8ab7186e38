module imapload

go 1.21
