"""The steps of the mapping database's schema, from the first version on."""
