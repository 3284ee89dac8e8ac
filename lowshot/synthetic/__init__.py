"""The embedded talking-face world: identities, voices, faces, and the ceiling any model can reach."""
