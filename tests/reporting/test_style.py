"""The palette: every method apart from every other, and visible on both grounds."""

import itertools
import math

from lowshot.reporting import style


def luminance(color: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_method_stands_out_from_both_grounds() -> None:
    grounds = style.SURFACE
    for look in (*style.LOOKS.values(), *style.SPARE):
        assert contrast(look.light, grounds[0]) >= 3, look
        assert contrast(look.dark, grounds[1]) >= 3, look


def test_text_is_readable_on_both_grounds() -> None:
    for ink in (style.INK, style.MUTED):
        assert all(contrast(color, ground) >= 4.5 for color, ground in zip(ink, style.SURFACE, strict=True))


def test_no_two_methods_share_a_mark_or_a_colour() -> None:
    for one, other in itertools.combinations(style.LOOKS.values(), 2):
        assert one.marker != other.marker
        assert one.light != other.light and one.dark != other.dark


def seen_without_green(color: str) -> tuple[float, ...]:
    """What a deuteranope sees of a colour (Viénot, Brettel and Mollon 1999), in linear light."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return (
        0.29275 * red + 0.70725 * green,
        0.29275 * red + 0.70725 * green,
        -0.02234 * red + 0.02234 * green + blue,
    )


def test_cmpc_and_cid_stay_apart_without_green() -> None:
    for theme in ("light", "dark"):
        ours, theirs = (seen_without_green(getattr(style.LOOKS[name], theme)) for name in ("cmpc", "cid"))
        assert math.dist(ours, theirs) > 0.2


def test_no_colour_hides_another_when_a_page_swaps_them_for_variables() -> None:
    lights = [light for _, light, _ in style.theme_variables().values()]
    assert len(set(lights)) == len(lights)


def test_every_colour_of_a_method_changes_with_the_theme() -> None:
    swapped = {(light, dark) for _, light, dark in style.theme_variables().values()}
    assert {
        (look.light, look.dark) for look in style.looks([f"mine-{place}" for place in range(13)]).values()
    } <= swapped


def test_unknown_method_keeps_its_look() -> None:
    assert style.look("mine") == style.look("mine")
    assert style.look("mine") in style.LOOKS.values()


def test_labels_say_how_many_and_how() -> None:
    assert style.labels("none", 0.0) == "no labels"
    assert style.labels("probe", 0.01) == "1 % probe"
    assert style.labels("finetune", 0.125) == "12.5 % fine-tuned"
    assert style.labels("finetune-last-stage-classifier", 0.1) == "10 % fine-tuned (last-stage-classifier)"
    assert style.labels("zero-shot", 0.1) == "10 % zero-shot"
    assert style.labels("", math.nan) == ""
