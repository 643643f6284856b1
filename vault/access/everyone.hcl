# Every person and service: check signatures, know oneself, change one's own password.
path "authorship/keys" { capabilities = ["list"] }
path "authorship/keys/+" { capabilities = ["read"] }
path "approval/keys" { capabilities = ["list"] }
path "approval/keys/+" { capabilities = ["read"] }
path "release/keys/release" { capabilities = ["read"] }
path "identity/entity/id/{{identity.entity.id}}" { capabilities = ["read"] }
path "auth/userpass/users/{{identity.entity.name}}/password" { capabilities = ["update"] }
