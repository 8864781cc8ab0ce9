"""Tests that meet the product as people do: in a real browser. `make e2e` starts them."""
