"""Physics of a CT denoiser: noise texture, resolution, CT numbers and low-contrast detection."""
