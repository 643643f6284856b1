# Stage 1. Derives pseudonyms and seals the mapping; can open nothing.
path "identifiers/hmac/+/sha2-256" { capabilities = ["update"] }
# One half of the keys that seal a case's mapping; the other half only two custodians have.
path "ways-back/hmac/+/sha2-256" { capabilities = ["update"] }
# Makes that half for a new case. Parameters that are not named here are refused, so that it can never be exported.
path "ways-back/keys/+" {
  capabilities = ["create", "update"]
  allowed_parameters = {
    "type" = ["hmac"]
    "key_size" = []
  }
}
# Without "create" a key that does not exist is not made: a share can only go to a custodian of the site.
path "custody/encrypt/+" { capabilities = ["update"] }
