"""LayerFusion: a foreground (RGBA), a background and a blended picture, denoised together."""
