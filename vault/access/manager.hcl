# Stage 2. Derives the case's own pseudonyms; reaches no key of stage 1.
path "cases/hmac/+/sha2-256" { capabilities = ["update"] }
