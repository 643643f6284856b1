# One of the two people who can re-identify together: opens the own shares, and closes shares for another.
path "custody/decrypt/{{identity.entity.name}}" { capabilities = ["update"] }
path "custody/encrypt/+" { capabilities = ["update"] }
# The other half of the keys that seal a case's mapping, until the case is forgotten.
path "ways-back/hmac/+/sha2-256" { capabilities = ["update"] }
# Which version the own key has, to close the own shares anew under the newest.
path "custody/keys/{{identity.entity.name}}" { capabilities = ["read"] }
# Forgets a case: destroys its keys, once an approver has allowed it. Cannot allow it.
path "ways-back/keys/+" { capabilities = ["delete"] }
path "cases/keys/+" { capabilities = ["delete"] }
