# Writes policies and cases, and signs them as their author: under the own name only.
path "authorship/sign/{{identity.entity.name}}" { capabilities = ["update"] }
