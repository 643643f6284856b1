# Approves what another person wrote: signs under the own name only.
path "approval/sign/{{identity.entity.name}}" { capabilities = ["update"] }
# Opens a case: makes its key. Parameters that are not named here are refused, so that the key can never become
# exportable.
path "cases/keys/+" {
  capabilities = ["create", "update"]
  allowed_parameters = {
    "type" = ["hmac"]
    "key_size" = []
  }
}
# Agrees that a case is forgotten: allows that its keys are deleted. Cannot delete them; a custodian can.
path "ways-back/keys/+/config" {
  capabilities = ["create", "update"]
  allowed_parameters = {
    "deletion_allowed" = []
  }
}
path "cases/keys/+/config" {
  capabilities = ["create", "update"]
  allowed_parameters = {
    "deletion_allowed" = []
  }
}
