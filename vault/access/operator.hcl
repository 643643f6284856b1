# Provisions mounts, keys, roles and people. Uses no key. Who may write policies and set passwords can give rights
# to people of his own making: the trail of the server shows it, and its lines are what an auditor looks for.
path "sys/mounts" { capabilities = ["read"] }
path "sys/mounts/+" { capabilities = ["create", "update"] }
path "sys/auth" { capabilities = ["read"] }
path "sys/auth/+" { capabilities = ["create", "update", "sudo"] }
path "sys/policies/acl/+" { capabilities = ["create", "read", "update"] }
path "identity/entity" { capabilities = ["create", "update"] }
path "identity/entity/name" { capabilities = ["list"] }
path "identity/entity/name/+" { capabilities = ["create", "read", "update"] }
path "identity/entity-alias" { capabilities = ["create", "update"] }
path "auth/userpass/users/+" { capabilities = ["create", "read", "update"] }
path "auth/approle/role/+" { capabilities = ["create", "read", "update"] }
path "auth/approle/role/+/role-id" { capabilities = ["read"] }
path "auth/approle/role/+/secret-id" { capabilities = ["create", "update"] }
path "identifiers/keys/+" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = { "type" = ["hmac"], "key_size" = [] }
}
path "custody/keys/+" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = { "type" = ["aes256-gcm96"] }
}
path "authorship/keys/+" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = { "type" = ["ed25519"] }
}
path "approval/keys/+" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = { "type" = ["ed25519"] }
}
path "release/keys/release" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = { "type" = ["ed25519"] }
}
# New versions of keys; a version is no key, and shows none.
path "identifiers/keys/+/rotate" { capabilities = ["update"] }
path "custody/keys/+/rotate" { capabilities = ["update"] }
