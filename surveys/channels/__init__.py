"""Ways out to a customer: small modules of one shape. They do not import each other."""
