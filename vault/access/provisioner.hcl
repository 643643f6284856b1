# Makes mounts, keys, roles and people. Uses no key. Who writes policies can give rights to whom he likes, so this login
# is for these moments only: keep it away from the site between them. The trail of the server shows each use.
path "sys/mounts" { capabilities = ["read"] }
path "sys/mounts/+" {
  capabilities = ["create", "update"]
  allowed_parameters = { "type" = ["transit"] }
}
path "sys/auth" { capabilities = ["read"] }
path "sys/auth/+" {
  capabilities = ["create", "update", "sudo"]
  allowed_parameters = { "type" = ["approle", "userpass", "ldap", "oidc"] }
}
# Policies of this project only.
path "sys/policies/acl/tce-*" { capabilities = ["create", "read", "update"] }
path "identity/entity" { capabilities = ["create", "update"] }
path "identity/entity/name" { capabilities = ["list"] }
path "identity/entity/name/+" { capabilities = ["create", "read", "update"] }
path "identity/entity-alias" { capabilities = ["create", "update"] }
path "identity/entity-alias/id/+" { capabilities = ["delete"] }
# How people log in. Without "update" a password that is there is never overwritten, and nobody's login is taken over.
path "auth/userpass/users/+" { capabilities = ["create", "read"] }
path "auth/userpass/users/+/policies" { capabilities = ["update"] }
path "auth/+/config" { capabilities = ["create", "read", "update"] }
path "auth/+/role/tce" { capabilities = ["create", "read", "update"] }
path "auth/approle/role/+" { capabilities = ["create", "read", "update"] }
path "auth/approle/role/+/role-id" { capabilities = ["read"] }
path "auth/approle/role/+/secret-id" { capabilities = ["create", "update"] }
# The second factor, who needs it, and its end when a person has lost it.
path "identity/mfa/method/totp" { capabilities = ["create", "update", "list"] }
path "identity/mfa/method/totp/+" { capabilities = ["create", "read", "update"] }
path "identity/mfa/method/totp/admin-generate" { capabilities = ["update"] }
path "identity/mfa/method/totp/admin-destroy" { capabilities = ["update"] }
path "identity/mfa/login-enforcement/tce-people" { capabilities = ["create", "read", "update", "delete"] }
# Keys, of the form that each mount has and of no other; parameters that are not named here are refused.
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
