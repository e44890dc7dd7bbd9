"""Images that are made where there is no connection, and handed in for an order afterwards."""
