"""Applications to copy from; the tests run them."""
