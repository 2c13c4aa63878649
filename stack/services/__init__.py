"""The reference platform: small services that can be broken on purpose."""
