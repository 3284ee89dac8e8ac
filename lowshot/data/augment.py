"""Augment voices and faces, a whole batch at a time, by given random numbers."""

import torch
from torch.nn import functional

from lowshot.data.voice import LOG_POWER_SCALE
from lowshot.settings import AugmentConfig, FrontEnd

VOICE_UNIFORMS, FACE_UNIFORMS = 6, 8
# Random numbers of one sample: for the clip, the start of its crop, the image, then those of either modality.
UNIFORMS = 3 + VOICE_UNIFORMS + FACE_UNIFORMS
# One decibel in the units of each front end's log-mel. The centred one is natural-log power over a scale.
DECIBEL: dict[FrontEnd, float] = {
    "centred": 0.1 * torch.log(torch.tensor(10.0)).item() / LOG_POWER_SCALE,
    "released": 1.0,
}


def augment_voices(
    log_mel: torch.Tensor, uniforms: torch.Tensor, config: AugmentConfig, front_end: FrontEnd = "centred"
) -> torch.Tensor:
    """Apply a random smooth equaliser, and mask one stretch of time and one of frequency.

    Args:
        log_mel: [B, mel_bands, frames].
        uniforms: random numbers in [0, 1), [B, VOICE_UNIFORMS + FACE_UNIFORMS].
        config: strength of each change.
        front_end: of the spectrograms; it decides their unit of a decibel.

    Returns:
        [B, 1, mel_bands, frames]. Masked stretches hold the sample's mean, which tells nothing about the speaker.
    """
    _, bands, frames = log_mel.shape
    u = uniforms[:, :VOICE_UNIFORMS]
    axis = torch.linspace(-1, 1, bands)
    slope, bend = (2 * u[:, 0:2] - 1).unbind(dim=1)
    curve = slope[:, None] * axis + bend[:, None] * (axis.square() - 1 / 3)
    out = log_mel + (config.tilt_db * DECIBEL[front_end]) * curve[:, :, None]
    mean = out.mean(dim=(1, 2), keepdim=True)
    in_time = _stretch(u[:, 2], u[:, 3], min(config.time_mask, frames - 1), frames)
    in_band = _stretch(u[:, 4], u[:, 5], min(config.band_mask, bands - 1), bands)
    out = torch.where(in_time[:, None, :] | in_band[:, :, None], mean, out)
    return out.unsqueeze(1)


def _stretch(length: torch.Tensor, place: torch.Tensor, longest: int, total: int) -> torch.Tensor:
    """Return a mask [B, total] of one stretch per sample, 0..longest long."""
    count = (length * (longest + 1)).floor()
    start = (place * (total - count + 1)).floor()
    position = torch.arange(total)
    return (position >= start[:, None]) & (position < (start + count)[:, None])


def augment_faces(images: torch.Tensor, uniforms: torch.Tensor, size: int, config: AugmentConfig) -> torch.Tensor:
    """Mirror, shift, scale and rotate images at random, and change brightness and contrast.

    Args:
        images: uint8 [B, 3, side, side], side from `stored_size`. If it leaves no margin, a shift repeats the
            image's border.
        uniforms: random numbers in [0, 1), [B, VOICE_UNIFORMS + FACE_UNIFORMS].
        size: side of the result, pixels.
        config: strength of each change.

    Returns:
        [B, 3, size, size] in [-1, 1].
    """
    u = uniforms[:, VOICE_UNIFORMS:]
    side = images.shape[-1]
    centred = 2 * u - 1
    # Share of the stored square that the tower sees, times the random change of size.
    zoom = size / side * (1 + config.scale * centred[:, 0])
    angle = torch.deg2rad(config.rotate_degrees * centred[:, 1])
    mirror = torch.where((u[:, 2] < 0.5) & config.flip, -1.0, 1.0)
    theta = torch.stack(
        [
            torch.stack([zoom * angle.cos() * mirror, -zoom * angle.sin(), 2 * config.shift * centred[:, 3]], dim=1),
            torch.stack([zoom * angle.sin() * mirror, zoom * angle.cos(), 2 * config.shift * centred[:, 4]], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(theta, [len(images), 3, size, size], align_corners=False)
    pixels = to_unit(images)
    out = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    mean = out.mean(dim=(1, 2, 3), keepdim=True)
    gain = 1 + config.contrast * centred[:, 5]
    shift = config.brightness * centred[:, 6]
    out = (out - mean) * gain[:, None, None, None] + mean + shift[:, None, None, None]
    # A mild change of warmth, a fifth of that of brightness: light has a colour, but skin tone must survive.
    warmth = 0.2 * config.brightness * centred[:, 7]
    out = out + warmth[:, None, None, None] * torch.tensor([1.0, 0.0, -1.0])[:, None, None]
    return out.clamp(-1, 1)


def to_unit(images: torch.Tensor) -> torch.Tensor:
    """Map bytes 0..255 to float32 in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def centre_crop(images: torch.Tensor, size: int) -> torch.Tensor:
    """Cut out the middle square of stored images, as evaluation sees them.

    Args:
        images: uint8 [B, 3, side, side]; the whole image if side equals size.
        size: side of the result, pixels.

    Returns:
        [B, 3, size, size] in [-1, 1].
    """
    offset = (images.shape[-1] - size) // 2
    return to_unit(images[..., offset : offset + size, offset : offset + size])
