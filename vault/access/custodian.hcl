# One of the two people who can re-identify together: opens the own shares, and closes shares for another.
path "custody/decrypt/{{identity.entity.name}}" { capabilities = ["update"] }
path "custody/encrypt/+" { capabilities = ["update"] }
# Which version the own key has, to close the own shares anew under the newest.
path "custody/keys/{{identity.entity.name}}" { capabilities = ["read"] }
