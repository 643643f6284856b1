# Services that sign release records.
path "release/sign/release" { capabilities = ["update"] }
