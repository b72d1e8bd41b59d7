"""How the embedded model is trained: data, autoencoder, transparency, base, foreground offsets, export."""
