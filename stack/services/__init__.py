"""The reference platform: three small services that can be broken on purpose."""
