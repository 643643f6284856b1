# Day to day: new versions of keys, and the first second factor of a person. Uses no key and gives nobody rights.
# New versions of keys; a version is no key, and shows none.
path "identifiers/keys/+" { capabilities = ["read"] }
path "identifiers/keys/+/rotate" { capabilities = ["update"] }
path "custody/keys/+" { capabilities = ["read"] }
path "custody/keys/+/rotate" { capabilities = ["update"] }
# Makes a second factor for a person who has none. The server refuses where there is one, and only the provisioner
# can take one away: so nobody who works here from day to day can put an authenticator of his own in its place.
path "identity/entity/name/+" { capabilities = ["read"] }
path "identity/mfa/method/totp" { capabilities = ["list"] }
path "identity/mfa/method/totp/+" { capabilities = ["read"] }
path "identity/mfa/method/totp/admin-generate" { capabilities = ["update"] }
