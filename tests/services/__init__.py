"""What other services ask for: public keys, discovery, JWTs, health."""
