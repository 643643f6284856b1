# Stage 1. Derives pseudonyms and seals the mapping; can open nothing.
path "identifiers/hmac/+/sha2-256" { capabilities = ["update"] }
# Without "create" a key that does not exist is not made: a share can only go to a custodian of the site.
path "custody/encrypt/+" { capabilities = ["update"] }
