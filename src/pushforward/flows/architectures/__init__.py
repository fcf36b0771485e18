"""The published architectures, one module each; `pushforward.flows.registry` finds them here."""
