# Sees where the server's trail is written. The server demands sudo for this one question.
path "sys/audit" { capabilities = ["read", "sudo"] }
