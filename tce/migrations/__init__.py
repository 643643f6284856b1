"""The steps by which the tables of :mod:`tce.exports` came about (Alembic)."""
