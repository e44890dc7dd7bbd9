"""One module a DIMSE service. They take plain values, so that any receiver can call them."""
