"""The documents of the TCE profile: the manifest (RAD-51) and the additional information (RAD-52)."""
